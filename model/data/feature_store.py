"""Snippet features on disk: the folders of the published TSL300 features, plus presence masks and a spec.

    FOLDER/spec.json                        the ModelSpec and its features_hash
    FOLDER/features/SPLIT/rgb/NAME.npy      visual (T, dim)
    FOLDER/features/SPLIT/logmfcc/NAME.npy  audio (T, frames, mels)
    FOLDER/features/SPLIT/img/NAME.npy      face (T, dim)
    FOLDER/features/SPLIT/present/NAME.npy  bool (T, 3): whether visual, audio, face are present
    FOLDER/split_SPLIT.txt                  names, one a line
    FOLDER/fps_dict.json, len_duration_dict.json   the videos' own frame rate and duration in seconds

Numpy only, because extraction runs without torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.model.data.text import read_json
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import replacing, write_whole
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import ModelSpec, parse_spec

STREAM_FOLDERS = {"visual": "rgb", "audio": "logmfcc", "face": "img"}
PRESENT_FOLDER = "present"
SPEC_FILE = "spec.json"
_NUMBERS = "biuf"
"""The kinds of NumPy types that hold real numbers."""
LARGEST_FEATURE = 65504.0
"""The largest number of half precision, in which GPUs may compute. Known features stay below a few hundred; larger ones
overflow in the network, and the loss is then not a number.
"""
RECORD_FILE = "extracted.json"
"""Frame rate and duration of each video as read during extraction. The editable copies are checked against it."""


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Record the spec with which the folder's features are extracted; raises `spec_mismatch` if the folder has another
    one.
    """
    existing = read_spec(folder)
    # One folder, one spec: a network must not be trained on a mixture of two kinds of features.
    if existing is not None and existing.features_hash != spec.features_hash:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder.name} contains features of {existing.name} ({existing.features_hash}), "
            f"not of {spec.name} ({spec.features_hash})",
        )
    content = {"features_hash": spec.features_hash, "spec": json.loads(spec.to_json())}
    replace_text(folder / SPEC_FILE, json.dumps(content, sort_keys=True, indent=2))


def require_own_spec(folder: Path) -> None:
    """Raise `spec_mismatch` if the folder's spec is that of a package or a run, which `write_spec` would replace."""
    content = read_json(folder / SPEC_FILE)
    if not isinstance(content, dict) or "features_hash" not in content:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder / SPEC_FILE}: is of a model, not of features; name another folder",
        )


def read_spec(folder: Path) -> ModelSpec | None:
    """The spec of an extracted folder; None for the published layout, which has none."""
    path = folder / SPEC_FILE
    return parse_stored_spec(path) if path.exists() else None


def parse_stored_spec(path: Path) -> ModelSpec:
    """A spec from a package's spec.json or from a feature folder's; raises `spec_mismatch` for anything
    else.
    """
    try:
        content = read_json(path)
        spec = parse_spec(json.dumps(content.get("spec", content)))
        # A package's spec.json is the bare spec; a feature folder's states the hash beside it.
        stated = content.get("features_hash", spec.features_hash)
    except SentilocError as error:
        detail = error.detail if error.code == ErrorCode.INVALID_DATA else f"{path}: {error.detail}"
        raise SentilocError(ErrorCode.SPEC_MISMATCH, detail) from error
    except (ValueError, AttributeError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: not a feature spec: {error}") from error
    if stated != spec.features_hash:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: features_hash does not belong to its spec")
    return spec


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """A video's own frame rate and its duration in seconds; None where they are not known."""

    fps: float | None = None
    duration: float | None = None


def write_features(
    folder: Path,
    split: str,
    name: str,
    features: SnippetFeatures,
    *,
    fps: float | None = None,
    duration: float | None = None,
) -> None:
    """Store one video's features and, if given, its frame rate and duration in seconds.

    Call `write_spec` first. Only one process may write to a folder with this function; several use `write_arrays`,
    and one of them `add_videos`.
    """
    write_arrays(folder, split, name, features)
    add_videos(folder, split, {name: VideoFacts(fps, duration)})


def write_arrays(folder: Path, split: str, name: str, features: SnippetFeatures) -> None:
    """Store one video's arrays, each atomically.

    The presence mask is written last, so a video that has one is complete. Processes may write at the same time.
    """
    for stream, directory in STREAM_FOLDERS.items():
        array = getattr(features, stream)
        if array is not None:
            replace_array(_path(folder, split, directory, name), np.ascontiguousarray(array, np.float32))
    present = np.stack([features.visual_present, features.audio_present, features.face_present], axis=1)
    replace_array(_path(folder, split, PRESENT_FOLDER, name), present)


def add_videos(folder: Path, split: str, videos: dict[str, VideoFacts]) -> None:
    """Add videos with complete features to the split's list, and their known facts to the JSON files.

    The list comes last, so a video in it has its facts. One process at a time may do this.
    """
    facts = {
        "fps_dict.json": {name: video.fps for name, video in videos.items() if video.fps is not None},
        "len_duration_dict.json": {
            name: video.duration for name, video in videos.items() if video.duration is not None
        },
    }
    for file, entries in facts.items():
        _add_entries(folder / file, entries)
    records = {
        name: {file: entries[name] for file, entries in facts.items() if name in entries} for name in videos
    }
    _add_entries(folder / RECORD_FILE, {name: record for name, record in records.items() if record})
    # Last: a run that is cut off before this line extracts the video again.
    _add_names(folder / f"split_{split}.txt", list(videos))


def remove_videos(folder: Path, split: str, names: Iterable[str]) -> None:
    """Remove videos from the split's list. One process at a time may do this."""
    path, gone = folder / f"split_{split}.txt", set(names)
    if path.exists():
        lines = path.read_text(encoding="utf-8").split("\n")
        replace_text(path, "\n".join(line for line in lines if line and line not in gone))


def sort_videos(folder: Path, split: str, order: Sequence[str]) -> None:
    """Sort the split's list into this order; names that are not in it come first. The list decides which videos
    training holds out, so it must not depend on which process finished first.
    """
    path = folder / f"split_{split}.txt"
    if not path.exists():
        return
    place = {name: number for number, name in enumerate(order)}
    names = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    # sorted() is stable, so names that are not in `order` keep their relative order.
    in_order = sorted(names, key=lambda name: place.get(name, -1))
    if in_order != names:
        replace_text(path, "\n".join(in_order))


def read_records(folder: Path) -> dict[str, dict[str, float]]:
    """The values that extraction recorded for each video, by the file that repeats them; {} for other folders."""
    path = folder / RECORD_FILE
    if not path.exists():
        return {}
    records: dict[str, dict[str, float]] = read_json(path)
    rows = records.values() if isinstance(records, dict) else [None]
    numbers = [value for row in rows for value in (row.values() if isinstance(row, dict) else [None])]
    if not all(isinstance(value, (int, float)) for value in numbers):
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{path}: not what extraction wrote: an object with numbers for each video",
        )
    return records


