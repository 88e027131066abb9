"""Results of CTEN and GIM, trained here in a moment on planted features: what pictures of the other tasks show.

Not of a video: the features are drawn (`model/cten/synthetic.py`, `model/gim/synthetic.py`), and so is what the
networks find in them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sentiloc.model.cten.detect import EmotionScores
from sentiloc.model.cten.network import CTENConfig
from sentiloc.model.cten.synthetic import PlantedEmotions, planted_emotions
from sentiloc.model.cten.training import CTENTrainConfig, score_items, train_cten
from sentiloc.model.gim.items import ExpressionItem
from sentiloc.model.gim.network import GIM, GIMConfig
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig, train_gim
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import ModelIdentity, SegmentOptions
from sentiloc.model.results.task_result import (
    EmotionResult,
    ExpressionResult,
    SeriesCurve,
    cut_emotions,
    cut_expressions,
    make_series,
)
from sentiloc.model.segments import VideoInfo

EMOTIONS = ("anger", "joy", "fear", "sadness", "surprise", "disgust")
KINDS = ("macro", "micro")


def _shared(name: str, duration: float, curve: SeriesCurve) -> dict[str, Any]:
    return {
        "video": VideoInfo(duration=duration, fps=25.0, width=640, height=360, has_audio=True),
        "faces_seen": sum(curve.face_present),
        "curve": curve,
        "model": ModelIdentity(name=name, version="1", spec_hash="0" * 16, device="cpu"),
        "timings": {},
        "calibration": Calibration(),
    }


def planted_emotion_result(seconds: float) -> EmotionResult:
    """Of planted videos that training never saw, made to last that many seconds: one with several segments."""
    torch.manual_seed(0)
    world = PlantedEmotions(length=(22, 26), stretches=(2, 2))
    network = CTENConfig(
        visual_dim=world.visual_dim, audio_dim=world.audio_dim, classes=world.classes, width=48
    )
    trained = train_cten(CTENTrainConfig(network=network).quick(), planted_emotions(world, 120, "train"))
    items = planted_emotions(world, 12, "test")
    right = [
        scores
        for item, scores in zip(items, score_items(trained.network, items), strict=True)
        if int(scores.video.argmax()) == item.class_index
    ]
    return max((_emotions(scores, seconds) for scores in right), key=lambda one: len(one.segments))


def _emotions(scores: EmotionScores, seconds: float) -> EmotionResult:
    columns = dict(zip(("attention_visual", "attention_audio"), scores.attention.T, strict=True))
    columns |= dict(zip(EMOTIONS, scores.segments.T, strict=True))
    length = len(scores.segments)
    curve = make_series(columns, seconds / length, (True,) * length)
    chances = {name: round(float(p), 4) for name, p in zip(EMOTIONS, scores.video, strict=True)}
    options = SegmentOptions(threshold=0.2, labels=EMOTIONS)
    return EmotionResult(
        **_shared("cten-planted", seconds, curve),
        segments=cut_emotions(curve, chances, seconds, Calibration(), options),
        options=options,
        probabilities=chances,
    )


def planted_expression_result(seconds: float) -> ExpressionResult:
    """Of planted faces of somebody whom training never saw: one with both kinds of expression, if there is."""
    torch.manual_seed(0)
    frames = round(seconds * 30)
    items = planted_expressions(PlantedExpressions(frames=(frames, frames + 1)), 4, 4)
    config = GIMTrainConfig(network=GIMConfig(inputs=items[0].flow.shape[1], width=32)).quick()
    network = train_gim(replace(config, seed=1), items[:-4]).network.eval()
    results = [_expressions(network, item, seconds) for item in items[-4:]]
    return max(results, key=lambda one: (len({s.label for s in one.segments}), len(one.segments)))


def _expressions(network: GIM, item: ExpressionItem, seconds: float) -> ExpressionResult:
    with torch.inference_mode():
        output = network(torch.from_numpy(np.ascontiguousarray(item.flow))[None])
    columns = {"intensity": output.intensity[0].numpy()}
    columns |= dict(zip(KINDS, output.actions[0].numpy().T, strict=True))
    curve = make_series(columns, 1 / 30, (True,) * len(columns["intensity"]))
    options = SegmentOptions(threshold=0.3, min_length=0.1, merge_gap=0.0, labels=KINDS)
    return ExpressionResult(
        **_shared("gim-planted", seconds, curve),
        segments=cut_expressions(curve, KINDS, seconds, Calibration(), options),
        options=options,
        classes=KINDS,
    )
