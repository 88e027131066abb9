"""Time ranges: a range on snippet borders contains no snippet outside."""

from __future__ import annotations

import pytest

from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions
from sentiloc.model.results.time_range import within
from sentiloc.model.segments import VideoInfo, snippet_span


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


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.84), (0.0, 4.48), (0.0, 5.12), (3.2, 4.48), (4.48, 6.4)])
def test_segments_of_a_part_stay_in_it(start: float, end: float) -> None:
    loud = tuple(0.9 if 4 <= i < 12 else 0.0 for i in range(20))
    curve = Curve(
        step=0.64,
        negative=(0.0,) * 20,
        positive=loud,
        non_sentiment=tuple(1 - value for value in loud),
        saliency=loud,
        face_present=(False,) * 20,
    )
    result = Result(
        video=VideoInfo(duration=12.8, fps=25.0, width=64, height=48, has_audio=False),
        faces_seen=0,
        segments=(),
        curve=curve,
        model=ModelIdentity(name="m", version="1", spec_hash="x", device="cpu"),
        timings={},
        options=SegmentOptions(threshold=0.2),
        calibration=Calibration(),
    )
    found = within(result, start, end)
    assert len(found.segments) == 1
    assert start <= found.segments[0].start < found.segments[0].end <= end + 1e-9
    assert [i for i, value in enumerate(found.curve.saliency) if value] == list(
        range(max(4, round(start / 0.64)), round(end / 0.64))
    )
