"""Reads the published feature files, whose shapes vary: per snippet or per frame, raw or embedded audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.model.data.feature_store import STREAM_FOLDERS, load_finite
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import SNIPPET_FRAMES

MEL_ROWS, MELS = 2 * SNIPPET_FRAMES, 60
KNOWN_WIDTHS = {"visual": (1024,), "audio": (512, 768), "face": (256, 1024)}
# A file with one row per frame has 16 times as many rows as snippets; 12 leaves room for missing frames.
_PER_FRAME = 12
_CLOCKS = ("visual", "face", "audio")
# Scaled values are about 0 to 1, decibels reach -50 and less.
_SCALED_LIMIT = 10.0


def detect_shapes(folder: Path, split: str, names: Sequence[str]) -> dict[str, Any]:
    """`visual_dim`, `audio_shape`, `face_dim` for an FSENetConfig, from the first file of each stream.

    A stream that no video has is absent. If only some videos have it, reading the others raises an error that names
    their files.
    """
    shapes: dict[str, Any] = {"visual_dim": None, "audio_shape": None, "face_dim": None}
    for stream in STREAM_FOLDERS:
        paths = (_path(folder, split, stream, name) for name in names)
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            continue
        array = load_finite(path)
        if stream == "audio" and array.shape[-1:] == (MELS,):
            shapes["audio_shape"] = (MEL_ROWS, MELS)
        elif array.ndim == 2 and array.shape[1] in KNOWN_WIDTHS[stream]:
            width = array.shape[1]
            shapes["audio_shape" if stream == "audio" else f"{stream}_dim"] = (
                (width,) if stream == "audio" else width
            )
        else:
            raise _invalid(path, f"shape {array.shape}; known are (T, n) with n in {KNOWN_WIDTHS[stream]}")
    if not any(shapes.values()):
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{folder / 'features' / split}: no features of {names[0]}"
        )
    return shapes


def read_published(
    folder: Path, split: str, name: str, config: FSENetConfig, snippets: float = 0.0
) -> SnippetFeatures:
    """One video's features, T snippets in each stream that the config has.

    snippets: the video's length in snippets where known, else 0; it distinguishes files with one row per video
    frame, of which every 16th is taken, from files with one row per snippet. T is the visual stream's (else
    the face's, else the audio's); a stream that ends a little earlier is absent from there on.
    Raises `invalid_data` naming the file that is missing, misshapen, not finite or of another length.
    """
    arrays: dict[str, FloatArray] = {}
    problems = []
    for stream, shape in config.stream_shapes.items():
        try:
            arrays[stream] = _read_stream(_path(folder, split, stream, name), shape)
        except SentilocError as error:
            problems.append(error.detail)
    if problems:
        raise SentilocError(ErrorCode.INVALID_DATA, "\n  ".join(problems))
    reference = snippets or min(len(array) for array in arrays.values())
    arrays = {
        stream: array[::SNIPPET_FRAMES] if len(array) >= _PER_FRAME * reference else array
        for stream, array in arrays.items()
    }
    time = len(arrays[next(name for name in _CLOCKS if name in arrays)])
    fitted = {}
    for stream, array in arrays.items():
        if abs(len(array) - time) > max(4, 0.05 * time):
            raise _invalid(
                _path(folder, split, stream, name), f"{len(array)} snippets where others have {time}"
            )
        fitted[stream] = _fit(array, time)
    return _features(fitted, time)


def _read_stream(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """One file as float32 (T or frames, *shape); log-mel rows in dB become snippets of (x + 50) / 80."""
    array = load_finite(path)
    if array.ndim == 2 and len(shape) == 2 and array.shape[1] == shape[1]:
        patches = array[: len(array) // shape[0] * shape[0]].reshape(-1, *shape)
        array = np.asarray((patches + 50) / 80, np.float32)
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] != shape or not len(array):
        raise _invalid(
            path, f"shape {array.shape}, needs (T, {', '.join(map(str, shape))}) with T of at least 1"
        )
    if len(shape) == 2 and np.abs(array).max() > _SCALED_LIMIT:
        raise _invalid(path, "log-mel patches in decibels; needs (dB + 50) / 80")
    return array


def _fit(array: FloatArray, time: int) -> tuple[FloatArray, BoolArray]:
    fitted = np.zeros((time, *array.shape[1:]), np.float32)
    fitted[: len(array)] = array[:time]
    return fitted, np.arange(time) < len(array)


def _features(fitted: dict[str, tuple[FloatArray, BoolArray]], time: int) -> SnippetFeatures:
    nothing = np.zeros(time, bool)
    return SnippetFeatures(
        visual=fitted["visual"][0] if "visual" in fitted else None,
        audio=fitted["audio"][0] if "audio" in fitted else None,
        face=fitted["face"][0] if "face" in fitted else None,
        visual_present=fitted["visual"][1] if "visual" in fitted else nothing,
        audio_present=fitted["audio"][1] if "audio" in fitted else nothing,
        face_present=fitted["face"][1] if "face" in fitted else nothing,
    )


def _path(folder: Path, split: str, stream: str, name: str) -> Path:
    return folder / "features" / split / STREAM_FOLDERS[stream] / f"{name}.npy"


def _invalid(path: Path, text: str) -> SentilocError:
    return SentilocError(ErrorCode.INVALID_DATA, f"{path}: {text}")
