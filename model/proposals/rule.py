"""The serving rule: frame scores → candidates → the segments that a user sees. Numpy only, takes milliseconds.

It differs from the benchmark's rule: boundaries lie between snippet centres; lengths and overlaps are plain seconds; a
short dip does not split a segment (hysteresis); segments do not overlap, as in TSL300's annotations; a threshold only
removes segments.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.proposals.nms import descending, suppress
from sentiloc.model.segments import FrameScores, Proposal, Segment
from sentiloc.model.spec import CLASSES, NON_SENTIMENT

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRule:
    """The parameters of the rule, with their reasons. Times in seconds, levels on the fused curve in [0, 1]."""

    levels: tuple[float, ...] = tuple(np.arange(0.15, 0.951, 0.05).round(2).tolist())
    """A candidate's curve reaches its level somewhere.

    The levels are so close that a boundary moves little between two.
    """
    hysteresis: float = 0.1
    """... and never falls below it by more than this, so that jitter of half this size does not split a candidate."""
    min_length: float = 1.0
    """The shortest of TSL300's 1,642 segments lasts 1.07 s. A shorter video may still be one segment."""
    merge_gap: float = 0.64
    """One snippet: a shorter pause cannot be detected (10 % of TSL300's same-label gaps are shorter)."""
    outer_margin: float = 0.25
    """Surroundings on each side, as a share of a candidate's length; at least one snippet."""
    nms_tiou: float = 0.5
    """Of two candidates of a class that share half, only the better one is kept."""
    kept_share: float = 0.5
    """A segment may lose at most half of itself to a better one of the other label."""


DEFAULT_RULE = ServingRule()


class Candidates(NamedTuple):
    """Candidate segments of one class, each field (N,)."""

    score: Floats
    start: Floats
    end: Floats


def serving_proposals(
    scores: NDArray[np.floating],
    saliency: NDArray[np.floating],
    snippet_seconds: float,
    *,
    duration: float | None = None,
    rule: ServingRule = DEFAULT_RULE,
) -> list[Proposal]:
    """Ranked candidates of both labels, best first, for fitting the calibration and computing mAP.

    scores (T, 3): negative, positive, non-sentiment; saliency (T,): W_sent. A score is the fused curve's mean inside
    times (1 - its mean around), so it lies in [0, 1]. Raises `invalid_data` for other shapes.
    """
    length = _covered(len(scores), snippet_seconds, duration)
    found = _candidates(fuse(scores, saliency), snippet_seconds, length, rule)
    return sorted(found, key=lambda row: row.score, reverse=True)


def select_segments(
    frame_scores: FrameScores,
    snippet_seconds: float,
    *,
    threshold: float,
    duration: float | None = None,
    calibration: Calibration | None = None,
    labels: Collection[str] = CLASSES,
    min_length: float = DEFAULT_RULE.min_length,
    merge_gap: float = DEFAULT_RULE.merge_gap,
    face_present: Sequence[bool] | Bools = (),
    rule: ServingRule = DEFAULT_RULE,
) -> list[Segment]:
    """The segments to show, in order of time: confidence >= threshold, no overlap, times within the video.

    A threshold, labels and a longer minimum length only remove segments; none of them moves a boundary. A minimum below
    the rule's own admits shorter candidates. Shown segments of one label that are at most `merge_gap` apart are joined,
    unless the other label is in between. `face_present` (T,) says where a face is seen; without it confidence rests on
    the score alone.
    """
    calibration = calibration or Calibration()
    # A longer minimum must not change which candidates compete. Otherwise moving the slider would move other segments.
    rule = replace(rule, min_length=min(rule.min_length, min_length))
    curves = fuse(frame_scores.scores, frame_scores.saliency)
    length = _covered(len(curves), snippet_seconds, duration)
    # Overlaps are resolved before the threshold is applied, so that a threshold only removes segments.
    chosen = _without_overlap(_candidates(curves, snippet_seconds, length, rule), length, rule)
    unseen = share_unseen(face_present, chosen, snippet_seconds)
    confidence = calibration.probabilities(np.array([row.score for row in chosen]), unseen)
    sure = [row._replace(score=value) for row, value in zip(chosen, confidence.tolist(), strict=True)]
    smoothed = {label: smooth(curve) for label, curve in zip(CLASSES, curves.T, strict=True)}
    shown = _merge([row for row in sure if row.score >= threshold], chosen, merge_gap)
    return [
        Segment(
            start=row.start,
            end=row.end,
            label=row.label,
            confidence=row.score,
            peak=find_peak(smoothed[row.label], row.start, row.end, snippet_seconds),
        )
        for row in shown
        if row.label in labels and row.end - row.start >= min(min_length, length)
    ]


