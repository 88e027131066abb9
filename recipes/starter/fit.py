"""Train the starter's FSENet on embedded sequences and make a package of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from recipes.starter.judge import calibrate, pick_threshold
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.expression import EMOTIONS
from sentiloc.model.extractors.speech import VoiceReader
from sentiloc.model.fsenet.ensemble import Committee, Reading
from sentiloc.model.fsenet.export import export_onnx
from sentiloc.model.fsenet.losses import LossConfig, Supervision
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.fsenet.train import TrainConfig, TrainResult, train
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec

logger = logging.getLogger(__name__)

NAME, VERSION = "fsenet-starter", "1.2.0"
MOST_NEUTRAL_MARKED = 0.15
VOICE, VOICE_READING, FACE_READING = 512, 24, len(EMOTIONS)
"""Values of a snippet: the voice's embedding; what is read in it; what is read in a face."""

NETWORK = FSENetConfig(
    visual_dim=None,
    audio_shape=(VOICE,),
    face_dim=256,
    width=128,
    heads=4,
    dropout=0.2,
    saliency_width=128,
    class_width=32,
    centred=True,
    standardized=True,
)
RECIPE = TrainConfig(
    network=NETWORK,
    loss=LossConfig(base="bce"),
    learning_rate=1e-3,
    weight_decay=1e-4,
    epochs=14,
    schedule="cosine",
    clip=1.0,
    stream_dropout=0.15,
    validate_every=14,
    precision="fp32",
)
READING_RECIPE = replace(
    RECIPE,
    network=replace(NETWORK, audio_shape=(VOICE_READING,), face_dim=FACE_READING),
    epochs=10,
    validate_every=10,
)
"""For the network that learns from readings: few values, which mean the same whoever is seen or heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained starter (audio encoder inside), its calibration, threshold and cross-validated ECE."""

    network: Committee
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
    """Train on sequences whose sound is embedded. The recipe validates at its end only: with a rate that falls to
    zero the last epoch is the best calibrated, and choosing among noisy early ones by mAP lost 10 points of it.
    """
    config = replace(recipe, seed=seed, loss=replace(recipe.loss, supervision=supervision))
    return train(config, items, held_out, run_dir=run, resume=True, device="cpu")


def seat(whole: FSENet, reading: FSENet, faces: FloatArray) -> Committee:
    """Both networks on the same streams: voices (T, 512 + 24) embedded and read, face embeddings (T, 256).

    `faces` (8, 256) reads a face embedding.
    """
    columns, face = torch.eye(VOICE + VOICE_READING), torch.from_numpy(faces)
    return Committee(
        [
            Reading(whole, audio=columns[:VOICE], face=torch.eye(face.shape[1])),
            Reading(reading, audio=columns[VOICE:], face=face),
        ]
    ).eval()


def finish(committee: Committee, voices: VoiceReader, held_out: Sequence[Item]) -> Fitted:
    """Calibrate on held-out sequences (voices embedded and read) and choose the default threshold there; put what
    reads voices into the network.
    """
    scores = score_items(committee, held_out)
    calibration, error = calibrate(held_out, scores)
    threshold = pick_threshold(held_out, scores, calibration, most_neutral_marked=MOST_NEUTRAL_MARKED)
    sound = AudioStream()
    return Fitted(
        network=committee.hearing(voices, (sound.frames, sound.mels)),
        calibration=calibration,
        threshold=threshold,
        calibration_error=error,
    )


def write_package(fitted: Fitted, face: FaceStream, out: Path) -> ModelSpec:
    """Write `fsenet.onnx`, `spec.json` and `calibration.json`; the graph is checked before it appears."""
    spec = ModelSpec(
        name=NAME,
        version=VERSION,
        visual=None,
        audio=AudioStream(),
        face=face,
        confidence_threshold=fitted.threshold,
    )
    worst = export_onnx(fitted.network, spec, out / "fsenet.onnx")
    (out / "spec.json").write_text(spec.to_json() + "\n")
    (out / "calibration.json").write_text(fitted.calibration.to_json() + "\n")
    logger.info("wrote %s; ONNX differs from PyTorch by %.1e", out, worst)
    return spec
