"""The two plots of a model card: the reliability of confidence, and an example of a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.starter.faces.draft import SNIPPET
from sentiloc.model.data.items import Item
from sentiloc.model.proposals.rule import fuse
from sentiloc.model.segments import FrameScores, Segment
from sentiloc.model.spec import CLASSES, NEGATIVE, POSITIVE

_BINS = 8
_COLOURS = {NEGATIVE: "#c0392b", POSITIVE: "#27843b"}


def plot_reliability(confidence: NDArray[np.float64], right: NDArray[np.float64], path: Path) -> None:
    """Plot the share of right segments (N,) against their confidence (N,), in equal-width bins with their sizes."""
    figure, axes = _figure(4.2, 3.6)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    # A confidence of 1 belongs to the last bin.
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    for index in range(_BINS):
        inside = place == index
        if inside.any():
            x, y = float(confidence[inside].mean()), float(right[inside].mean())
            axes.plot(x, y, "o", color="#2c5f8a")
            axes.annotate(
                str(int(inside.sum())), (x, y), textcoords="offset points", xytext=(6, -8), fontsize=7
            )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated confidence", ylabel="share right (tIoU ≥ 0.3)")
    _save(figure, path)


def plot_timeline(item: Item, scores: FrameScores, shown: Sequence[Segment], path: Path) -> None:
    """Plot the fused curves of one sequence with its true segments above and the found ones below."""
    figure, axes = _figure(8, 2.6)
    curves = fuse(scores.scores, scores.saliency)
    seconds = (np.arange(len(curves)) + 0.5) * SNIPPET
    for label, colour in _COLOURS.items():
        axes.plot(seconds, curves[:, label], color=colour, linewidth=1, label=CLASSES[label])
    for true in item.segments:
        axes.axvspan(true.start, true.end, 0.92, 1.0, color=_COLOURS[true.class_index])
    for segment in shown:
        colour = _COLOURS[CLASSES.index(segment.label)]
        axes.axvspan(segment.start, segment.end, 0.0, 0.08, color=colour, alpha=max(0.2, segment.confidence))
    axes.set(xlim=(0, float(seconds[-1])), ylim=(-0.12, 1.12), xlabel="seconds", ylabel="fused score")
    axes.set_title("top: true segments; bottom: found segments", fontsize=8)
    axes.legend(fontsize=7, loc="center right")
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot, which would look for a screen.
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    # The version of matplotlib would change the file.
    figure.savefig(path, metadata={"Software": None})
