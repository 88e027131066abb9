"""How much each stream contributed to a segment, by leaving it out.

A stream's contribution is how far the fused curve of the segment's label falls, on average inside the segment, when
the network is told that the stream is absent. Contributions below zero (the stream spoke against the segment) count
as zero; shares are contributions over their sum. Where none contributed alone, the present streams share equally.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.result import Curve
from model.segments import Evidence, Segment
from model.serving import fuse
from model.spec import CLASSES

_STREAMS = ("visual", "audio", "face")


def with_evidence(segment: Segment, curve: Curve) -> Segment:
    """The segment with its evidence; without it where the curve holds no stream to leave out."""
    if not curve.without:
        return segment
    label = CLASSES.index(segment.label)
    inside = _snippets(segment, curve)
    full = curve.frame_scores()
    mean = fuse(full.scores, full.saliency)[inside, label].mean()
    drops = {
        stream: max(0.0, float(mean - np.mean(np.array(less[segment.label])[inside])))
        for stream, less in curve.without.items()
    }
    total = sum(drops.values())
    shares = {stream: drop / total if total > 0 else 1 / len(drops) for stream, drop in drops.items()}
    return replace(segment, evidence=Evidence(**{stream: shares.get(stream, 0.0) for stream in _STREAMS}))


def _snippets(segment: Segment, curve: Curve) -> NDArray[np.bool_]:
    """Snippets (T,) whose centre lies in the segment; the one under the peak where there is none."""
    centres = (np.arange(len(curve.negative)) + 0.5) * curve.step
    inside: NDArray[np.bool_] = (centres >= segment.start) & (centres <= segment.end)
    if not inside.any():
        inside[np.abs(centres - segment.peak).argmin()] = True
    return inside
