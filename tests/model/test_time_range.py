"""Time ranges: a range on snippet borders contains no snippet outside."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import pytest

from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions
from sentiloc.model.results.task_result import parse_any, recut_any
from sentiloc.model.results.time_range import within
from sentiloc.model.segments import VideoInfo, snippet_span
from tests.model.test_task_result import EMOTION_OPTIONS, emotions


@pytest.mark.parametrize("step", [0.64, 16 / 30, 16 * 1001 / 30_000, 16 * 1001 / 24_000, 0.32, 1.0])
@pytest.mark.parametrize("decimals", [3, 6])
def test_every_border_is_on_the_grid(step: float, decimals: int) -> None:
    for count in range(1, 12_000):
        border = round(count * step, decimals)
        assert snippet_span(border, None, step) == (count, None)
        assert snippet_span(0.0, border, step) == (0, count)


def test_a_range_includes_every_snippet_it_touches() -> None:
    assert snippet_span(4.47, 4.5, 0.64) == (6, 8)
    assert snippet_span(4.48, 4.4801, 0.64) == (7, 8)


def test_times_that_no_video_reaches_are_cut() -> None:
    assert snippet_span(1e308, 1.7e308, 0.64) == snippet_span(1e9, 1e9, 0.64)
    assert snippet_span(0.0, 5e-324, 0.64) == (0, 1)


@pytest.mark.parametrize(("start", "end"), [(5.0, 7.0), (0.0, 6.0), (6.0, 20.0), (14.0, 15.0), (2.5, 5.5)])
def test_emotions_of_a_part_stay_in_it_also_when_they_are_cut_again(start: float, end: float) -> None:
    found = within(emotions(EMOTION_OPTIONS), start, end)
    again = recut_any(parse_any(found.to_dict()), replace(found.options, threshold=0.0, min_length=0.0))
    assert found.segments
    for one in (*found.segments, *again.segments):
        assert floor(start) <= one.start <= one.peak <= one.end <= ceil(end)
    assert within(found, 18.0, 19.0).segments == ()


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.84), (0.0, 4.48), (0.0, 5.12), (3.2, 4.48), (4.48, 6.4)])
def test_segments_of_a_part_stay_in_it(start: float, end: float) -> None:
    result = Result(
        video=VideoInfo(duration=12.8, fps=25.0, width=64, height=48, has_audio=False),
        faces_seen=0,
        segments=(),
        curve=positive_within(2.56, 7.68),
        model=ModelIdentity(name="m", version="1", spec_hash="x", device="cpu"),
        timings={},
        options=SegmentOptions(threshold=0.2),
        calibration=Calibration(),
    )
    found = within(result, start, end)
    assert len(found.segments) == 1
    assert start <= found.segments[0].start < found.segments[0].end <= end + 1e-9
    # The curve is smoothed, so at a low threshold a candidate reaches beyond the range.
    again = recut_any(found, replace(found.options, threshold=0.0))
    assert again.segments
    assert all(start <= one.start <= one.peak <= one.end <= end + 1e-9 for one in again.segments)
    assert [i for i, value in enumerate(found.curve.saliency) if value] == list(
        range(max(4, round(start / 0.64)), round(end / 0.64))
    )


@pytest.mark.parametrize(
    ("start", "end", "min_length", "length"),
    [(6.4, 7.04, 1.0, 0.64), (12.16, 12.8, 1.0, 0.64), (6.4, 8.96, 2.7, 2.56), (10.24, 12.8, 3.0, 2.56)],
)
def test_a_segment_over_all_of_a_short_range_is_shown(
    start: float, end: float, min_length: float, length: float
) -> None:
    options = SegmentOptions(threshold=0.2, min_length=min_length)
    found = cut_segments(positive_within(start, end), 12.8, Calibration(), options)
    assert [round(one.end - one.start, 6) for one in found] == [length]


def positive_within(start: float, end: float) -> Curve:
    """A curve of 12.8 s that is positive in a range and exactly 0 elsewhere, as after a job for that range."""
    known = [start - 1e-6 <= i * 0.64 < end - 1e-6 for i in range(20)]
    high = tuple(0.9 if one else 0.0 for one in known)
    return Curve(
        step=0.64,
        negative=(0.0,) * 20,
        positive=high,
        non_sentiment=tuple(1 - value for value in high),
        saliency=high,
        face_present=(False,) * 20,
    )