def share_unseen(
    face_present: Sequence[bool] | Bools, segments: Sequence[Proposal | Segment], step: float
) -> Floats:
    """Share of each segment's time (N,) in which no face is seen, by snippets (T,); 0 where nothing is known."""
    unseen = 1.0 - np.asarray(face_present, np.float64)
    if not unseen.size:
        return np.zeros(len(segments))
    edges, total = np.arange(unseen.size + 1) * step, np.append(0.0, np.cumsum(unseen)) * step
    start, end = (np.array([getattr(row, at) for row in segments], np.float64) for at in ("start", "end"))
    long = np.where(end > start, end - start, 1.0)
    return np.asarray((np.interp(end, edges, total) - np.interp(start, edges, total)) / long, np.float64)


def fuse(scores: NDArray[np.floating], saliency: NDArray[np.floating]) -> Floats:
    """One curve per label (T, C) from scores (T, C + 1) and saliency (T,).

    The mean of the two views that training supervises: class × (1 - non-sentiment), as the benchmark combines
    the CAS, and class × W_sent, the global CAS of eq. 10.
    """
    scores, saliency = np.asarray(scores, dtype=np.float64), np.asarray(saliency, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != NON_SENTIMENT + 1 or saliency.shape != scores.shape[:1]:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"scores {scores.shape} and saliency {saliency.shape} do not go together"
        )
    if not np.isfinite(scores).all() or not np.isfinite(saliency).all():
        raise SentilocError(ErrorCode.INVALID_DATA, "scores contain values that are not finite")
    weight = (1 - scores[:, NON_SENTIMENT] + saliency) / 2
    return np.clip(scores[:, :NON_SENTIMENT] * weight[:, None], 0.0, 1.0)


