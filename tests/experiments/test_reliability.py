"""How real segments are graded: what they rest on, whether they are right, and how they are binned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.reliability import Graded, bins, covered, kind_of, summarize
from sentiloc.model.segments import Evidence, Segment

SEGMENT = Segment(start=2.0, end=6.0, label="negative", confidence=0.5, peak=4.0)


def test_a_segment_rests_on_what_gave_most_of_it() -> None:
    def resting(audio: float, face: float) -> Segment:
        return replace(SEGMENT, evidence=Evidence(visual=0.0, audio=audio, face=face))

    assert kind_of(resting(0.1, 0.9), unseen=0.9) == "sound alone"
    assert kind_of(resting(0.1, 0.9), unseen=0.2) == "face alone"
    assert kind_of(resting(0.6, 0.4), unseen=0.2) == "face and sound"
    assert kind_of(SEGMENT, unseen=0.2) == "face and sound"


def test_only_time_of_the_same_label_counts() -> None:
    spans = [("negative", 0.0, 3.0), ("positive", 3.0, 5.0), ("negative", 5.0, 9.0)]
    assert covered(SEGMENT, spans) == pytest.approx(0.5)
    assert covered(SEGMENT, []) == 0


def test_bins_and_means_by_hand() -> None:
    rows = [
        Graded(confidence=c, right=r, kind="sound alone", half="check")
        for c, r in ((0.1, False), (0.5, True), (0.5, False), (1.0, True))
    ]
    assert [(b.low, b.count, b.right) for b in bins(rows)] == [(0.0, 1, 0.0), (0.4, 2, 0.5), (0.8, 1, 1.0)]
    told = summarize(rows)
    assert told["count"] == 4 and told["right"] == 0.5
    assert told["mean_confidence"] == pytest.approx(0.525)
    assert told["calibration_error"] == pytest.approx(0.1 / 4)
    assert summarize([]) == {"count": 0}
