"""Train the starter's FSENet on embedded sequences and make a package of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recipes.starter.evaluate import calibrate, pick_threshold
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.logmel import NORMAL_LEVEL
from sentiloc.model.fsenet.ensemble import Ensemble, LinearReadout
from sentiloc.model.fsenet.export import export_onnx
from sentiloc.model.fsenet.losses import LossConfig, Supervision
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.fsenet.train import TrainConfig, TrainResult, train
from sentiloc.model.package import write_calibration
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec

logger = logging.getLogger(__name__)

NAME, VERSION = "fsenet-starter", "2.3.0"
# The share of neutral time that may be marked. It is lowest for material that is closest to what users send.
MOST_NEUTRAL_MARKED = {"everyday": 0.05, "clips": 0.05, "acted": 0.15, "composed": 0.15, "joined": 0.15}

AUDIO = AudioStream(level=NORMAL_LEVEL)

NETWORK = FSENetConfig(
    visual_dim=None,
    width=128,
    heads=4,
    dropout=0.2,
    saliency_width=128,
    class_width=32,
    # A person's own mean is subtracted, so that a resting face or voice does not count as sentiment (`shifts.py`).
    centred=True,
    standardized=True,
)
RECIPE = TrainConfig(
    network=NETWORK,
    # Sequences have whole labels, and most of their time is neutral: the printed loss does not penalize false scores.
    loss=LossConfig(base="bce"),
    learning_rate=1e-3,
    weight_decay=1e-4,
    epochs=5,
    schedule="cosine",
    clip=1.0,
    stream_dropout=0.15,
    # Validated only at the end: see `fit`.
    validate_every=5,
    precision="fp32",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained starter (it contains the audio encoder), its calibration, threshold and cross-validated ECE."""

    network: Ensemble
    calibration: Calibration
    threshold: float
    calibration_error: float


def fit(
    items: Sequence[Item],
    held_out: Sequence[Item],
    *,
    run: Path | None,
    seed: int,
    supervision: Supervision = "full",
    recipe: TrainConfig = RECIPE,
) -> TrainResult:
    """Train on encoded sequences; the network takes their sizes.

    The recipe validates only at its end: with a learning rate that falls to zero the last epoch is the best calibrated,
    and selecting noisy earlier epochs by mAP cost 10 points.
    """
    features = items[0].features
    sizes = {
        "audio_shape": np.asarray(features.audio).shape[1:],
        "face_dim": np.asarray(features.face).shape[1],
        "visual_dim": None if features.visual is None else features.visual.shape[1],
    }
    network = replace(recipe.network, **sizes)
    loss = replace(recipe.loss, supervision=supervision)
    config = replace(recipe, seed=seed, loss=loss, network=network)
    return train(config, items, held_out, run_dir=run, resume=True, device="cpu")


def make_ensemble(networks: Sequence[tuple[FSENet, FloatArray]]) -> Ensemble:
    """Join networks to one on encoded sound (T, n) and faces (T, 256); each has its own projection (m, 256)."""
    members = [
        # Sound is encoded already, so it passes unchanged.
        LinearReadout(net, audio=torch.eye((net.config.audio_shape or (0,))[0]), face=torch.from_numpy(faces))
        for net, faces in networks
    ]
    return Ensemble(members).eval()


def finish(ensemble: Ensemble, hearing: nn.Module, held_out: Sequence[Item], clips: Sequence[Item]) -> Fitted:
    """Calibrate, choose the default threshold, and put the audio encoder into the network.

    Calibration and threshold use held-out sequences and real clips, both with encoded sound.
    """
    scores, clip_scores = score_items(ensemble, held_out), score_items(ensemble, clips)
    calibration, error = calibrate(held_out, scores, clips, clip_scores)
    threshold = pick_threshold(
        held_out, scores, clips, clip_scores, calibration, most_marked=MOST_NEUTRAL_MARKED
    )
    return Fitted(
        network=ensemble.with_audio_encoder(hearing, (AUDIO.frames, AUDIO.mels)),
        calibration=calibration,
        threshold=threshold,
        calibration_error=error,
    )


def starter_spec(face: FaceStream) -> ModelSpec:
    """The starter's spec without its threshold."""
    return ModelSpec(name=NAME, version=VERSION, visual=None, audio=AUDIO, face=face)


def write_package(fitted: Fitted, spec: ModelSpec, out: Path) -> ModelSpec:
    """Write the graph, `spec.json` and the calibration; the graph is checked before it is moved into place."""
    spec = replace(spec, confidence_threshold=fitted.threshold)
    worst = export_onnx(fitted.network, spec, out / "fsenet.onnx")
    (out / "spec.json").write_text(spec.to_json() + "\n", encoding="utf-8")
    write_calibration(fitted.calibration, out)
    logger.info("wrote %s; ONNX differs from PyTorch by %.1e", out, worst)
    return spec
