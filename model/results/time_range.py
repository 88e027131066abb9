"""Results of a part of a video. Outside the part, there are no findings. Numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Curve, Result
from sentiloc.model.results.sound import VALUES_PER_SNIPPET
from sentiloc.model.segments import snippet_span

if TYPE_CHECKING:
    from sentiloc.model.results.task_result import EmotionResult, ExpressionResult

ResultT = TypeVar("ResultT", Result, "EmotionResult", "ExpressionResult")


def within(result: ResultT, start: float, end: float | None) -> ResultT:
    """The result of [start, end) seconds, rounded to whole snippets; end None means the video's end. Times still count
    from the video's start.

    Outside, the stored curve is set to "nothing found", so that later cuts with other options agree.
    """
    step = result.curve.step
    first, stop = snippet_span(start, end, step)
    last = math.inf if stop is None else stop
    if isinstance(result, Result):
        curve = _masked(result.curve, first, last)
        segments = cut_segments(curve, result.video.duration, result.calibration, result.options)
        return replace(result, curve=curve, segments=segments)
    series = {name: _mask(values, first, last, 0.0) for name, values in result.curve.series.items()}
    return replace(result, curve=replace(result.curve, series=series)).recut(result.options)


def placed(result: Result, first: int, total: int) -> Result:
    """The result of a part of a video, placed at snippet `first` of `total`, without its segments. Around it, the curve
    is set to "nothing found" and silence.
    """
    curve = result.curve
    before, after = min(first, total), max(0, total - first - len(curve.saliency))
    without = {
        stream: {label: _padded(values, before, after, 0.0) for label, values in labels.items()}
        for stream, labels in curve.without.items()
    }
    curve = replace(
        curve,
        negative=_padded(curve.negative, before, after, 0.0),
        positive=_padded(curve.positive, before, after, 0.0),
        saliency=_padded(curve.saliency, before, after, 0.0),
        non_sentiment=_padded(curve.non_sentiment, before, after, 1.0),
        face_present=(False,) * before + curve.face_present + (False,) * after,
        faces=(0,) * before + curve.faces + (0,) * after if curve.faces else (),
        face_boxes=((),) * before + curve.face_boxes + ((),) * after if curve.face_boxes else (),
        without=without,
    )
    sound = result.sound
    if sound is not None:
        quiet = (before * VALUES_PER_SNIPPET, after * VALUES_PER_SNIPPET)
        sound = replace(sound, loudness=_padded(sound.loudness, *quiet, 0.0))
    return replace(result, curve=curve, sound=sound, segments=())


def _padded(values: tuple[float, ...], before: int, after: int, filling: float) -> tuple[float, ...]:
    return (filling,) * before + values + (filling,) * after


def _masked(curve: Curve, first: int, last: float) -> Curve:
    without = {
        stream: {label: _mask(values, first, last, 0.0) for label, values in labels.items()}
        for stream, labels in curve.without.items()
    }
    return replace(
        curve,
        negative=_mask(curve.negative, first, last, 0.0),
        positive=_mask(curve.positive, first, last, 0.0),
        saliency=_mask(curve.saliency, first, last, 0.0),
        # "Nothing found" means a probability of 1 for no sentiment.
        non_sentiment=_mask(curve.non_sentiment, first, last, 1.0),
        without=without,
    )


def _mask(values: Sequence[float], first: int, last: float, outside: float) -> tuple[float, ...]:
    return tuple(value if first <= index < last else outside for index, value in enumerate(values))
