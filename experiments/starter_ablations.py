"""Ablations of the starter's training data: one part is removed, with a reduced training budget and one seed.

    python -m experiments.starter_ablations --data DATA --run RUN [--changes NAME ...]

RUN is the run folder of a finished `recipes.starter.build`; its encoders and caches are used. Each change is trained on
420 sequences for 5 epochs (a minute of one core) and tested on held-out acted sequences, on held-out everyday ones, and
on the development half of the real-world clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from recipes.starter.build import HELD_OUT_SEED
from recipes.starter.dataset import (
    VOICE_READING,
    Material,
    embed_sound,
    make_items,
    open_sources,
    read_faces_of,
)
from recipes.starter.development import NOTHING, read_development
from recipes.starter.evaluate import by_kind, calibrate, neutral_marked, proposals_map, shown_segments
from recipes.starter.faces.bank import face_reading
from recipes.starter.faces.draft import Sources
from recipes.starter.fit import RECIPE, fit, make_ensemble
from recipes.starter.shifts import shift_items
from recipes.starter.sound.net import load_voice_reader
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.package import shipped_models_dir
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.segments import FloatArray, FrameScores
from sentiloc.model.spec import CLASSES

RESULTS = Path(__file__).parent / "results" / "starter_ablations.json"
TRAIN = {"joined": 80, "acted": 80, "composed": 60, "everyday": 200}
HELD_OUT = {"joined": 60, "acted": 60, "composed": 40, "everyday": 100}
SHORT = replace(RECIPE, epochs=5, validate_every=5, learning_rate=1.5e-3)
SENTIMENT_ROWS = 11
"""The columns of a face reading: emotions and sentiment, then blendshapes, then whether there is a face."""
# The same for every row: a threshold fitted to each row would hide what the parts change.
THRESHOLD = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is removed: kinds of sound, columns of sound readings from a number on, rows of face readings."""

    sounds: tuple[str, ...] = ()
    audio: int | None = None
    faces: Callable[[FloatArray], FloatArray] = lambda rows: rows
    everyday: bool = True


CHANGES: Mapping[str, Change] = {
    "everything": Change(),
    "no sound events": Change(audio=VOICE_READING),
    "no calm speech": Change(sounds=("calm",)),
    "no real music and noise": Change(sounds=("music", "noise")),
    "no vocal bursts": Change(sounds=("laughter", "crying", "screaming")),
    "no blendshapes": Change(faces=lambda rows: np.concatenate([rows[:SENTIMENT_ROWS], rows[-1:]])),
    "emotions alone": Change(faces=lambda rows: rows[:8]),
    "no everyday sequences": Change(everyday=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Metrics in per cent: average mAP by kind, neutral time marked, clips with the right label."""

    joined: float
    acted: float
    composed: float
    everyday: float
    everyday_marked: float
    clips_marked: float
    clips_right: int
    clips_wrong: int
    clips: int


def train_items(material: Material, change: Change, hearing: torch.nn.Module) -> list[Item]:
    """Training sequences without the part that a change removes, with sound features."""
    sources: Sources = open_sources(material, held_out=False, seed=0)
    sources = replace(sources, sounds=sources.sounds.without(*change.sounds))
    counts = TRAIN if change.everyday else {**TRAIN, "everyday": 0, "acted": TRAIN["acted"] + 100}
    items = make_items(sources, counts, seed=0, spoil=True)
    return embed_sound(items, hearing, material.store(material.hearing))


def measure(
    change: Change, material: Material, hearing: torch.nn.Module, held_out: list[Item], clips: list[Item]
) -> Outcome:
    """Train with one change and test it. The calibration is fitted on the held-out sequences alone."""
    faces = change.faces(face_reading(material.expression))
    items, held, real = (
        [_heard(i, change.audio) for i in part]
        for part in (train_items(material, change, hearing), held_out, clips)
    )
    read = shift_items(read_faces_of(items, faces), seed=0)
    network = fit(read, read_faces_of(held, faces), run=None, seed=0, recipe=SHORT).network
    ensemble = make_ensemble([(network, faces)])
    scores, clip_scores = score_items(ensemble, held), score_items(ensemble, real)
    calibration = calibrate(held, scores, [], {})[0]
    kinds = {
        kind: 100 * proposals_map(part, {i.name: scores[i.name] for i in part})
        for kind, part in by_kind(held).items()
    }
    everyday = by_kind(held)["everyday"]
    told = [predicted_label(c, clip_scores, calibration) for c in real if c.segments]
    truth = [CLASSES[c.segments[0].class_index] for c in real if c.segments]
    calm = [clip for clip in real if not clip.segments]
    return Outcome(
        **kinds,
        everyday_marked=100
        * neutral_marked(everyday, {i.name: scores[i.name] for i in everyday}, calibration, THRESHOLD),
        clips_marked=100
        * neutral_marked(calm, {c.name: clip_scores[c.name] for c in calm}, calibration, THRESHOLD),
        clips_right=sum(a == b for a, b in zip(told, truth, strict=True)),
        clips_wrong=sum(a not in (b, NOTHING) for a, b in zip(told, truth, strict=True)),
        clips=len(truth),
    )


def predicted_label(clip: Item, scores: Mapping[str, FrameScores], calibration: Calibration) -> str:
    """The label with more shown time, or "none"."""
    shown = shown_segments([clip], scores, calibration, THRESHOLD)[clip.name]
    times = {label: sum(s.end - s.start for s in shown if s.label == label) for label in CLASSES}
    return max(times, key=lambda label: times[label]) if shown else NOTHING


def _heard(item: Item, columns: int | None) -> Item:
    audio = np.asarray(item.features.audio)[:, :columns]
    return replace(item, features=replace(item.features, audio=audio))


def main() -> None:
    """Measure every change, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="run folder of a finished build")
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = shipped_models_dir()
    material = Material(
        data=arguments.data, run=arguments.run, expression=models / "expression" / "expression.onnx"
    )
    hearing = load_voice_reader(material.hearing)
    held_out = make_items(
        open_sources(material, held_out=True, seed=0), HELD_OUT, seed=HELD_OUT_SEED, spoil=True
    )
    held_out = embed_sound(held_out, hearing, material.store(material.hearing))
    clips = read_development(arguments.data, material.cache / "clips_development", models, hearing)
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in arguments.changes:
        outcome = measure(CHANGES[name], material, hearing, held_out, clips)
        found[name] = {field: round(getattr(outcome, field), 1) for field in outcome.__dataclass_fields__}
        print(f"{name:26}", found[name], flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
