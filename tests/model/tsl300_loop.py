"""The benchmark's proposal rule as plain loops: slow, to check the fast one against."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import Proposal

Floats = NDArray[np.float64]


def interpolate(values: list[float]) -> list[float]:
    fine = []
    for sample in range(24 * len(values)):
        low = min(max(int(np.ceil(sample / 24)) - 1, 0), len(values) - 2)
        fine.append((values[low + 1] - values[low]) * (sample / 24 - low) + values[low])
    return fine


def runs(mask: list[bool]) -> Iterator[tuple[int, int]]:
    if not any(mask[1:]):
        return
    start = None
    for sample, value in enumerate([*mask, False]):
        if value and start is None:
            start = sample
        if not value and start is not None:
            yield start, sample
            start = None


def contrast(curve: list[float], start: int, stop: int) -> float:
    margin = 0.03 * (stop - start)
    left = curve[max(0, int(start - margin)) : start]
    right = curve[stop : min(len(curve) - 1, int(stop - 1 + margin)) + 1]
    outer = [*left, *right]
    return sum(curve[start:stop]) / (stop - start) - (sum(outer) / len(outer) if outer else 0.0)


def candidates(curve: list[float], agnostic: list[float]) -> Iterator[tuple[float, int, int]]:
    for threshold in np.arange(0.0, 0.25, 0.025):
        floored = [value if value >= threshold else 0.0 for value in curve]
        for start, stop in runs([value > 0 for value in floored]):
            yield contrast(floored, start, stop), start, stop
    for threshold in np.arange(0.4, 0.75, 0.025):
        for start, stop in runs([value >= threshold for value in agnostic]):
            yield contrast(curve, start, stop), start, stop


def tiou_with_offset(a: Proposal, b: Proposal) -> float:
    shared = max(0.0, min(a.end, b.end) - max(a.start, b.start) + 1)
    return shared / ((a.end - a.start + 1) + (b.end - b.start + 1) - shared)


def class_proposals(
    label: str, rows: list[tuple[float, int, int]], bonus: float, seconds: float
) -> list[Proposal]:
    waiting = [Proposal(label, score + bonus, start * seconds, stop * seconds) for score, start, stop in rows]
    waiting = sorted(waiting, key=lambda row: row.score, reverse=True)
    kept: list[Proposal] = []
    for proposal in waiting:
        if all(tiou_with_offset(proposal, other) < 0.5 for other in kept):
            kept.append(proposal)
    return kept


def loop_proposals(scores: Floats, class_scores: Floats, fps: float) -> list[Proposal]:
    present = [index for index in (0, 1) if class_scores[index] >= 0.5] or [int(np.argmax(class_scores))]
    agnostic = interpolate((1 - scores[:, 2]).tolist())
    seconds = (16 * len(scores)) / (24 * len(scores) * fps)
    found = []
    for index in present:
        curve = interpolate((scores[:, index] * (1 - scores[:, 2])).tolist())
        rows = list(candidates(curve, agnostic))
        found += class_proposals("np"[index], rows, 0.3 * float(class_scores[index]), seconds)
    return found
