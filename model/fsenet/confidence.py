"""FSENet's confidence on held-out videos: what serving would show of them, against their annotated segments."""

from __future__ import annotations

from collections.abc import Sequence

from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.confidence import Confidence, fit_confidence, without_held_out
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.proposals.rule import select_segments
from sentiloc.model.segments import FrameScores, Proposal
from sentiloc.model.spec import CLASSES

_NEVER_MERGE = -1.0


def held_out_confidence(network: FSENet, items: Sequence[Item]) -> Confidence:
    """Fit on the videos of `items` that have annotated segments, by the rule that serves."""
    labelled = [item for item in items if item.segments]
    if not labelled:
        return without_held_out("no held-out video with annotated segments")
    scores = score_items(network, labelled)
    found = {item.name: serving_segments(scores[item.name], item) for item in labelled}
    truth = {
        item.name: [GroundTruthSegment(CLASSES[index], start, end) for start, end, index in item.segments]
        for item in labelled
    }
    return fit_confidence(found, truth)


def serving_segments(scores: FrameScores, item: Item) -> list[Proposal]:
    """Every segment that serving could show of a video, with its raw score."""
    shown = select_segments(scores, item.snippet_seconds, threshold=0.0, merge_gap=_NEVER_MERGE)
    return [Proposal(segment.label, segment.confidence, segment.start, segment.end) for segment in shown]
