"""Atomic checkpoints, which are read without running code from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import replacing


def save_atomic(content: dict[str, Any], path: Path) -> None:
    """Atomic `torch.save`, also safe against a power cut, and against another process that writes the same file."""
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU; raises `model_unavailable` that names the file."""
    try:
        # weights_only: a checkpoint from elsewhere must not be able to run code.
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        detail = f"cannot read checkpoint {path}: {error.strerror}"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
    except Exception as error:
        # Damage raises errors of many kinds, and PyTorch's own message has paragraphs of advice.
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"{path}: not a checkpoint, or damaged") from error
    if not isinstance(content, dict):
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"{path}: not a checkpoint of a run")
    return content


@contextmanager
def contents_of(path: Path, kind: str) -> Iterator[None]:
    """Raise `model_unavailable` that names the file if its contents cannot be used as a checkpoint of this kind."""
    try:
        yield
    except Exception as error:
        # Foreign contents may have any type at any place, so that any error is possible.
        named = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        detail = f"{path}: not a checkpoint of {kind}: {named}"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
