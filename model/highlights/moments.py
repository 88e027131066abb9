"""Moments of one result: its segments, and the turns from one sentiment to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from sentiloc.model.proposals.rule import Floats, fuse, smooth
from sentiloc.model.results.cut import recut
from sentiloc.model.results.result import Curve, Result
from sentiloc.model.segments import Segment
from sentiloc.model.spec import CLASSES

Kind = Literal["positive", "negative", "turning_point"]
KINDS: tuple[Kind, ...] = ("positive", "negative", "turning_point")
_EDGE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A video in which moments are searched, with its id and file name."""

    id: str
    name: str
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentOptions:
    """What counts as a moment. Times in seconds.

    With `min_confidence` None the result's segments are used. A number cuts the stored curve again with that threshold,
    so that a low one finds more; segments corrected by a person are kept. A longer segment is shortened to
    `max_seconds` around its strongest part. Two segments of opposite labels are a turning point if at most `turn_gap`
    lies between them.
    """

    kinds: tuple[Kind, ...] = KINDS
    min_confidence: float | None = None
    max_seconds: float = 10.0
    turn_gap: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A range [start, end] in seconds of the video `footage_id`, strongest at `peak`.

    `confidence` is the model's calibrated probability that the moment is right; of a turning point it is the product
    of both segments' confidences. `by_hand` says that a person drew the segment.
    """

    footage_id: str
    kind: Kind
    start: float
    end: float
    peak: float
    confidence: float
    by_hand: bool = False


def find_moments(footage: Footage, options: MomentOptions) -> tuple[Moment, ...]:
    """The moments of a result, in order of time."""
    footage = replace(footage, result=_cut_again(footage.result, options.min_confidence))
    result = footage.result
    curves = _label_curves(result.curve)
    found = [
        *(_of_segment(footage, segment, curves, options) for segment in result.segments),
        *_turns(footage, curves, options),
    ]
    return tuple(
        moment
        for moment in sorted(found, key=lambda one: (one.start, one.end))
        # Filtered again: turning points and a person's segments do not come from the cut.
        if moment.kind in options.kinds and moment.confidence >= (options.min_confidence or 0.0)
    )


def _cut_again(result: Result, threshold: float | None) -> Result:
    by_hand = any(segment.source == "person" for segment in result.segments)
    if threshold is None or by_hand:
        return result
    return recut(result, replace(result.options, threshold=threshold))


def _label_curves(curve: Curve) -> dict[str, Floats]:
    """The fused curve (T,) of each label, smoothed."""
    frames = curve.frame_scores()
    fused = fuse(frames.scores, frames.saliency)
    return {label: smooth(values) for label, values in zip(CLASSES, fused.T, strict=True)}


def _of_segment(
    footage: Footage, segment: Segment, curves: dict[str, Floats], options: MomentOptions
) -> Moment:
    whole = Moment(
        footage_id=footage.id,
        kind="positive" if segment.label == "positive" else "negative",
        start=segment.start,
        end=segment.end,
        peak=segment.peak,
        confidence=segment.confidence,
        by_hand=segment.source == "person",
    )
    if whole.end - whole.start <= options.max_seconds + _EDGE:
        return whole
    start = _strongest_window(curves[segment.label], footage.result.curve.step, segment, options.max_seconds)
    return replace(whole, start=start, end=min(segment.end, start + options.max_seconds))


def _strongest_window(curve: Floats, step: float, segment: Segment, seconds: float) -> float:
    """Start of the window of `seconds` inside a segment that holds its peak and has the highest mean."""
    earliest = max(segment.start, segment.peak - seconds)
    latest = min(segment.end - seconds, segment.peak)
    starts = np.arange(earliest, latest + _EDGE, step) if latest > earliest else np.array([earliest])
    # Windows need not begin at a snippet, so their sums are interpolated from the cumulative one.
    sums = np.concatenate([[0.0], np.cumsum(curve)])
    places = np.arange(len(sums)) * step
    totals = np.interp(starts + seconds, places, sums) - np.interp(starts, places, sums)
    return float(round(starts[int(np.argmax(totals))], 6))


def _turns(footage: Footage, curves: dict[str, Floats], options: MomentOptions) -> Iterator[Moment]:
    ordered = sorted(footage.result.segments, key=lambda one: (one.start, one.end))
    for before, after in pairwise(ordered):
        if before.label != after.label and after.start - before.end <= options.turn_gap:
            yield _turn(footage, before, after, curves, options.max_seconds)


def _turn(
    footage: Footage, before: Segment, after: Segment, curves: dict[str, Floats], most: float
) -> Moment:
    """From one segment's peak to the next one's, at most `most` seconds around the turn."""
    turn = _crossing(before, after, curves, footage.result.curve.step)
    start = max(before.peak, turn - most / 2, before.start)
    end = min(after.peak, turn + most / 2, after.end)
    # With a peak at the very edge, its segment would not be visible, so at least half a second is shown.
    start, end = min(start, max(before.start, turn - 0.5)), max(end, min(after.end, turn + 0.5))
    return Moment(
        footage_id=footage.id,
        kind="turning_point",
        start=start,
        end=end,
        peak=min(max(turn, start), end),
        confidence=before.confidence * after.confidence,
        by_hand="person" in (before.source, after.source),
    )


def _crossing(before: Segment, after: Segment, curves: dict[str, Floats], step: float) -> float:
    """The time at which the second label's curve overtakes the first one's between the peaks; else halfway between
    them.
    """
    first, last = int(before.peak / step), int(after.peak / step)
    ahead = curves[after.label][first : last + 1] > curves[before.label][first : last + 1]
    halfway = (before.end + after.start) / 2
    low, high = sorted((before.end, after.start))
    if not ahead.any():
        return halfway
    return float(min(max((first + int(np.argmax(ahead))) * step, low), high))