def has_features(folder: Path, split: str, name: str) -> bool:
    """Whether all arrays of this video are written."""
    return present_path(folder, split, name).exists()


def present_path(folder: Path, split: str, name: str) -> Path:
    """The presence mask of a video, which is written last."""
    return _path(folder, split, PRESENT_FOLDER, name)


def read_features(folder: Path, split: str, name: str) -> SnippetFeatures:
    """Read what `write_features` wrote; raises `invalid_data` with the file that is missing, torn or of
    another T.
    """
    streams: dict[str, FloatArray | None] = {}
    for stream, directory in STREAM_FOLDERS.items():
        path = _path(folder, split, directory, name)
        streams[stream] = _rows(path) if path.exists() else None
    path = _path(folder, split, PRESENT_FOLDER, name)
    stored = load_array(path)
    if stored.ndim != 2 or stored.shape[1] != len(STREAM_FOLDERS):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: shape {stored.shape}, expected (T, 3)")
    present: BoolArray = stored.astype(bool)
    # NaN counts as true.
    if not (stored == present).all():
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: contains other values than true and false")
    if not len(present):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: has no snippet; a video has at least one")
    try:
        return SnippetFeatures(
            **streams,
            visual_present=present[:, 0],
            audio_present=present[:, 1],
            face_present=present[:, 2],
        )
    except ValueError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {error}") from error


def _rows(path: Path) -> FloatArray:
    """A stream's file, which has a row for each snippet."""
    array = load_finite(path)
    if not array.ndim:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{path}: contains one number, not a row for each snippet"
        )
    return array


def rows_fit(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether rows have a shape, with or without axes of length 1, or flattened: (1920,) for (32, 60)."""
    # Comparing only the number of values would accept (60, 32) for (32, 60), which has another order.
    sizes = tuple(size for size in found if size != 1)
    return found == (math.prod(shape),) or sizes == tuple(size for size in shape if size != 1)


def check_stream(
    folder: Path, split: str, name: str, stream: str, array: FloatArray | None, shape: tuple[int, ...]
) -> None:
    """Raise `invalid_data` unless a video has a stream whose rows fit `shape`."""
    if array is not None and rows_fit(array.shape[1:], shape):
        return
    found = "is missing" if array is None else f"has shape {array.shape}"
    needed = ", ".join(map(str, ("T", *shape)))
    path = _path(folder, split, STREAM_FOLDERS[stream], name)
    raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {stream} of {name} {found}, needs ({needed})")


def load_array(path: Path) -> Any:
    """One .npy file; raises `invalid_data` that names the file."""
    try:
        # A pickle in a downloaded feature file could run code.
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing") from error
    except Exception as error:
        # Damaged headers and archives raise errors of many kinds: of the tokenizer, of zipfile, of memory, and others.
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not a readable .npy file") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in _NUMBERS:
        kind = getattr(array, "dtype", "several arrays")
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: contains {kind}; needs real numbers")
    return array


def load_finite(path: Path) -> FloatArray:
    """One .npy file of features as float32; raises `invalid_data` that names the file, also for values that are not
    finite or are larger than any feature.
    """
    # A number beyond float32 becomes infinite, which is an error and needs no warning.
    with np.errstate(over="ignore"):
        array: FloatArray = load_array(path).astype(np.float32)
    if not np.isfinite(array).all():
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: contains values that are not finite")
    largest = float(np.abs(array).max(initial=0.0))
    if largest > LARGEST_FEATURE:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{path}: contains the value {largest:.3g}; features have at most {LARGEST_FEATURE:g}",
        )
    return array


def _path(folder: Path, split: str, directory: str, name: str) -> Path:
    return folder / "features" / split / directory / f"{name}.npy"


def replace_array(path: Path, array: FloatArray | BoolArray) -> None:
    """Write a .npy file under its name only when it is complete; the folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, array)


def replace_text(path: Path, text: str) -> None:
    """Write a text file under its name only when it is complete; the folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text + "\n")


def _add_entries(path: Path, new: Mapping[str, object]) -> None:
    if new:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        replace_text(path, json.dumps({**entries, **new}, indent=2))


def _add_names(path: Path, new: list[str]) -> None:
    names = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    # A video that is extracted again moves to the end, and appears once.
    moved = set(new)
    names = [line for line in names if line and line not in moved]
    replace_text(path, "\n".join([*names, *new]))
