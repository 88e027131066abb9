"""How strongly the model reacts over time, one curve per label: what the page, the plots and the report draw."""

from __future__ import annotations

from collections.abc import Mapping

from sentiloc.model.proposals.rule import fuse
from sentiloc.model.results.result import Result
from sentiloc.model.results.task_result import AnyResult, ExpressionResult, labels_of
from sentiloc.model.spec import CLASSES


def strength(result: AnyResult) -> Mapping[str, tuple[float, ...]]:
    """One value in [0, 1] per step of the result's curve, for each label.

    Sentiment: the fused curve from which segments are cut (`rule.fuse`). Emotion: the probability of the class.
    Expression: how much the face moves, times the score of the class.
    """
    if isinstance(result, Result):
        scores = result.curve.frame_scores()
        return dict(zip(CLASSES, map(tuple, fuse(scores.scores, scores.saliency).T.tolist()), strict=True))
    series = result.curve.series
    if isinstance(result, ExpressionResult):
        moved = series["intensity"]
        return {
            label: tuple(one * share for one, share in zip(moved, series[label], strict=True))
            for label in labels_of(result)
        }
    return {label: tuple(series[label]) for label in labels_of(result)}
