"""The video emotion benchmarks of CTEN's section 4.1: their classes, their splits, their folders. Numpy only.

- VideoEmotion-8: 1,101 videos, eight emotions of Plutchik's wheel; ten random splits, 2:1.
- Ekman-6: 1,637 videos, six basic emotions; 1:1.
- CAER: 13,201 clips of TV shows; 7:1:2. The paper counts six emotions; the data set's folders have a seventh one,
neutral, which `read_class_folders` reads, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentiloc.model.data.text import read_rows, read_text, real_number, without_suffix
from sentiloc.model.data.video_files import VIDEO_SUFFIXES
from sentiloc.model.errors import ErrorCode, SentilocError

SPLITS = ("train", "val", "test")
_SUFFIXES = VIDEO_SUFFIXES | {".npy"}
_SYNONYMS = {"happy": "joy", "happiness": "joy", "sad": "sadness", "angry": "anger", "surprised": "surprise"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionBenchmark:
    """Classes in alphabetical order, shares of train, val and test, and the number of random splits to average."""

    classes: tuple[str, ...]
    shares: tuple[float, float, float]
    runs: int = 10


_EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
BENCHMARKS: Mapping[str, EmotionBenchmark] = {
    "videoemotion-8": EmotionBenchmark(
        classes=("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust"),
        shares=(2 / 3, 0.0, 1 / 3),
    ),
    "ekman-6": EmotionBenchmark(classes=_EKMAN, shares=(0.5, 0.0, 0.5)),
    "caer": EmotionBenchmark(classes=_EKMAN, shares=(0.7, 0.1, 0.2)),
    "caer-7": EmotionBenchmark(
        classes=("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"), shares=(0.7, 0.1, 0.2)
    ),
}


def emotion_name(text: str) -> str:
    """Normalize a class name: lower case, one name for "Happy" and "Joy"."""
    name = text.strip().lower()
    return _SYNONYMS.get(name, name)


def read_class_folders(root: Path) -> dict[str, str]:
    """Read the emotion of each video from a folder ROOT/CLASS/VIDEO or ROOT/SPLIT/CLASS/VIDEO. Names are paths below
    ROOT without suffix. Raises `invalid_data` if there is no video.
    """
    found = {
        path.relative_to(root).with_suffix("").as_posix(): emotion_name(path.parent.name)
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in _SUFFIXES and path.parent != root
    }
    if not found:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{root}: no folder of an emotion with videos in it")
    return found


def read_label_list(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """Read the emotion of each video from a text file with "NAME LABEL" or "NAME,LABEL" on each line. A label is a
    class or its number, counted from 0. A name may contain spaces, commas and dots. Raises `invalid_data`, naming the
    line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        video, label = _labelled(line, classes)
        if not video or label is None:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{path}: line {number}: no video and one of {', '.join(classes)}"
            )
        name = without_suffix(video.removeprefix("./"))
        if found.setdefault(name, label) != label:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{path}: line {number}: {name} is {label}, but {found[name]} before"
            )
    return found


def _labelled(line: str, classes: Sequence[str]) -> tuple[str, str | None]:
    """The video and the class of a line: the class comes after the last comma, else after the last space."""
    for parts in (line.rpartition(",")[::2], line.rsplit(None, 1)):
        label = _class(parts[-1], classes)
        if label is not None and len(parts) > 1:
            return parts[0].strip().removeprefix('"').removesuffix('"').strip(), label
    return "", None


def _class(text: str, classes: Sequence[str]) -> str | None:
    label = emotion_name(text.strip().strip('"'))
    # Not isdigit() alone, which is true for digits that `int` does not read.
    if label.isascii() and label.isdigit() and len(label) < 3 and int(label) < len(classes):
        return classes[int(label)]
    return label if label in classes else None


def make_split(labels: Mapping[str, str], benchmark: EmotionBenchmark, run: int) -> dict[str, list[str]]:
    """Names of train, val and test of a run: random within each class, the same for the same run."""
    parts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for index, emotion in enumerate(sorted(set(labels.values()))):
        # Sorted: the order of files differs between file systems.
        names = sorted(name for name, label in labels.items() if label == emotion)
        # Seeded by run and class, so that adding a class does not change the split of the others.
        order = np.random.default_rng((run, index)).permutation(len(names))
        first = round(benchmark.shares[0] * len(names))
        second = first + round(benchmark.shares[1] * len(names))
        bounds = {"train": order[:first], "val": order[first:second], "test": order[second:]}
        for split, chosen in bounds.items():
            parts[split] += [names[i] for i in chosen]
    return {split: sorted(names) for split, names in parts.items()}


def read_folder_splits(labels: Mapping[str, str]) -> dict[str, list[str]] | None:
    """The split that the folder names state (CAER: train, validation, test); None if they state none."""
    names = {"train": "train", "validation": "val", "val": "val", "test": "test"}
    parts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in labels:
        split = names.get(name.split("/")[0].lower())
        if split is None:
            return None
        parts[split].append(name)
    return parts


def read_segments(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    """Read the annotated segments of each video in seconds from a CSV with the columns video_id, start, end."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number, row in read_rows(path, ("video_id", "start", "end")):
        start, end = real_number(row["start"]), real_number(row["end"])
        if not row["video_id"]:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {number}: needs a video_id")
        if start is None or end is None or not 0 <= start < end < math.inf:
            stated = f"start {row['start']!r} and end {row['end']!r}"
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{path}: line {number}: {stated} are not seconds in order"
            )
        found.setdefault(row["video_id"], []).append((start, end))
    return {name: tuple(rows) for name, rows in found.items()}
