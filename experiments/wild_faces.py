"""The starter without the faces of `faces_wild`: an ablation of the expression network's training data.

    python -m experiments.wild_faces --data DATA --run RUN

RUN is the run folder of a finished `recipes.starter.build`. Two expression networks are trained with the same short
schedule and seed: on all sources, and without the three sources of `faces_wild` (about half an hour each on one core;
an interrupted training is resumed). Each is measured on unseen faces. Then FSENet is trained on its embeddings and
measured as in `experiments.starter_ablations`.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from experiments.starter_ablations import HELD_OUT, Change, measure
from experiments.unseen_faces import measure_unseen
from recipes.starter.build import HELD_OUT_SEED
from recipes.starter.dataset import Material, embed_sound, make_items, open_sources
from recipes.starter.development import read_development
from recipes.starter.faces.export import NETWORK_FILE, export_package, load_net
from recipes.starter.faces.material import WILD_SHARES, FaceMaterial, gather
from recipes.starter.faces.train import ExpressionRecipe, ExpressionTrainer, accuracy
from recipes.starter.sound.net import load_voice_reader
from recipes.starter.sources.picture_packages import unpack_all
from sentiloc.model.package import shipped_models_dir

RESULTS = Path(__file__).parent / "results" / "wild_faces.json"
SHORT = ExpressionRecipe(sides=((6, 32), (2, 48)), cycles=((8, 2e-3),))
"""8 epochs instead of 42."""
NETWORKS: dict[str, Collection[str]] = {"all sources": (), "without faces_wild": tuple(WILD_SHARES)}


def train_short(faces: FaceMaterial, without: Collection[str], run: Path) -> Path:
    """Train an expression network, or resume its training; returns a models folder with the shipped detector."""
    trainer = ExpressionTrainer(SHORT, run)
    trainer.resume()
    trainer.fit(faces.training(without), {"FER+ selection": faces.ferplus.selection})
    models = run / "models"
    export_package(trainer.checkpoint, models / "expression")
    shutil.copytree(shipped_models_dir() / "face-detector", models / "face-detector", dirs_exist_ok=True)
    return models


def measure_network(faces: FaceMaterial, models: Path, data: Path, run: Path) -> dict[str, Any]:
    """The metrics of one expression network: on unseen faces, and of FSENet on its embeddings, in per cent."""
    network = models / "expression" / NETWORK_FILE
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    material = Material(data=data, run=run, expression=network)
    hearing = load_voice_reader(material.hearing)
    sources = open_sources(material, held_out=True, seed=0)
    held_out = make_items(sources, HELD_OUT, seed=HELD_OUT_SEED, spoil=True)
    held_out = embed_sound(held_out, hearing, material.store(material.hearing))
    clips = read_development(data, material.cache / "clips_development", models, hearing)
    outcome = measure(Change(), material, hearing, held_out, clips)
    return {
        "FER+ report": 100 * accuracy(load_net(models.parent / "last.pt"), faces.ferplus.report),
        **measure_unseen(session, data),
        "FSENet": {field: round(getattr(outcome, field), 1) for field in outcome.__dataclass_fields__},
    }


def main() -> None:
    """Train and measure both networks, print the metrics and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="run folder of a finished build")
    parser.add_argument("--pictures", type=Path, help="folder of pictures without people; default: in RUN")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    pictures = unpack_all(arguments.pictures or arguments.run / "pictures")
    faces = gather(arguments.data, pictures, arguments.run / "expression" / "material")
    found = {}
    for name, without in NETWORKS.items():
        models = train_short(faces, without, arguments.run / "wild_faces" / name.replace(" ", "_"))
        found[name] = measure_network(faces, models, arguments.data, arguments.run)
        print(name, json.dumps(found[name], indent=1), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
