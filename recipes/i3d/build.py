"""Build exported/fsenet-i3d from the data folder in steps; finished steps are skipped.

    sentiloc weights pull i3d-kinetics
    python -m recipes.i3d.build --data SENTILOC_DATA --run RUN

RUN may be the folder of a finished `recipes.starter.build`; its trained extractors, voices and sounds are then reused.
The I3D features take half an hour on one core with `--device openvino`, and twice as long on the CPU without it. The
other steps take as long as the starter's last steps.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from recipes.i3d.painting import Painter
from recipes.i3d.scenes import VISUAL, SceneBank, open_scenes
from recipes.starter.build import HELD_OUT_SEED, Plan, draw, report, train_extractors
from recipes.starter.dataset import (
    Material,
    embed_sound,
    make_items,
    open_sources,
    read_faces_of,
    read_sound_of,
)
from recipes.starter.development import extract_development
from recipes.starter.faces.bank import face_reading, file_digest
from recipes.starter.faces.draft import EMBEDDING
from recipes.starter.fit import RECIPE, Fitted, finish, fit, make_ensemble, starter_spec, write_package
from recipes.starter.shifts import shift_items
from recipes.starter.sound.net import load_voice_reader
from recipes.starter.sources.picture_packages import unpack_all
from recipes.starter.splits import FOLDS
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.i3d import read_state
from sentiloc.model.extractors.i3d_kinetics import class_names
from sentiloc.model.extractors.scene import SceneReader, group_members
from sentiloc.model.fsenet.ensemble import Ensemble
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.train import TrainConfig
from sentiloc.model.package import extractor_id, shipped_models_dir
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import FaceStream, ModelSpec
from sentiloc.model.weights import find_weights, i3d_weights, require_weights, state_path
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import load_extractor
from sentiloc.worker.runtime.device import Device

logger = logging.getLogger(__name__)

NAME, VERSION = "fsenet-i3d", "1.1.0"
AXES = 16
"""Principal axes of the training pictures that are used in addition to the groups of actions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class I3DPlan:
    """Amounts of data and number of axes; the defaults build the shipped package."""

    train: dict[str, int] = field(
        default_factory=lambda: {"joined": 260, "acted": 220, "composed": 180, "everyday": 560}
    )
    held_out: dict[str, int] = field(default_factory=lambda: Plan().held_out)
    recipe: TrainConfig = field(
        # Validated only at the end; `fit` gives the reason.
        default_factory=lambda: replace(RECIPE, stream_dropout=0.2, epochs=7, validate_every=7)
    )
    pairs: int = 1
    axes: int = AXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """Paths, and how I3D runs; `pictures` is the folder of unpacked pictures without people."""

    material: Material
    pictures: Path
    config: RuntimeConfig
    seed: int

    def scenes(self, *, held_out: bool) -> SceneBank:
        """I3D features of training people, or of held-out ones."""
        material = self.material
        return open_scenes(
            material.data, self.pictures, material.run, self.config, held_out=held_out, seed=self.seed
        )


def build(studio: Studio, out: Path, plan: I3DPlan | None = None) -> Fitted:
    """Train what is missing and write the package folder `out`; raises `weights_missing` without I3D's weights."""
    plan, material, seed = plan or I3DPlan(), studio.material, studio.seed
    require_weights(i3d_weights(VISUAL.extractor))
    train_extractors(material, material.expression.parent.parent, seed)
    scenes = studio.scenes(held_out=False)
    reader = fit_reader(scenes, plan.axes)
    parts = make_training(studio, plan, scenes, reader), make_held_out(studio, plan, reader)
    ensemble = fit_networks(material, plan, parts, seed)
    spec = i3d_spec(material)
    clips = read_clips(studio, spec, reader)
    fitted = finish(ensemble, load_voice_reader(material.hearing), parts[1], clips)
    # Added last: the items above already contain the reader's output, but the package must compute it.
    fitted = replace(fitted, network=fitted.network.with_visual_encoder(reader, VISUAL.dim))
    out.mkdir(parents=True, exist_ok=True)
    write_package(fitted, spec, out)
    draw(ensemble, fitted, parts[1], clips, out)
    report(ensemble, fitted, parts[1], material.run / "scores_i3d.json")
    return fitted


def i3d_spec(material: Material) -> ModelSpec:
    """The package's spec without its threshold: the starter's streams and I3D."""
    starter = starter_spec(FaceStream(encoder=extractor_id(material.expression.parent)))
    return replace(starter, name=NAME, version=VERSION, visual=VISUAL)


def fit_reader(scenes: SceneBank, axes: int) -> SceneReader:
    """Build the reader from I3D's classifier and principal axes; each source has the same weight."""
    state = read_state(state_path(find_weights(i3d_weights(VISUAL.extractor))))
    weight = state["logits.conv3d.weight"].reshape(len(class_names()), VISUAL.dim)
    mean, components = main_axes([scenes.people, scenes.scenery, *_joined(scenes)], axes)
    return SceneReader(
        weight,
        state["logits.conv3d.bias"],
        group_members(class_names()),
        torch.from_numpy(components),
        torch.from_numpy(mean),
    ).eval()


