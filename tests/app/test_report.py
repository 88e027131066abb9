"""The report: one self-contained HTML page with every segment, safe with any title."""

from __future__ import annotations

import re
from base64 import b64encode
from html.parser import HTMLParser
from typing import Any

import pytest

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.details import Details, details_of
from sentiloc.app.formats.timeline import make_timeline
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.schemas.tasks import EXAMPLE_EMOTIONS, EXAMPLE_EXPRESSIONS
from sentiloc.model.proposals.rule import fuse
from sentiloc.model.results.result import parse_result
from sentiloc.model.results.task_result import EmotionResult, ExpressionResult, labels_of, parse_any
from sentiloc.model.results.warnings import ResultWarning
from sentiloc.model.segments import Evidence, Segment, VideoInfo

VIDEO = VideoInfo(duration=90.0, fps=25.0, width=640, height=360, has_audio=True, timebase="25")
SEGMENTS = (
    Segment(
        start=10.0,
        end=14.48,
        label="positive",
        confidence=0.95,
        peak=12.0,
        evidence=Evidence(face=0.7, audio=0.25, visual=0.05),
    ),
    Segment(start=30.0, end=31.0, label="negative", confidence=1.0, peak=30.5, source="person"),
)


class Page(HTMLParser):
    """Collects tags, attributes with addresses, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.words: list[str] = []
        self.paths: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [str(value) for name, value in attrs if name in ("src", "href", "action")]
        self.paths += [str(value) for name, value in attrs if name == "d"]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def report(title: str = "holiday.mp4", segments: tuple[Segment, ...] = SEGMENTS) -> Page:
    return Page(FORMATS["html"].render(make_timeline(title, VIDEO, segments)))


def test_it_shows_the_timeline_the_best_moments_and_how_sure() -> None:
    page = report()
    text = " ".join(page.words)
    for words in ("Best moments", "00:00:10:00", "00:00:14:12", "95%", "by hand", "the face and the voice"):
        assert words in text
    assert "How sure" in text and "svg" in page.tags
    assert text.count("95%") == 2  # among the best, and among all
    assert page.outside == [] and "script" not in page.tags


def test_a_title_cannot_add_markup() -> None:
    page = report('<script>alert(1)</script>" onload="x')
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in " ".join(page.words)


def test_a_video_without_segments() -> None:
    assert "Nothing stands out." in report(segments=()).words


CURVES = {"negative": (0.1, 0.2, 0.7), "positive": (0.5, 0.9, 0.1)}
JPEG = b"\xff\xd8\xff\xe0 a picture"


def detailed(**changes: Any) -> Page:
    """The report of a result with curves, a warning, and a picture of the first segment."""
    details = Details(
        **{
            "step": 30.0,
            "curves": CURVES,
            "model": "fsenet-starter 2.1.0",
            "threshold": 0.4,
            "warnings": (
                ResultWarning(code="undecodable", detail="Pictures are damaged.", start=40.0, end=42.0),
            ),
            "pictures": {("positive", 12.0): JPEG},
            **changes,
        }
    )
    timeline = make_timeline("a.mp4", VIDEO, SEGMENTS, labels=("negative", "positive"), details=details)
    return Page(FORMATS["html"].render(timeline))


def test_pictures_are_inside_the_page() -> None:
    page = detailed()
    [source] = page.outside
    assert source == f"data:image/jpeg;base64,{b64encode(JPEG).decode()}"
    assert "because of the face and the voice" in page.words
    assert "img" not in detailed(pictures={}).tags


def test_the_curve_fills_its_lane_and_points_down_for_the_second_label() -> None:
    page = detailed()
    up, down = (path for path in page.paths if path.endswith("Z"))
    base, first, second, third, end = (float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", up))
    assert base == end  # the positive curve stands on the axis
    assert [base - first, base - second, base - third] == pytest.approx([34 * 5 / 9, 34, 34 / 9], abs=0.1)
    base, *below = (float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", down))
    assert [y - base for y in below[:3]] == pytest.approx([34 / 9, 34 * 2 / 9, 34 * 7 / 9], abs=0.1)


def test_unreadable_parts_are_reported() -> None:
    text = " ".join(detailed().words)
    assert "Pictures are damaged. (00:00:40:00 to 00:00:42:00)" in text
    assert "Model: fsenet-starter 2.1.0. Segments below 40% are not shown." in text


def test_confidence_is_a_probability_only_where_it_was_measured() -> None:
    measured, raw = (" ".join(detailed(calibrated=known).words) for known in (True, False))
    assert "80 of 100 such segments are right on test videos, and fewer on other real video" in measured
    assert "80 of 100" not in raw
    assert "it is not a probability" in raw


def test_the_details_of_a_result_are_its_curve_its_warnings_and_its_model() -> None:
    result = parse_result(EXAMPLE_RESULT)
    details = details_of(result, {})
    scores = result.curve.frame_scores()
    assert details.curves["positive"] == tuple(fuse(scores.scores, scores.saliency)[:, 1].tolist())
    assert details.model == f"{result.model.name} {result.model.version}"
    assert details.calibrated is result.calibration.calibrated


@pytest.mark.parametrize("example", [EXAMPLE_EMOTIONS, EXAMPLE_EXPRESSIONS])
def test_other_tasks_have_a_curve_for_each_label(example: dict[str, Any]) -> None:
    result = parse_any(example)
    assert isinstance(result, EmotionResult | ExpressionResult)
    details = details_of(result, {})
    assert set(details.curves) == set(labels_of(result))
    assert {len(values) for values in details.curves.values()} == {
        len(next(iter(result.curve.series.values())))
    }
