"""Runs a network over items, one video at a time; evaluates it by the benchmark's protocol and the serving rule."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.confidence import Confidence, fit_confidence, without_held_out
from sentiloc.model.evaluation.metrics import DetectionMetrics, GroundTruthSegment, evaluate_detections
from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.ensemble import Ensemble
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.proposals.proposals import propose
from sentiloc.model.proposals.rule import select_segments
from sentiloc.model.proposals.tsl300 import LABELS, video_scores
from sentiloc.model.segments import FrameScores, Proposal
from sentiloc.model.spec import CLASSES

# Calibration needs every single segment, so none may be joined.
_NEVER_MERGE = -1.0


def score_items(network: FSENet | Ensemble, items: Sequence[Item]) -> dict[str, FrameScores]:
    """Frame scores of each item by name: scores (T, C + 1) by the config's fusion, saliency (T,)."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    found = {}
    with torch.inference_mode():
        for item in items:
            batch = collate([item], network.config, "point").to(device)
            output = network(**batch.inputs())
            found[item.name] = FrameScores(
                scores=output.served(network.config.fusion)[0].cpu().numpy(),
                saliency=output.saliency[0, :, 0].cpu().numpy(),
            )
    network.train(training)
    return found


def detect(
    scores: dict[str, FrameScores], items: Sequence[Item], rule: str = "tsl300"
) -> dict[str, list[Proposal]]:
    """Proposals of each item by name, labels "n" and "p"."""
    return {
        item.name: propose(
            scores[item.name].scores.astype("float64"),
            video_scores(scores[item.name].scores.astype("float64")),
            item.fps,
            rule,
        )
        for item in items
    }


def ground_truth(items: Sequence[Item]) -> dict[str, list[GroundTruthSegment]]:
    """Annotated segments of each item by name, in the benchmark's labels."""
    return {
        item.name: [GroundTruthSegment(LABELS[index], start, end) for start, end, index in item.segments]
        for item in items
    }


def evaluate_items(network: FSENet, items: Sequence[Item], rule: str = "tsl300") -> DetectionMetrics:
    """mAP, recall and F2 of a network on labelled items."""
    return evaluate_detections(ground_truth(items), detect(score_items(network, items), items, rule))


def held_out_confidence(network: FSENet, items: Sequence[Item]) -> Confidence:
    """Fit a calibration on the videos of `items` with annotated segments, by the serving rule."""
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
