"""From a curve to segments with evidence: when a job ends, and again whenever a client asks with other options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.proposals.rule import find_peak, fuse, select_segments, smooth
from sentiloc.model.results.evidence import with_evidence
from sentiloc.model.results.result import Curve, Result, SegmentOptions
from sentiloc.model.segments import Segment
from sentiloc.model.spec import CLASSES


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
    return with_evidence(found, curve)


def recut(result: Result, options: SegmentOptions) -> Result:
    """The same video with segments cut by other options; the network is not run."""
    if options == result.options:
        return result
    segments = cut_segments(result.curve, result.video.duration, result.calibration, options)
    return replace(result, segments=segments, options=options)


def given_segments(
    curve: Curve, duration: float, spans: Iterable[tuple[float, float, str]]
) -> tuple[Segment, ...]:
    """Segments that a person drew (start, end, label), in order of time: certain, peaks and evidence from the curve."""
    frames = curve.frame_scores()
    smoothed = {
        label: smooth(values)
        for label, values in zip(CLASSES, fuse(frames.scores, frames.saliency).T, strict=True)
    }
    given = sorted((start, min(end, duration), label) for start, end, label in spans if start < duration)
    drawn = (
        Segment(
            start=start,
            end=end,
            label=label,
            confidence=1.0,
            peak=find_peak(smoothed[label], start, end, curve.step),
        )
        for start, end, label in given
    )
    return with_evidence(drawn, curve)
