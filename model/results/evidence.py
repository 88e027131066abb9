"""The contribution of each stream to a segment, measured by leaving it out.

A stream's contribution is the mean fall of the fused curve of the segment's label, inside the segment, when the stream
is masked. Contributions below zero (the stream spoke against the segment) count as zero; shares are contributions over
their sum. If none contributes by itself, the present streams get equal shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from sentiloc.model.proposals.rule import Floats, fuse
from sentiloc.model.results.result import Curve
from sentiloc.model.segments import Evidence, Segment
from sentiloc.model.spec import CLASSES

_STREAMS = ("visual", "audio", "face")


def with_evidence(segments: Iterable[Segment], curve: Curve) -> tuple[Segment, ...]:
    """The segments with their evidence; without it if the curve has no masked streams."""
    if not curve.without:
        return tuple(segments)
    frames = curve.frame_scores()
    full = fuse(frames.scores, frames.saliency)
    without = {
        stream: np.array([less[label] for label in CLASSES]).T for stream, less in curve.without.items()
    }
    return tuple(
        replace(
            segment, evidence=_evidence(segment, _snippets(segment, curve.step, len(full)), full, without)
        )
        for segment in segments
    )


def _evidence(segment: Segment, inside: slice, full: Floats, without: Mapping[str, Floats]) -> Evidence:
    """Shares of one segment from the fused curves (T, C), with all streams and without each."""
    label = CLASSES.index(segment.label)
    mean = full[inside, label].mean()
    drops = {stream: max(0.0, float(mean - less[inside, label].mean())) for stream, less in without.items()}
    total = sum(drops.values())
    # If two streams carry the same evidence, leaving out either one alone changes nothing.
    shares = {stream: drop / total if total > 0 else 1 / len(drops) for stream, drop in drops.items()}
    return Evidence(**{stream: shares.get(stream, 0.0) for stream in _STREAMS})


def _snippets(segment: Segment, step: float, count: int) -> slice:
    """Snippets whose centre is in the segment; the one at the peak if there is none."""
    # The rule interpolates between snippet centres, so a short segment may contain none.
    centres = (np.arange(count) + 0.5) * step
    first, stop = (
        np.searchsorted(centres, segment.start, "left"),
        np.searchsorted(centres, segment.end, "right"),
    )
    if first >= stop:
        first = np.abs(centres - segment.peak).argmin()
        stop = first + 1
    return slice(int(first), int(stop))
