"""I3D features for composed sequences, computed once: real clips, rendered portraits, rendered scenery."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.i3d.portraits import Picture, Portrait, read_portraits, split_scenery
from recipes.i3d.render import FRAMES, Snippet, film_person, film_scenery
from recipes.starter.clips import IGNORED, sentiment_of
from recipes.starter.faces.bank import cached
from recipes.starter.pictures import draw, fonts, read_pictures
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import ModelSpec, VisualStream
from sentiloc.model.weights import KINETICS_I3D, require_i3d, sha256
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import Extractor, load_extractor
from sentiloc.worker.features.visual import VISUAL_SIZE

logger = logging.getLogger(__name__)

See = Callable[[Sequence[Snippet]], FloatArray]
"""Snippets (16, 224, 224, 3) -> features (n, 1024): `VisualExtractor.extract`."""
VISUAL = VisualStream(extractor=KINETICS_I3D)
# Snippets a file: an interrupted run loses at most this many.
BLOCK = 60
# Snippets to render.
SCENERY, HELD_OUT_SCENERY = 300, 60
_DRAWN, _PLAIN = 0.2, 0.06
"""Shares of scenery: word cards, charts and patterns; black, white and plain frames."""
# Share of people before a picture; the others fill the frame.
_FOCUSED = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneBank:
    """Features of people (n, 1024) with the sentiment that they show (n,), of scenery (m, 1024), of clips by name.

    A clip's features are (T, 1024), one row every 0.64 s from its beginning.
    """

    people: FloatArray
    labels: NDArray[np.int64]
    scenery: FloatArray
    clips: dict[str, FloatArray]


def film_people(
    see: See, portraits: Sequence[Portrait], scenery: Sequence[Picture], folder: Path, seed: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Features and labels of every portrait, rendered once; computed in blocks, so an interrupted run can continue."""

    def film(rng: Generator, number: int) -> Snippet:
        backdrop = scenery[int(rng.integers(len(scenery)))] if rng.random() < _FOCUSED else None
        return film_person(rng, portraits[number].picture, backdrop)

    labels = np.array([portrait.label for portrait in portraits], np.int64)
    return _filmed(see, film, len(portraits), folder, seed), labels


def film_all_scenery(
    see: See, pictures: Sequence[Picture], count: int, typefaces: Path, folder: Path, seed: int
) -> FloatArray:
    """Features of `count` snippets without people: rendered pictures, drawn cards and charts, plain frames."""
    letters = fonts((Path("/usr/share/fonts"), typefaces))

    def film(rng: Generator, _number: int) -> Snippet:
        kind = rng.random()
        if kind < _PLAIN:
            shade = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.zeros(3)
            return np.full((FRAMES, VISUAL_SIZE, VISUAL_SIZE, 3), shade, np.uint8)
        if kind < _PLAIN + _DRAWN:
            return film_scenery(rng, draw(rng, letters))
        return film_scenery(rng, pictures[int(rng.integers(len(pictures)))])

    return _filmed(see, film, count, folder, seed)


def _filmed(
    see: See, film: Callable[[Generator, int], Snippet], count: int, folder: Path, seed: int
) -> FloatArray:
    """Features (count, 1024) of snippets; snippet i depends only on the seed and i."""
    parts = []
    for start in range(0, count, BLOCK):
        numbers = range(start, min(start + BLOCK, count))

        def make(numbers: range = numbers) -> dict[str, Any]:
            logger.info("%s: rendering %d to %d of %d", folder.name, numbers[0], numbers[-1], count)
            snippets = (film(np.random.default_rng((seed, n)), n) for n in numbers)
            return {"features": np.concatenate([see([s]) for s in snippets]).astype(np.float16)}

        parts.append(cached(folder / f"{start:05d}.npz", make)["features"])
    return np.concatenate(parts).astype(np.float32)


def clip_features(folder: Path, extractor: Extractor, store: Path) -> dict[str, FloatArray]:
    """Features (T, 1024) of a folder's videos of known sentiment, by name without suffix; computed once per video."""

    def make(path: Path) -> dict[str, Any]:
        logger.info("extracting %s", path.name)
        return {"visual": extractor.extract(path, lambda _stage, _done: None).features.visual}

    with (folder / "index.csv").open(newline="", encoding="utf-8") as rows:
        known = [row["file"] for row in csv.DictReader(rows) if sentiment_of(row["emotion"]) != IGNORED]
    files = [folder / name for name in sorted(known)]
    return {path.stem: cached(store / f"{path.stem}.npz", partial(make, path))["visual"] for path in files}


def open_scenes(
    data: Path, pictures: Path, run: Path, config: RuntimeConfig, *, held_out: bool, seed: int
) -> SceneBank:
    """Features of all content of training sequences (or held-out ones), computed by the I3D of `VISUAL`.

    `pictures` is the folder of unpacked pictures without people. Raises `weights_missing` if the weights were not
    fetched.
    """
    spec = ModelSpec(name="scenes", version="0", visual=VISUAL, audio=None, face=None)
    extractor = load_extractor(spec, config)
    if extractor.visual is None:
        raise ValueError("a spec of pictures alone has a visual network")
    part = "held_out" if held_out else "train"
    store = run / "cache" / f"scenes-{sha256(require_i3d(config.precision, VISUAL.extractor))[:12]}"
    scenery = split_scenery(read_pictures(pictures), held_out=held_out)
    portraits = read_portraits(data, held_out=held_out, seed=seed)
    people, labels = film_people(
        extractor.visual.extract, portraits, scenery, store / f"people-{part}-{seed}", seed
    )
    count = HELD_OUT_SCENERY if held_out else SCENERY
    # Another seed: snippet i of both sets would otherwise have the same random numbers.
    empty = film_all_scenery(
        extractor.visual.extract, scenery, count, pictures, store / f"scenery-{part}-{seed}", seed + 1
    )
    return SceneBank(
        people=people,
        labels=labels,
        scenery=empty,
        clips=clip_features(data / "javanese_av", extractor, store / "clips"),
    )
