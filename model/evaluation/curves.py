"""Precision over recall of predictions, by class and tIoU, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.evaluation.metrics import GroundTruth, Predictions, class_names, match_class

Floats = NDArray[np.float64]


def precision_recall(
    truth: GroundTruth, found: Predictions, name: str, tious: Sequence[float]
) -> tuple[Floats, Floats]:
    """Precision and recall of a class after each proposal, best first; (tIoU, N) each."""
    matches = match_class(truth, found, name, tious)
    right = np.cumsum(matches.hits, axis=1).astype(np.float64)
    count = np.arange(1, right.shape[1] + 1)
    return right / np.maximum(count, 1), right / max(matches.annotated, 1)


def draw_curves(truth: GroundTruth, found: Predictions, tious: Sequence[float], path: Path) -> None:
    """Write a picture with one panel per class and one line per tIoU; needs matplotlib."""
    # Figure and not pyplot: no window system, and no global state.
    from matplotlib.figure import Figure

    names = class_names(truth)
    figure = Figure(figsize=(4.5 * len(names), 4), layout="constrained")
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(1, len(names), place)
        precision, recall = precision_recall(truth, found, name, tious)
        for row, tiou in enumerate(tious):
            # Extended to recall 0, because the curve of a single proposal would be a point, which is not drawn.
            known = np.append(precision[row][:1], precision[row])
            axes.plot(np.append(0.0, recall[row])[: len(known)], known, label=f"tIoU {tiou:g}")
        axes.set(title=f"class {name}", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
