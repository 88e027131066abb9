"""From a curve to segments with evidence: when a job ends, and again whenever a client asks with other options."""

from __future__ import annotations

from dataclasses import replace

from model.calibration import Calibration
from model.evidence import with_evidence
from model.result import Curve, Result, SegmentOptions
from model.segments import Segment
from model.serving import select_segments


def cut_segments(
    curve: Curve, duration: float, calibration: Calibration, options: SegmentOptions
) -> tuple[Segment, ...]:
    """The segments of a video of `duration` seconds, in order of time."""
    found = select_segments(
        curve.frame_scores(),
        curve.step,
        threshold=options.threshold,
        duration=duration,
        calibration=calibration,
        labels=options.labels,
        min_length=options.min_length,
        merge_gap=options.merge_gap,
    )
    return tuple(with_evidence(segment, curve) for segment in found)


def recut(result: Result, options: SegmentOptions) -> Result:
    """The same video with segments cut by other options; the network is not run."""
    if options == result.options:
        return result
    segments = cut_segments(result.curve, result.video.duration, result.calibration, options)
    return replace(result, segments=segments, options=options)