def smooth(curve: Floats) -> Floats:
    """Curve (T,) averaged over three snippets, weights ¼ ½ ¼ and the ends repeated.

    It leaves 3/8 of the variance of noise that is independent between snippets, and is 1.3 s wide at half
    height, no more than the shortest annotated segments.
    """
    padded = np.pad(curve, 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def find_candidates(curve: Floats, step: float, duration: float, rule: ServingRule) -> Candidates:
    """Ranges of a fused curve (T,) that stand out at some level, after NMS, best first."""
    curve = smooth(curve)
    top = np.array(rule.levels)
    low = top - rule.hysteresis
    row, first, stop = _high_runs(curve, low, top)
    start, end = _crossings(curve, low[row], first, stop, step, duration)
    start, end = _bridge(row, start, end, rule.merge_gap)
    long = end - start >= min(rule.min_length, duration)
    start, end = start[long], end[long]
    score = _contrast(curve, start, end, step, duration, rule.outer_margin)
    # The same range is found at many levels; the contrast decides which of its boundaries are kept.
    kept = suppress(start, end, score, rule.nms_tiou, 0.0)
    return Candidates(score[kept], start[kept], end[kept])


def _covered(snippets: int, step: float, duration: float | None) -> float:
    """The seconds covered by the snippets of a video, whose last snippet may be incomplete."""
    return snippets * step if duration is None else min(duration, snippets * step)


def _candidates(curves: Floats, step: float, duration: float, rule: ServingRule) -> list[Proposal]:
    if not duration > 0:
        return []
    return [
        Proposal(label, *row)
        for label, curve in zip(CLASSES, curves.T, strict=True)
        for row in np.stack(find_candidates(curve, step, duration, rule), axis=1).tolist()
    ]


def _high_runs(curve: Floats, low: Floats, top: Floats) -> tuple[Ints, Ints, Ints]:
    """Runs of snippets at `low` (L,) or more that reach `top` (L,): row, first, after the last, (N,)."""
    mask = np.pad(curve >= low[:, None], ((0, 0), (1, 1))).astype(np.int8)
    edges = np.diff(mask, axis=1)
    row, first = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    if not row.size:
        return row, first, stop
    bounds = np.stack([first, stop], axis=1)
    # reduceat takes [first, stop) at even places; the odd ones are the gaps between the runs.
    highest = np.maximum.reduceat(np.append(curve, 0.0), bounds.ravel())[::2]
    reached = highest >= top[row]
    return row[reached], first[reached], stop[reached]


def _crossings(
    curve: Floats, level: Floats, first: Ints, stop: Ints, step: float, duration: float
) -> tuple[Floats, Floats]:
    """Where the curve, drawn straight between snippet centres, crosses each run's level: start, end (N,)."""
    before, after = np.maximum(first - 1, 0), np.minimum(stop, len(curve) - 1)
    rise = _fraction(level - curve[before], curve[first] - curve[before])
    fall = _fraction(curve[stop - 1] - level, curve[stop - 1] - curve[after])
    # A snippet's score belongs to its centre, (i + 0.5) * step. A run at an end of the video has no crossing there.
    start = np.where(first > 0, (first - 0.5 + rise) * step, 0.0)
    end = np.where(stop < len(curve), (stop - 0.5 + fall) * step, duration)
    return np.minimum(start, duration), np.minimum(end, duration)


def _fraction(part: Floats, whole: Floats) -> Floats:
    return np.clip(part / np.where(whole > 0, whole, 1.0), 0.0, 1.0)


def _bridge(row: Ints, start: Floats, end: Floats, gap: float) -> tuple[Floats, Floats]:
    """Join neighbours of one row that are at most `gap` seconds apart."""
    if not row.size:
        return start, end
    opens = np.append(True, (row[1:] != row[:-1]) | (start[1:] - end[:-1] > gap))
    return start[opens], end[np.append(opens[1:], True)]


def _contrast(
    curve: Floats, start: Floats, end: Floats, step: float, duration: float, outer_margin: float
) -> Floats:
    """Mean of the curve inside, times (1 - its mean within the margin around): both in [0, 1]."""
    edges = np.arange(len(curve) + 1) * step
    # The integral, linear between snippet edges, gives exact means for boundaries within a snippet.
    total = np.append(0.0, np.cumsum(curve)) * step
    margin = np.maximum(outer_margin * (end - start), step)
    left, right = np.maximum(start - margin, 0.0), np.minimum(end + margin, duration)
    at_left, at_start, at_end, at_right = (np.interp(at, edges, total) for at in (left, start, end, right))
    around = (start - left) + (right - end)
    outer = ((at_start - at_left) + (at_right - at_end)) / np.where(around > 0, around, 1.0)
    inner = (at_end - at_start) / np.where(end > start, end - start, 1.0)
    return np.clip(inner, 0.0, 1.0) * (1 - np.clip(outer, 0.0, 1.0))


def find_peak(curve: Floats, start: float, end: float, step: float) -> float:
    """Centre of the highest snippet (of a curve (T,)) in a segment, moved inside it at the ends of the video."""
    first = min(int(start / step), len(curve) - 1)
    stop = max(min(math.ceil(end / step), len(curve)), first + 1)
    highest = first + int(np.argmax(curve[first:stop]))
    return min(max((highest + 0.5) * step, start), end)


def _without_overlap(found: list[Proposal], duration: float, rule: ServingRule) -> list[Proposal]:
    """The best candidates, in order of time.

    If two overlap, the worse one is dropped (same label) or cut (other label).
    """
    chosen: list[Proposal] = []
    shortest = min(rule.min_length, duration)
    for index in descending(np.array([row.score for row in found])):
        row = found[index]
        first = bisect_right(chosen, row.start, key=lambda other: other.end)
        stop = bisect_left(chosen, row.end, key=lambda other: other.start)
        cut = _cut(row, chosen[first:stop])
        if cut.end - cut.start >= max(shortest, rule.kept_share * (row.end - row.start)):
            chosen.insert(bisect_left(chosen, cut.start, key=lambda other: other.start), cut)
    return chosen


def _cut(row: Proposal, better: list[Proposal]) -> Proposal:
    """The longest part of a candidate outside better segments; empty if one of them has its label."""
    # The better segment of this label already covers the moment.
    if any(other.label == row.label for other in better):
        return row._replace(end=row.start)
    starts = [row.start, *(other.end for other in better)]
    ends = [*(other.start for other in better), row.end]
    start, end = max(zip(starts, ends, strict=True), key=lambda part: part[1] - part[0])
    return row._replace(start=start, end=end)


def _merge(shown: list[Proposal], chosen: list[Proposal], gap: float) -> list[Proposal]:
    """Join shown neighbours of one label at most `gap` apart, without another label between them.

    `chosen` also holds the segments below the threshold, so that a join does not depend on it. The joined
    confidence is the mean by length.
    """
    merged: list[Proposal] = []
    for row in shown:
        last = merged[-1] if merged else row
        if not merged or last.label != row.label or row.start - last.end > gap or _parted(last, row, chosen):
            merged.append(row)
            continue
        before, after = last.end - last.start, row.end - row.start
        score = (last.score * before + row.score * after) / (before + after)
        merged[-1] = Proposal(row.label, score, last.start, row.end)
    return merged


def _parted(last: Proposal, row: Proposal, chosen: list[Proposal]) -> bool:
    """Whether a segment of another label lies between two of one label."""
    between = [other for other in chosen if last.end <= other.start and other.end <= row.start]
    return any(other.label != row.label for other in between)
