"""Cuts segments with evidence from a curve, when a job ends and whenever a client requests other options."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.proposals.rule import Floats, find_peak, fuse, select_segments, smooth
from sentiloc.model.results.evidence import with_evidence
from sentiloc.model.results.result import Curve, Result, SegmentOptions
from sentiloc.model.segments import Segment
from sentiloc.model.spec import CLASSES


def cut_segments(
    curve: Curve, duration: float, calibration: Calibration, options: SegmentOptions
) -> tuple[Segment, ...]:
    """The segments of a video of `duration` seconds, in order of time; of a part of a video, those within the part."""
    first, last = _known_range(curve)
    # In a video or range that is shorter than the least length, a segment over all of it is still shown.
    shortest = min(options.min_length, duration - first, last - first)
    found = select_segments(
        curve.frame_scores(),
        curve.step,
        threshold=options.threshold,
        duration=duration,
        calibration=calibration,
        labels=options.labels,
        min_length=shortest,
        merge_gap=options.merge_gap,
        face_present=curve.face_present,
    )
    # The rule ends segments with the video, which may be later than its last snippet.
    end = math.inf if last == len(curve.saliency) * curve.step else last
    return tuple(_clipped(with_evidence(found, curve), first, end, shortest))


def _known_range(curve: Curve) -> tuple[float, float]:
    """From the first snippet with a score to the end of the last one, in seconds.

    Outside a job's range, all scores are exactly 0, and that of no sentiment is exactly 1. A network's sigmoids
    practically never give all of these together.
    """
    total = len(curve.saliency)
    # Searched from both ends, because almost every curve is known from its first snippet to its last.
    first = next((index for index in range(total) if _is_known(curve, index)), None)
    if first is None:
        return 0.0, 0.0
    stop = next(index for index in range(total, 0, -1) if _is_known(curve, index - 1))
    return first * curve.step, stop * curve.step


def _is_known(curve: Curve, index: int) -> bool:
    return bool(
        curve.non_sentiment[index] != 1
        or curve.saliency[index]
        or curve.negative[index]
        or curve.positive[index]
    )


def _clipped(segments: Iterable[Segment], first: float, last: float, shortest: float) -> Iterator[Segment]:
    """Clip segments to [first, last] seconds; those that get shorter than `shortest` seconds are left out.

    The rule smooths the curve, so their bounds may exceed the range of a job slightly.
    """
    for segment in segments:
        start, end = max(segment.start, first), min(segment.end, last)
        if (start, end) == (segment.start, segment.end):
            yield segment
        elif start < end and end - start >= shortest - 1e-6:
            yield replace(segment, start=start, end=end, peak=min(max(segment.peak, start), end))


def recut(result: Result, options: SegmentOptions) -> Result:
    """The result with segments cut by other options, without running the network."""
    # Also for results of versions with another rule: they stay exactly as delivered.
    if options == result.options:
        return result
    segments = cut_segments(result.curve, result.video.duration, result.calibration, options)
    return replace(result, segments=segments, options=options)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSegment:
    """A segment as corrected by a person; `confidence` is the model's if the segment was not changed."""

    start: float
    end: float
    label: str
    confidence: float | None = None


UNCHANGED = 0.003
"""Tolerance of edges in seconds, because clients round to milliseconds."""


def given_segments(
    curve: Curve, duration: float, given: Iterable[GivenSegment], own: Sequence[Segment] = ()
) -> tuple[Segment, ...]:
    """Segments as corrected by a person, in order of time, with peaks and evidence from the curve.

    A segment that states the model's confidence, or that is one of the model's `own`, stays the model's. All others
    are the person's.
    """
    frames = curve.frame_scores()
    smoothed = {
        label: smooth(values)
        for label, values in zip(CLASSES, fuse(frames.scores, frames.saliency).T, strict=True)
    }
    kept = sorted((one for one in given if one.start < duration), key=lambda one: (one.start, one.end))
    known = _Own(own)
    drawn = (
        _as_left(replace(one, end=min(one.end, duration)), smoothed[one.label], curve.step, known)
        for one in kept
    )
    return with_evidence(drawn, curve)


class _Own:
    """The model's segments, by their starts: a person's may be thousands, and each is looked for among them."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        # Stable, so that of several that are the same, the first one is found.
        self._segments = sorted(segments, key=lambda segment: segment.start)
        self._starts = [segment.start for segment in self._segments]

    def confidence(self, one: GivenSegment) -> float | None:
        """That of the model's segment that a person has left as it was; else the one that the given segment states."""
        first = bisect_left(self._starts, one.start - 2 * UNCHANGED)
        stop = bisect_right(self._starts, one.start + 2 * UNCHANGED)
        near = self._segments[first:stop]
        return next((segment.confidence for segment in near if _is_same(one, segment)), one.confidence)


def _as_left(one: GivenSegment, curve: Floats, step: float, own: _Own) -> Segment:
    confidence = own.confidence(one)
    return Segment(
        start=one.start,
        end=one.end,
        label=one.label,
        # A person does not state a probability; their segments pass every threshold.
        confidence=1.0 if confidence is None else confidence,
        peak=find_peak(curve, one.start, one.end, step),
        source="person" if confidence is None else "model",
    )


def _is_same(one: GivenSegment, segment: Segment) -> bool:
    off = max(abs(one.start - segment.start), abs(one.end - segment.end))
    return one.label == segment.label and off <= UNCHANGED
