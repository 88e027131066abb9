"""`Result.to`, `notes` and `recut` check their arguments, whatever the format reads of them. No model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sentiloc
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import Curve, ModelIdentity, SegmentOptions
from sentiloc.model.results.result import Result as Document
from sentiloc.worker.pipelines.base import check_begins_within, check_time_range

IMPOSSIBLE: list[dict[str, Any]] = [
    {"start_timecode": "garbage"},
    {"fps": -3},
    {"fps": 25, "drop_frame": True},
]


@pytest.fixture
def result() -> sentiloc.Result:
    """Two segments that overlap, in a video of 25 frames per second."""
    segments = tuple(
        sentiloc.Segment(start=start, end=start + 3, label=label, confidence=0.5, peak=start + 1)
        for start, label in ((1.0, "negative"), (2.0, "positive"))
    )
    document = Document(
        video=sentiloc.VideoInfo(duration=10.0, fps=25.0, width=640, height=360, has_audio=True),
        faces_seen=0,
        segments=segments,
        curve=Curve(
            step=0.64,
            negative=(0.5,) * 16,
            positive=(0.5,) * 16,
            non_sentiment=(0.1,) * 16,
            saliency=(0.5,) * 16,
        ),
        model=ModelIdentity(name="m", version="1", spec_hash="0" * 16, device="cpu"),
        timings={},
        options=SegmentOptions(threshold=0.3),
        calibration=Calibration(),
    )
    return sentiloc.Result(document, "clip.mp4")


def refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(sentiloc.SentilocError, match=said) as raised:
        call()
    assert raised.value.code is sentiloc.ErrorCode.INVALID_DATA


def test_notes_count_as_the_export_does(result: sentiloc.Result) -> None:
    assert "from 00:00:01:00 to" in result.notes("edl")[0]
    assert "from 01:00:01:00 to" in result.notes("edl", start_timecode="01:00:00:00")[0]
    assert "01:00:01:00" in result.to("edl", start_timecode="01:00:00:00")
    assert result.notes("json") == []
    assert result.notes("json", fps=25) == []


@pytest.mark.parametrize("name", sentiloc.formats())
@pytest.mark.parametrize("options", IMPOSSIBLE, ids=str)
def test_impossible_timelines_are_refused_by_every_format(
    result: sentiloc.Result, name: str, options: dict[str, Any]
) -> None:
    said = {"start_timecode": "is not a timecode", "fps": "fps is -3|no drop frame"}[next(iter(options))]
    refused(lambda: result.to(name, **options), said)
    refused(lambda: result.notes(name, **options), said)


def test_no_picture_is_decoded_for_an_impossible_timeline(
    result: sentiloc.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.api.Result._details", lambda *_: pytest.fail("it decoded the video"))
    refused(lambda: result.to("html", fps=-3, video=tmp_path / "clip.mp4"), "fps is -3")


def test_possible_options_do_not_change_what_counts_no_frames(result: sentiloc.Result) -> None:
    assert result.to("json", fps=30, start_timecode="01:00:00:00") == result.to_json()


def test_an_unknown_format_is_named(result: sentiloc.Result) -> None:
    for call in (result.to, result.notes):
        refused(lambda call=call: call("doc"), "no format 'doc'; there are: json, csv")  # type: ignore[misc]


def test_labels_may_be_read_once_only(result: sentiloc.Result) -> None:
    assert result.recut(labels=iter(["positive"])).options.labels == ("positive",)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_seconds_are_finite(result: sentiloc.Result, seconds: float) -> None:
    refused(
        lambda: result.recut(merge_gap=seconds), "merge_gap is .*; it is a number of seconds from 0 to 1e9"
    )
    refused(
        lambda: result.recut(min_length=seconds), "min_length is .*; it is a number of seconds from 0 to 1e9"
    )


@pytest.mark.parametrize("time_range", [(0.0, float("inf")), (float("inf"), None), (float("nan"), 1.0)])
def test_a_time_range_is_finite(time_range: tuple[float, float | None]) -> None:
    refused(lambda: check_time_range(time_range, 60.0), "empty or not finite|no start")


@pytest.mark.parametrize(
    ("start", "duration", "said"),
    [
        (20_000.0, 12_345.678, "begins at 20000 s; the video ends at 12345.678 s"),
        (1_234_567.5, 1_234_567.0, "begins at 1234567.5 s; the video ends at 1234567 s"),
        (7.0004, 7.0, "begins at 7 s; the video ends at 7 s"),
    ],
)
def test_a_start_after_the_end_is_stated_beside_the_end(start: float, duration: float, said: str) -> None:
    refused(lambda: check_begins_within((start, None), duration), said)