def _joined(scenes: SceneBank) -> list[FloatArray]:
    return [np.concatenate([scenes.clips[name] for name in sorted(scenes.clips)])]


def main_axes(sources: Sequence[FloatArray], count: int) -> tuple[FloatArray, FloatArray]:
    """Mean (dim,) and `count` axes (count, dim) of features (n, dim) of several sources, scaled to unit deviation."""
    mean = np.mean([source.mean(0, dtype=np.float64) for source in sources], axis=0)
    spread = np.mean([np.cov((source - mean).T.astype(np.float64), bias=True) for source in sources], axis=0)
    values, vectors = np.linalg.eigh(spread)
    # `eigh` sorts from the smallest.
    chosen = np.argsort(values)[::-1][:count]
    axes = vectors[:, chosen].T / np.sqrt(values[chosen] + 1e-9)[:, None]
    return mean.astype(np.float32), axes.astype(np.float32)


def make_training(studio: Studio, plan: I3DPlan, scenes: SceneBank, reader: SceneReader) -> list[Item]:
    """The starter's training sequences, with pictures."""
    material, seed = studio.material, studio.seed
    folds = [open_sources(material, held_out=False, seed=seed, fold=fold) for fold in range(FOLDS)]
    # Folds differ in their voices only, so the clips of any fold are the same.
    painter = Painter(bank=scenes, reader=reader, clips=tuple(folds[0].clips), seed=seed)
    items = make_items(folds, plan.train, seed=seed, spoil=True, paint=painter)
    return read_sound_of(items, material, seed=seed)


def make_held_out(studio: Studio, plan: I3DPlan, reader: SceneReader) -> list[Item]:
    """The starter's held-out sequences, with pictures of people who are not in the training data."""
    material, seed = studio.material, studio.seed + HELD_OUT_SEED
    sources = open_sources(material, held_out=True, seed=studio.seed)
    painter = Painter(bank=studio.scenes(held_out=True), reader=reader, clips=tuple(sources.clips), seed=seed)
    items = make_items(sources, plan.held_out, seed=seed, spoil=True, paint=painter)
    hearing = load_voice_reader(material.hearing)
    return embed_sound(items, hearing, material.store(material.hearing))


def read_clips(studio: Studio, spec: ModelSpec, reader: SceneReader) -> list[Item]:
    """The development half of the real clips with all three streams; their sound and pictures are already encoded."""
    material = studio.material
    extractor = load_extractor(spec, studio.config)
    items = extract_development(material.data, material.cache / "clips_i3d", extractor)
    hearing = load_voice_reader(material.hearing)
    return [read_pictures_of(item, reader) for item in embed_sound(items, hearing)]


def read_pictures_of(item: Item, reader: SceneReader) -> Item:
    """An item whose I3D features (T, 1024) are replaced by the reader's output (T, n)."""
    with torch.inference_mode():
        read = reader(torch.from_numpy(np.asarray(item.features.visual))[None])[0].numpy()
    return replace(item, features=replace(item.features, visual=read))


def fit_network(
    material: Material, plan: I3DPlan, faces: FloatArray, parts: tuple[list[Item], list[Item]], seed: int
) -> FSENet:
    """Train a network on sequences with faces projected by `faces` (m, 256); some are shifted as a whole."""
    items, held_out = (read_faces_of(part, faces) for part in parts)
    # Part of the folder's name, so that no checkpoint trained with other extractors is resumed.
    stamp = f"{file_digest(material.expression)[:6]}{file_digest(material.hearing)[:6]}-{plan.axes}"
    folder = material.run / f"fsenet-i3d-{len(faces)}-{stamp}-{seed}"
    moved = shift_items(items, seed=seed)
    return fit(moved, held_out, run=folder, seed=seed, recipe=plan.recipe).network


def fit_networks(
    material: Material, plan: I3DPlan, parts: tuple[list[Item], list[Item]], seed: int
) -> Ensemble:
    """Train an ensemble: half of the networks see the face reading, half the whole face embedding."""
    whole, read = np.eye(EMBEDDING, dtype=np.float32), face_reading(material.expression)
    return make_ensemble(
        [
            (fit_network(material, plan, faces, parts, seed + n), faces)
            for n in range(plan.pairs)
            for faces in (read, whole)
        ]
    )


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=f"Build exported/{NAME} from the data folder.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder for caches, checkpoints and scores")
    parser.add_argument("--pictures", type=Path, help="unpacked picture packages; default RUN/pictures")
    parser.add_argument("--out", type=Path, default=shipped_models_dir() / NAME)
    parser.add_argument("--device", default="cpu", help="cpu or openvino, for I3D")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    device: Device = arguments.device
    expression = shipped_models_dir() / "expression" / "expression.onnx"
    studio = Studio(
        material=Material(data=arguments.data, run=arguments.run, expression=expression),
        pictures=unpack_all(arguments.pictures or arguments.run / "pictures"),
        config=RuntimeConfig(device=device, threads=arguments.threads),
        seed=arguments.seed,
    )
    build(studio, arguments.out)


if __name__ == "__main__":
    main()
