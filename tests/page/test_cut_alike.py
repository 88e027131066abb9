"""The page cuts the curve of a time range into the same segments as the server."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions
from sentiloc.model.segments import VideoInfo
from tests.page.conftest import Visitor

CUT = """cases => import(new URL('web/findings.js', document.baseURI)).then(({ Findings }) => cases.map(
    ({ result, candidates, options }) => new Findings(result).cut(candidates, options)
        .map(({ label, start, end }) => [label, start, end])))"""
STEP, SNIPPETS = 0.64, 30
RANGES = [(0, 30), (0, 1), (29, 30), (10, 13), (27, 30), (0, 3), (12, 30)]


def result_of(seed: int, first: int, stop: int) -> Result:
    """A random result of a job for the snippets from `first` to `stop`."""
    rng = np.random.default_rng(seed)
    values = rng.random((3, SNIPPETS)).round(4)
    known = (np.arange(SNIPPETS) >= first) & (np.arange(SNIPPETS) < stop)
    positive, negative, saliency = (tuple(np.where(known, row, 0.0).tolist()) for row in values)
    return Result(
        video=VideoInfo(duration=SNIPPETS * STEP, fps=25.0, width=64, height=48, has_audio=False),
        faces_seen=0,
        segments=(),
        curve=Curve(
            step=STEP,
            negative=negative,
            positive=positive,
            non_sentiment=tuple(np.where(known, 0.1, 1.0).tolist()),
            saliency=saliency,
            face_present=(False,) * SNIPPETS,
        ),
        model=ModelIdentity(name="m", version="1", spec_hash="x", device="cpu"),
        timings={},
        options=SegmentOptions(threshold=0.2),
        calibration=Calibration(),
    )


def cut(result: Result, options: SegmentOptions) -> list[list[object]]:
    found = cut_segments(result.curve, result.video.duration, result.calibration, options)
    return [[one.label, one.start, one.end] for one in found]


def test_the_page_cuts_a_time_range_as_the_server_does(visit: Visitor, job: str) -> None:
    page = visit().open_result(job).page
    wide = SegmentOptions(threshold=0.0, min_length=1.0, merge_gap=0.0)
    cases, expected = [], []
    for seed in range(20):
        for first, stop in RANGES:
            result = result_of(seed, first, stop)
            candidates = cut_segments(result.curve, result.video.duration, result.calibration, wide)
            for options in (wide, replace(wide, min_length=2.5), replace(wide, threshold=0.3, merge_gap=2.0)):
                expected.append(cut(result, options))
                cases.append(
                    {
                        "result": result.to_dict(),
                        "candidates": [asdict(one) for one in candidates],
                        "options": {
                            "threshold": options.threshold,
                            "min_length": options.min_length,
                            "merge_gap": options.merge_gap,
                        },
                    }
                )
    shown = page.evaluate(CUT, cases)
    assert any(expected)
    for ours, theirs in zip(shown, expected, strict=True):
        assert [row[0] for row in ours] == [row[0] for row in theirs]
        assert [row[1:] for row in ours] == [pytest.approx(row[1:], abs=1e-3) for row in theirs]
