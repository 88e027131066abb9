"""Emotions and expressions as pictures: `sentiloc plot` of results of the tasks besides sentiment."""

from __future__ import annotations

from typing import Any

from sentiloc.cli.drawing.drawing import percent
from sentiloc.model.results.task_result import EmotionResult, ExpressionResult

# The colours of Okabe and Ito, darker versions on white.
_COLOURS = ("#1f77d0", "#d9730d", "#00855f", "#b0468f", "#5552c4", "#8a6d00", "#b8324a", "#55636f")
_TOP = 1.3


def draw_emotions(axes: Any, result: EmotionResult) -> None:
    """A line for each class, the network's attention as shading, and the segments above."""
    edges = _edges(result)
    seen, heard = (result.curve.series[f"attention_{name}"] for name in ("visual", "audio"))
    attention = [(a + b) / 2 for a, b in zip(seen, heard, strict=True)]
    axes.stairs(attention, edges, fill=True, color="#dddddd", label="attention")
    for name in result.classes:
        axes.stairs(result.curve.series[name], edges, baseline=None, color=_colour(result, name), label=name)
    for segment in result.segments:
        words = f"{segment.label} {percent(segment.confidence)}"
        _block(axes, segment.start, segment.end, 1.1, _colour(result, segment.label), words, result)
    axes.set(ylim=(0, _TOP), yticks=(0, 0.5, 1))
    axes.set_ylabel("probability")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def draw_expressions(axes: Any, result: ExpressionResult) -> None:
    """Intensity, split by kind above and below the axis; blocks from onset to offset, a diamond at the apex."""
    edges, intensity = _edges(result), result.curve.series["intensity"]
    for name, sign in zip(result.classes, (1, -1), strict=False):
        share = result.curve.series[name]
        values = [sign * a * b for a, b in zip(intensity, share, strict=True)]
        axes.stairs(values, edges, baseline=0, fill=True, alpha=0.4, color=_colour(result, name))
    for segment in result.segments:
        sign, colour = (1 if segment.label == result.classes[0] else -1), _colour(result, segment.label)
        _block(axes, segment.start, segment.end, sign * 1.1, colour, percent(segment.confidence), result)
        axes.plot([segment.peak] * 2, [0, sign], color=colour, linewidth=0.8, linestyle=":")
        axes.plot([segment.peak], [sign], color="black", marker="D", markersize=4)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(ylim=(-_TOP, _TOP), yticks=(-1, 0, 1))
    # An intensity is never negative; the side of the axis only shows the kind.
    axes.set_yticklabels(["1", "0", "1"])
    axes.set_ylabel("  ·  ".join(reversed(result.classes)))


def describe(result: EmotionResult | ExpressionResult) -> str:
    """The line above the picture."""
    model = f"{result.model.name} {result.model.version}"
    threshold = f"from {result.options.threshold:.0%} on"
    if isinstance(result, ExpressionResult):
        return f"{model}; blocks: onset to offset, {threshold}; diamonds: apexes"
    label, share = max(result.probabilities.items(), key=lambda pair: pair[1])
    return f"the video as a whole: {label} {percent(share)}; {model}; blocks: segments, {threshold}"


def _edges(result: EmotionResult | ExpressionResult) -> list[float]:
    count = len(next(iter(result.curve.series.values())))
    return [min(i * result.curve.step, result.video.duration) for i in range(count + 1)]


def _colour(result: EmotionResult | ExpressionResult, name: str) -> str:
    return _COLOURS[result.classes.index(name) % len(_COLOURS)]


def _block(
    axes: Any,
    start: float,
    end: float,
    middle: float,
    colour: str,
    words: str,
    result: EmotionResult | ExpressionResult,
) -> None:
    """A bar from start to end, with its text if it fits."""
    axes.barh(middle, end - start, left=start, height=0.16, color=colour)
    # A character of size 7 takes 0.9 % of a picture of 11 inches.
    if (end - start) / result.video.duration > 0.009 * len(words):
        axes.text((start + end) / 2, middle, words, ha="center", va="center", fontsize=7, color="white")
