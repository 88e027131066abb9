"""A folder of extracted features and emotion labels to items.

FOLDER/spec.json, features/SPLIT/…   as `sentiloc extract` or any writer of `model/data/feature_store.py` leaves them
FOLDER/split_SPLIT.txt               names, one a line; their features may also lie in the split "all"
FOLDER/emotions.csv                  columns video_id, label
FOLDER/emotion_segments.csv          columns video_id, start, end in seconds; optional, for evaluation
"""

from __future__ import annotations

import csv
from pathlib import Path

from sentiloc.model.cten.benchmarks import emotion_name, read_segments
from sentiloc.model.cten.inputs import segment_inputs
from sentiloc.model.cten.items import EmotionItem
from sentiloc.model.data.feature_store import has_features, read_features, read_spec
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.spec import ModelSpec

ALL = "all"
LABEL_FILE, SEGMENT_FILE = "emotions.csv", "emotion_segments.csv"


def folder_spec(folder: Path) -> ModelSpec:
    """What the folder was extracted with; raises `invalid_data` where it does not say."""
    spec = read_spec(folder)
    if spec is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{folder / 'spec.json'}: missing; extract the features first"
        )
    return spec


def read_labels(folder: Path) -> dict[str, str]:
    """Emotion by video; raises `invalid_data` where the file is missing or a row has no label."""
    path = folder / LABEL_FILE
    try:
        with path.open(newline="") as file:
            labels = {row["video_id"]: emotion_name(row["label"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, AttributeError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: needs video_id and label ({error})") from error
    if len(set(labels.values())) < 2:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: needs at least two emotions")
    return labels


def load_emotion_items(folder: Path, split: str, classes: tuple[str, ...]) -> list[EmotionItem]:
    """All videos of a split; raises `invalid_data` or `spec_mismatch` that names what is wrong."""
    spec, labels = folder_spec(folder), read_labels(folder)
    segments = read_segments(folder / SEGMENT_FILE) if (folder / SEGMENT_FILE).exists() else {}
    names = folder / f"split_{split}.txt"
    if not names.exists():
        raise SentilocError(ErrorCode.INVALID_DATA, f"{names}: missing")
    items = []
    for name in names.read_text().split():
        if labels.get(name) not in classes:
            detail = f"{folder / LABEL_FILE}: {name} has no emotion out of {', '.join(classes)}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
        stored = split if has_features(folder, split, name) else ALL
        inputs = segment_inputs(read_features(folder, stored, name), spec)
        items.append(
            EmotionItem(
                name=name,
                visual=inputs.visual,
                audio=inputs.audio,
                class_index=classes.index(labels[name]),
                segment_seconds=inputs.snippets * spec.snippet_seconds,
                segments=segments.get(name, ()),
            )
        )
    return items
