"""TSL300 / CMU-MOSEI folders to items: the published layout and the one that extraction writes.

- `gt.json`, `videosenti_gt.json`: segments in seconds, labels "n" and "p"
- `fps_dict.json`, `len_duration_dict.json`: the videos' own frame rate; duration in seconds (optional)
- `split_train.txt`, `split_test.txt`: names
- `point_gaussian/point_labels.csv` or `point_label.csv`: columns video_id, point (a frame), class_index
- `features/SPLIT/{rgb,logmfcc,img}/NAME.npy`

Everything is checked before training starts; all problems come in one error, each by its file's name.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentiloc.model.data.feature_store import read_features, read_spec
from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.published import detect_shapes, read_published
from sentiloc.model.proposals.tsl300 import LABELS
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import CLASSES, SNIPPET_FRAMES, ModelSpec

POINT_FILES = ("point_gaussian/point_labels.csv", "point_label.csv", "point_labels.csv")
SEGMENT_FILES = ("videosenti_gt.json", "gt.json")
_SHOWN = 40


@dataclass(slots=True)
class Problems:
    """What is wrong with a data set, gathered so that one run reports all of it."""

    found: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one problem, beginning with the file's name."""
        self.found.append(text)

    def check(self) -> None:
        """Raise `invalid_data` if anything was noted."""
        if self.found:
            more = len(self.found) - _SHOWN
            shown = self.found[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{len(self.found)} problems in the data:\n  " + "\n  ".join(shown)
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Labels of a folder by video name; `points` count frames at the video's own frame rate."""

    fps: dict[str, float]
    durations: dict[str, float]
    segments: dict[str, tuple[SegmentLabel, ...]]
    points: dict[str, tuple[tuple[int, int], ...]]


def folder_config(folder: Path, split: str, spec: ModelSpec | None = None, **options: Any) -> FSENetConfig:
    """The network that fits a folder's features: by its spec.json, else by the shapes of the first video's
    files.

    Raises `spec_mismatch` where a spec is given and the folder was extracted under another.
    """
    stored = read_spec(folder)
    if stored is not None and spec is not None and stored.features_hash != spec.features_hash:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder / 'spec.json'}: features of {stored.name} ({stored.features_hash}), "
            f"not of {spec.name} ({spec.features_hash})",
        )
    if stored is not None or spec is not None:
        return FSENetConfig.for_spec(stored or spec, **options)  # type: ignore[arg-type]
    names = read_split(folder, split)
    return FSENetConfig(**{**detect_shapes(folder, split, names[0]), **options})


def load_items(
    folder: Path,
    split: str,
    config: FSENetConfig,
    *,
    points_file: Path | None = None,
    need_points: bool = False,
) -> list[Item]:
    """All videos of a split; raises one `invalid_data` that lists every missing, torn or misshapen file."""
    names, problems = read_split(folder, split), Problems()
    labels = read_annotations(folder, points_file, problems)
    spec = read_spec(folder)
    items = [_load_item(folder, split, name, config, labels, spec, problems) for name in names]
    unlabelled = [name for name in names if not labels.points.get(name)]
    if need_points and len(unlabelled) == len(names):
        problems.add(f"{points_file or POINT_FILES[0]}: no point for any video of split {split}")
    problems.check()
    return [item for item in items if item is not None]


def read_split(folder: Path, split: str) -> list[str]:
    """Names in split_SPLIT.txt; raises `invalid_data` if it is missing or empty."""
    path = folder / f"split_{split}.txt"
    names = path.read_text().split() if path.exists() else []
    if not names:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing or empty")
    return names


def read_annotations(folder: Path, points_file: Path | None, problems: Problems) -> Annotations:
    """Frame rates, durations, segments and points of a folder; a file that is absent gives nothing."""
    points = points_file or next((folder / name for name in POINT_FILES if (folder / name).exists()), None)
    segments: dict[str, tuple[SegmentLabel, ...]] = {}
    for name in SEGMENT_FILES:
        segments = {**_read_segments(folder / name, problems), **segments}
    return Annotations(
        fps=_read_numbers(folder / "fps_dict.json", problems),
        durations=_read_numbers(folder / "len_duration_dict.json", problems),
        segments=segments,
        points=_read_points(points, problems) if points is not None else {},
    )


