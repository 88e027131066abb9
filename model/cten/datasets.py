"""Loads items from a folder of extracted features and emotion labels.

FOLDER/spec.json, features/SPLIT/…   as `sentiloc extract` or any writer of `model/data/feature_store.py` leaves them
FOLDER/split_SPLIT.txt               names, one a line; their features may also lie in the split "all"
FOLDER/emotions.csv                  columns video_id, label
FOLDER/emotion_segments.csv          columns video_id, start, end in seconds; optional, for evaluation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sentiloc.model.cten.benchmarks import SPLITS, emotion_name, read_segments
from sentiloc.model.cten.inputs import segment_inputs
from sentiloc.model.cten.items import EmotionItem
from sentiloc.model.data.feature_store import check_stream, has_features, read_features, read_spec
from sentiloc.model.data.text import listed, look_alikes, read_names, read_rows
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import ModelSpec

ALL = "all"
LABEL_FILE, SEGMENT_FILE = "emotions.csv", "emotion_segments.csv"


def folder_spec(folder: Path) -> ModelSpec:
    """The spec with which the folder was extracted; raises `invalid_data` if the folder has none."""
    spec = read_spec(folder)
    if spec is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{folder / 'spec.json'}: missing; extract the features first"
        )
    return spec


def read_labels(folder: Path) -> dict[str, str]:
    """Read the emotion of each video; raises `invalid_data` if the file is missing or a row has no label."""
    path = folder / LABEL_FILE
    labels: dict[str, str] = {}
    for number, row in read_rows(path, ("video_id", "label")):
        name, label = row["video_id"], emotion_name(row["label"])
        if not name or not label:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {number}: needs video_id and label")
        if labels.setdefault(name, label) != label:
            detail = f"{path}: line {number}: {name} is {label}, but {labels[name]} before"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
    if len(set(labels.values())) < 2:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: needs at least two emotions")
    return labels


def validation_items(
    folder: Path,
    items: Sequence[EmotionItem],
    classes: tuple[str, ...],
    fraction: float,
    seed: int,
    number: int | None = None,
) -> tuple[list[EmotionItem], list[EmotionItem]]:
    """Videos for training and videos for selecting the epoch: the split "val" if the folder has one (CAER), else a
    share of each class of `items`, the same for the same seed.
    """
    # `labels` writes an empty file for benchmarks without a validation split.
    if read_names(folder / "split_val.txt"):
        return list(items), load_emotion_items(folder, "val", classes, number)
    held: set[int] = set()
    for index in range(len(classes)):
        own = [place for place, item in enumerate(items) if item.class_index == index]
        order = np.random.default_rng((seed, index)).permutation(len(own))
        held |= {own[i] for i in order[: round(fraction * len(own))]}
    kept = [item for place, item in enumerate(items) if place not in held]
    return kept, [item for place, item in enumerate(items) if place in held]


def load_emotion_items(
    folder: Path, split: str, classes: tuple[str, ...], number: int | None = None
) -> list[EmotionItem]:
    """Load all videos of a split; raises `invalid_data` or `spec_mismatch`, naming the cause.

    number: segments of every video, if it is fixed.
    """
    spec, labels = folder_spec(folder), read_labels(folder)
    segments = read_segments(folder / SEGMENT_FILE) if (folder / SEGMENT_FILE).exists() else {}
    names = _read_split(folder, split)
    _check_names(folder / SEGMENT_FILE, names, labels, segments)
    items = []
    for name in names:
        if labels.get(name) not in classes:
            detail = f"{folder / LABEL_FILE}: {name} has no emotion out of {', '.join(classes)}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
        # Extracted once as "all", the features serve every random split.
        stored = split if has_features(folder, split, name) else ALL
        inputs = segment_inputs(_read(folder, stored, name, spec), spec, segments=number)
        seconds = len(inputs.visual) * inputs.snippets * spec.snippet_seconds
        _check_segments(folder / SEGMENT_FILE, name, segments.get(name, ()), seconds)
        items.append(
            EmotionItem(
                name=name,
                visual=inputs.visual,
                audio=inputs.audio,
                class_index=classes.index(labels[name]),
                segment_seconds=inputs.snippets * spec.snippet_seconds,
                segments=segments.get(name, ()),
                choices=inputs.choices,
            )
        )
    return items


def _check_names(
    path: Path, names: Sequence[str], labels: Mapping[str, str], segments: Mapping[str, object]
) -> None:
    """Raise `invalid_data` for a name that is not quite that of a video, because its segments would silently be
    ignored.
    """
    strange = [name for name in segments if name not in labels]
    for name, other in look_alikes((name for name in names if name not in segments), strange):
        detail = f"{path}: {other!r} is no video, but nearly {name!r}; write it as in split files"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)


def _read_split(folder: Path, split: str) -> list[str]:
    """Names of a split; raises `invalid_data` if it has none, or one that another split has as well."""
    path = folder / f"split_{split}.txt"
    names = read_names(path)
    if not names:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing or empty")
    for other in {*SPLITS} - {split} if split in SPLITS else ():
        # The score of a video that was trained on is meaningless.
        shared = sorted({*names} & {*read_names(folder / f"split_{other}.txt")})
        if shared:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{path}: {listed(shared)} is in split_{other}.txt as well"
            )
    return names


def _read(folder: Path, split: str, name: str, spec: ModelSpec) -> SnippetFeatures:
    """A video's features; raises `invalid_data` unless they have every stream of the spec, in its shape."""
    features = read_features(folder, split, name)
    shapes = spec.stream_shapes
    for stream, shape in shapes.items():
        check_stream(folder, split, name, stream, getattr(features, stream), shape)
    # A row may also be flat.
    shaped = {stream: getattr(features, stream).reshape(-1, *shape) for stream, shape in shapes.items()}
    return replace(features, **shaped)


def _check_segments(path: Path, name: str, segments: Sequence[tuple[float, float]], seconds: float) -> None:
    """Raise `invalid_data` for a segment that ends after its video."""
    for start, end in segments:
        # Streams may end slightly early, and annotators round.
        if end > 1.05 * seconds + 1:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{path}: {name}: segment from {start:g} to {end:g} s ends after the video, {seconds:.1f} s",
            )
