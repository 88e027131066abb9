"""Accuracy of the starter's network on unseen actors: each actor of `javanese_av` is left out in turn.

    python -m experiments.leave_actors_out --data DATA --run RUN [--seeds 0] [--changes NAME ...]

RUN is the run folder of a finished `recipes.starter.build`; its encoders and caches are used. A fold encoder
(`python -m recipes.starter.sound.train --fold 0`) must lie in RUN/sound/fold0. Four splits leave two actors out each.
Voices of the left-out actors are encoded by a network that was trained without Javanese, because users' videos are in
unknown languages, too. Each of `--changes` (default: the unchanged recipe) is trained on 750 sequences for 8 epochs,
which takes about two minutes of one core per split. It is scored by the average mAP@0.1:0.3 on 60 joined sequences per
split.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch

from recipes.starter.build import HELD_OUT_SEED, make_training
from recipes.starter.dataset import Material, embed_sound, make_items, open_sources, read_faces_of
from recipes.starter.evaluate import proposals_map
from recipes.starter.faces.bank import face_reading
from recipes.starter.fit import RECIPE, fit
from recipes.starter.shifts import shift_items
from recipes.starter.sound.net import load_voice_reader
from recipes.starter.splits import WHOLE_CORPORA
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.fsenet.train import TrainConfig
from sentiloc.model.package import shipped_models_dir
from sentiloc.model.segments import FloatArray

RESULTS = Path(__file__).parent / "results" / "leave_actors_out.json"
# Seven actors in pairs, so one of them is left out twice. The first pair is the starter's.
SPLITS = (("actor04", "actor07"), ("actor01", "actor06"), ("actor02", "actor05"), ("actor03", "actor06"))
TRAIN = {"joined": 200, "acted": 200, "composed": 150, "everyday": 200}
HELD_OUT = {"joined": 60}
# More epochs at a higher rate than the recipe's, because there are far fewer sequences.
SHORT = replace(RECIPE, epochs=8, validate_every=8, learning_rate=1.5e-3)
CHANGES: dict[str, TrainConfig] = {
    "as shipped": SHORT,
    "not standardized": replace(SHORT, network=replace(SHORT.network, standardized=False)),
    "not centred": replace(SHORT, network=replace(SHORT.network, centred=False)),
    "neither": replace(SHORT, network=replace(SHORT.network, centred=False, standardized=False)),
}


def people(material: Material, faces: FloatArray) -> tuple[list[Item], list[Item]]:
    """Training sequences without the left-out actors, and test sequences of only them, with face and sound features."""
    items = make_training(material, TRAIN, rounds=1, seed=0)
    unseen = open_sources(material, held_out=True, seed=0)
    held_out = make_items(unseen, HELD_OUT, seed=HELD_OUT_SEED, spoil=False)
    path = material.fold_encoder(WHOLE_CORPORA["javanese"])
    held_out = embed_sound(held_out, load_voice_reader(path), material.store(path))
    return shift_items(read_faces_of(items, faces), seed=0), read_faces_of(held_out, faces)


def measure(items: Sequence[Item], held_out: Sequence[Item], recipe: TrainConfig, seed: int) -> float:
    """Train one change on one split. Returns the average mAP@0.1:0.3 of all proposals, in per cent."""
    network = fit(items, held_out, run=None, seed=seed, recipe=recipe).network
    return 100 * proposals_map(held_out, score_items(network, held_out))


def main() -> None:
    """Measure every change in every split, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="run folder of a finished build")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=["as shipped"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    expression = shipped_models_dir() / "expression" / "expression.onnx"
    faces = face_reading(expression)
    rows: dict[str, list[list[float]]] = {name: [] for name in arguments.changes}
    for split in SPLITS:
        material = Material(
            data=arguments.data,
            run=arguments.run,
            expression=expression,
            unseen=frozenset(split),
        )
        items, held_out = people(material, faces)
        for name in arguments.changes:
            rows[name].append([measure(items, held_out, CHANGES[name], seed) for seed in arguments.seeds])
            print(
                f"without {', '.join(split)}: {name:18}", *(f"{x:5.1f}" for x in rows[name][-1]), flush=True
            )
    for name, found in rows.items():
        print(f"{name:18} {mean(mean(seeds) for seeds in found):5.1f}")
    report = {"seeds": arguments.seeds, "splits": SPLITS, "average_map": rows}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