def _load_item(
    folder: Path,
    split: str,
    name: str,
    config: FSENetConfig,
    labels: Annotations,
    spec: ModelSpec | None,
    problems: Problems,
) -> Item | None:
    fps = labels.fps.get(name)
    rate = spec.frame_rate if spec is not None and spec.frame_rate is not None else fps
    if rate is None or (fps is None and labels.points.get(name)):
        problems.add(f"{folder / 'fps_dict.json'}: no frame rate of {name}")
        return None
    try:
        features = _read(folder, split, name, config, labels, spec)
    except SentilocError as error:
        problems.add(error.detail)
        return None
    return Item(
        name=name,
        features=features,
        fps=rate,
        points=_snippet_points(labels.points.get(name, ()), rate / (fps or rate), len(features)),
        segments=labels.segments.get(name, ()),
    )


def _read(
    folder: Path, split: str, name: str, config: FSENetConfig, labels: Annotations, spec: ModelSpec | None
) -> SnippetFeatures:
    if spec is None:
        frames = labels.durations.get(name, 0.0) * labels.fps[name]
        return read_published(folder, split, name, config, frames / SNIPPET_FRAMES)
    features = read_features(folder, split, name)
    _check_extracted(folder, split, name, features, config)
    return features


def _check_extracted(
    folder: Path, split: str, name: str, features: SnippetFeatures, config: FSENetConfig
) -> None:
    for stream, shape in config.stream_shapes.items():
        array = getattr(features, stream)
        if array is None or array[0].size != math.prod(shape):
            found = "is missing" if array is None else f"has shape {array.shape}"
            where = folder / "features" / split
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{where}: {stream} of {name} {found}, needs (T, {shape})"
            )


def _snippet_points(points: Sequence[tuple[int, int]], ratio: float, snippets: int) -> tuple[PointLabel, ...]:
    """Frames at the video's own rate to snippets; ratio = snippet frame rate / own frame rate."""
    placed = {(min(int(frame * ratio / SNIPPET_FRAMES), snippets - 1), index) for frame, index in points}
    return tuple(PointLabel(*point) for point in sorted(placed))


def _read_points(path: Path, problems: Problems) -> dict[str, tuple[tuple[int, int], ...]]:
    """(frame, class) by video, from the columns video_id, point and class_index; no other column is read."""
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        with path.open(newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    frame, index = int(row["point"]), int(row["class_index"])
                    if frame < 0 or not 0 <= index < len(CLASSES):
                        raise ValueError("out of range")
                    found.setdefault(row["video_id"], []).append((frame, index))
                except (KeyError, TypeError, ValueError) as error:
                    problems.add(f"{path}: line {number}: no valid video_id, point, class_index ({error})")
    except OSError as error:
        problems.add(f"{path}: {error.strerror}")
    return {name: tuple(points) for name, points in found.items()}


def _read_segments(path: Path, problems: Problems) -> dict[str, tuple[SegmentLabel, ...]]:
    if not path.exists():
        return {}
    try:
        database = json.loads(path.read_text())["database"]
        return {
            name: tuple(_segment(annotation) for annotation in video["annotations"])
            for name, video in database.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        problems.add(f"{path}: not a ground truth file: {error!r}")
        return {}


def _segment(annotation: dict[str, Any]) -> SegmentLabel:
    start, end = (float(value) for value in annotation["segment"])
    return SegmentLabel(start, end, LABELS.index(annotation["label"]))


def _read_numbers(path: Path, problems: Problems) -> dict[str, float]:
    if not path.exists():
        return {}
    try:
        return {name: float(value) for name, value in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        problems.add(f"{path}: not a JSON object of numbers: {error}")
        return {}
