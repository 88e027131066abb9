"""Snippet features on disk: the folders of the published TSL300 features, plus presence masks and a spec.

    FOLDER/spec.json                        the ModelSpec and its features_hash
    FOLDER/features/SPLIT/rgb/NAME.npy      visual (T, dim)
    FOLDER/features/SPLIT/logmfcc/NAME.npy  audio (T, frames, mels)
    FOLDER/features/SPLIT/img/NAME.npy      face (T, dim)
    FOLDER/features/SPLIT/present/NAME.npy  bool (T, 3): visual, audio, face hold something
    FOLDER/split_SPLIT.txt                  names, one a line
    FOLDER/fps_dict.json, len_duration_dict.json   the videos' own frame rate and duration in seconds

Numpy only, because extraction runs without torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import ModelSpec, parse_spec

STREAM_FOLDERS = {"visual": "rgb", "audio": "logmfcc", "face": "img"}
PRESENT_FOLDER = "present"
SPEC_FILE = "spec.json"
RECORD_FILE = "extracted.json"
"""Frame rate and duration of each video as read during extraction. The editable copies are checked against it."""


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Record the spec with which the folder's features are extracted; raises `spec_mismatch` if the folder has another
    one.
    """
    existing = read_spec(folder)
    if existing is not None and existing.features_hash != spec.features_hash:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder.name} holds features of {existing.name} ({existing.features_hash}), "
            f"not of {spec.name} ({spec.features_hash})",
        )
    content = {"features_hash": spec.features_hash, "spec": json.loads(spec.to_json())}
    _replace_text(folder / SPEC_FILE, json.dumps(content, sort_keys=True, indent=2))


def read_spec(folder: Path) -> ModelSpec | None:
    """The spec of an extracted folder; None for the published layout, which has none."""
    path = folder / SPEC_FILE
    return parse_stored_spec(path) if path.exists() else None


def parse_stored_spec(path: Path) -> ModelSpec:
    """A spec from a package's spec.json or from a feature folder's; raises `spec_mismatch` for anything
    else.
    """
    try:
        content = json.loads(path.read_text())
        spec = parse_spec(json.dumps(content.get("spec", content)))
        stated = content.get("features_hash", spec.features_hash)
    except (OSError, ValueError, AttributeError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: not a feature spec: {error}") from error
    if stated != spec.features_hash:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: features_hash does not belong to its spec")
    return spec


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

    Call `write_spec` first. Files are written atomically. The presence mask is written last, so a video that has one is
    complete.
    """
    for stream, directory in STREAM_FOLDERS.items():
        array = getattr(features, stream)
        if array is not None:
            _replace_array(_path(folder, split, directory, name), np.ascontiguousarray(array, np.float32))
    _add_entry(folder / "fps_dict.json", name, fps)
    _add_entry(folder / "len_duration_dict.json", name, duration)
    written = {"fps_dict.json": fps, "len_duration_dict.json": duration}
    _add_entry(
        folder / RECORD_FILE, name, {key: value for key, value in written.items() if value is not None}
    )
    present = np.stack([features.visual_present, features.audio_present, features.face_present], axis=1)
    _replace_array(_path(folder, split, PRESENT_FOLDER, name), present)
    _add_name(folder / f"split_{split}.txt", name)


def read_records(folder: Path) -> dict[str, dict[str, float]]:
    """The values that extraction recorded for each video, by the file that repeats them; {} for other folders."""
    path = folder / RECORD_FILE
    if not path.exists():
        return {}
    try:
        records: dict[str, dict[str, float]] = json.loads(path.read_text())
    except ValueError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not JSON: {error}") from error
    return records


def has_features(folder: Path, split: str, name: str) -> bool:
    """Whether `write_features` finished for this video."""
    return _path(folder, split, PRESENT_FOLDER, name).exists()


def read_features(folder: Path, split: str, name: str) -> SnippetFeatures:
    """Read what `write_features` wrote; raises `invalid_data` with the file that is missing, torn or of
    another T.
    """
    streams: dict[str, FloatArray | None] = {}
    for stream, directory in STREAM_FOLDERS.items():
        path = _path(folder, split, directory, name)
        streams[stream] = load_array(path).astype(np.float32) if path.exists() else None
    path = _path(folder, split, PRESENT_FOLDER, name)
    present: BoolArray = load_array(path).astype(bool)
    if present.ndim != 2 or present.shape[1] != len(STREAM_FOLDERS):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: shape {present.shape}, expected (T, 3)")
    try:
        return SnippetFeatures(
            **streams,
            visual_present=present[:, 0],
            audio_present=present[:, 1],
            face_present=present[:, 2],
        )
    except ValueError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {error}") from error


def load_array(path: Path) -> Any:
    """One .npy file; raises `invalid_data` that names the file."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing") from error
    except (OSError, ValueError, EOFError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not a readable .npy file") from error


def _path(folder: Path, split: str, directory: str, name: str) -> Path:
    return folder / "features" / split / directory / f"{name}.npy"


def _replace_array(path: Path, array: FloatArray | BoolArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)


def _replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


def _add_entry(path: Path, name: str, value: float | dict[str, float] | None) -> None:
    if value is not None:
        entries = json.loads(path.read_text()) if path.exists() else {}
        _replace_text(path, json.dumps({**entries, name: value}, indent=2))


def _add_name(path: Path, name: str) -> None:
    names = path.read_text().split("\n") if path.exists() else []
    names = [line for line in names if line and line != name]
    _replace_text(path, "\n".join([*names, name]))
