"""Faults of this machine's disks as typed errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_is_typed() -> Iterator[None]:
    """Turn the operating system's error for a full disk or quota into `storage_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.") from error
        raise


@contextmanager
def faults_are_typed() -> Iterator[None]:
    """Turn every error of the operating system into `storage_full` or `storage_unavailable`.

    Only `FileNotFoundError` stays: it says what a file's absence means to the caller, not that the disk is at fault.
    """
    with refusals_are_typed(), full_is_typed():
        yield


@contextmanager
def refusals_are_typed() -> Iterator[None]:
    """Turn every error of the operating system, but `FileNotFoundError`, into `storage_unavailable`.

    For deletions: a full disk that refuses one is a fault, because nothing was to be stored.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        # Without the path, which clients must not see.
        detail = f"The server's storage refused the request: {error.strerror or type(error).__name__}."
        raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, detail) from error


def free_bytes(folder: Path) -> int | None:
    """What ordinary users may still write to the disk of a folder, which need not exist; None if that is unknown."""
    for one in (folder, *folder.absolute().parents):
        try:
            return _free(os.statvfs(one))
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _free(volume: os.statvfs_result) -> int:
    # f_bavail is what ordinary users may use; f_bfree also counts root's share.
    return volume.f_bavail * volume.f_frsize


def require_reserve(descriptor: int, reserve_bytes: int) -> None:
    """Raise `storage_full` if the disk of this open file has less than `reserve_bytes` free."""
    if _free(os.fstatvfs(descriptor)) < reserve_bytes:
        raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.")
