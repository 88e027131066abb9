"""Caches arrays on disk by owner and key, within limits of size and age.

Owners do not share entries. Otherwise the duration of a job would reveal to one owner which videos another has sent.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.worker.features.feature_file import release_pages
from sentiloc.worker.runtime.steps import count_step

logger = logging.getLogger(__name__)

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
# What arrays of another content raise; anything else is a fault of ours.
UNREADABLE = (ValueError, KeyError, TypeError)
_CHUNK = 1024 * 1024
_SUFFIX = ".arrays"
# Only these files are ever deleted: the folder is the user's, who may keep other files in it.
_OWN_FILE = re.compile(r"[0-9a-f]{64}(?:\.arrays|\.\d+\.part)")
# No write takes this long, so the writer of an older unfinished file was killed.
_ABANDONED_SECONDS = 3600.0
_OWNED = "of-"
_OWNER = re.compile("[A-Za-z0-9]{1,64}")
# A context variable, so that the pipelines need not pass the owner through every call.
_owner: ContextVar[str] = ContextVar("cache_owner", default="")


@contextlib.contextmanager
def cached_for(owner: str) -> Iterator[None]:
    """Within the block, all caches store and find only entries of `owner`; it is empty for jobs without a key."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def forget_owner(folder: Path, owner: str, before: float | None = None) -> int:
    """Delete the entries of an owner, or those last used before a Unix time; returns their number.

    Entries without an owner are deleted, too, because owners may share them.
    """
    found = [one for who in {owner, ""} for one in _own_files(_place(folder, who).glob("*"))]
    old = [path for status, path in found if before is None or status.st_mtime <= before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _place(folder: Path, owner: str) -> Path:
    if not owner:
        return folder
    if not _OWNER.fullmatch(owner):
        raise ValueError(f"not the name of an owner: {owner!r}")
    return folder / f"{_OWNED}{owner}"


class ArrayCache:
    """A folder of entries, shared by any number of processes.

    Entries are written atomically. An unreadable entry counts as missing and is removed. Above `max_bytes` the least
    recently used entries are removed, and so is every entry unused for `max_age_seconds`. Where the folder cannot be
    written, entries are only read.
    """

    def __init__(self, folder: Path, max_bytes: int, max_age_seconds: float) -> None:
        self._folder, self._max_bytes, self._max_age_seconds = folder, max_bytes, max_age_seconds

    def load(self, key: str) -> dict[str, Array] | None:
        """The arrays stored under `key`; None if there are none."""
        path = self._path(key)
        try:
            if time.time() - path.stat().st_mtime > self._max_age_seconds:
                self._remove(path)
                return None
            # The checksums of the zip format cover every byte of the arrays.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            # Damage raises errors of many kinds; an entry that stays would fail every job of its video.
            self.reject(key, error)
            return None
        with self._writing():
            # The time of last use, by which entries are evicted. Access times are often turned off.
            os.utime(path)
        return found

    def reject(self, key: str, error: Exception) -> None:
        """Remove an unreadable entry."""
        logger.warning("an entry of the cache cannot be read and is computed again: %s", error)
        self._remove(self._path(key))

    def store(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Store arrays if there is room. A failed write is logged; it is not an error."""
        # Two processes may compute the same entry; each writes its own file.
        part = self._place / f"{key}.{os.getpid()}.part"
        with self._writing():
            try:
                self._place.mkdir(parents=True, exist_ok=True)
                with part.open("xb") as file:
                    # Pickles could run code when they are loaded.
                    np.savez(file, allow_pickle=False, **arrays)
                for array in arrays.values():
                    release_pages(array)
                # Not synced: after a power failure a damaged entry is noticed by its checksum.
                part.replace(self._path(key))
            except OSError:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
            self._evict()

    def sweep(self) -> None:
        """Remove entries above the limits of size and age, even if nothing new is stored."""
        with self._writing():
            self._evict()

    @property
    def _place(self) -> Path:
        return _place(self._folder, _owner.get())

    def _path(self, key: str) -> Path:
        return self._place / f"{key}{_SUFFIX}"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A cache that cannot be written costs time, but fails no job."""
        try:
            yield
        except FileNotFoundError:
            # Another process has removed the entry.
            return
        except OSError as error:
            _warn_once(self._folder, error.strerror)

    def _remove(self, path: Path) -> None:
        with self._writing():
            path.unlink()

    def _evict(self) -> None:
        """Remove entries above the limits of age and size, over all owners, and files that killed processes left."""
        now, kept = time.time(), 0
        owned = (path for path in self._folder.glob(f"{_OWNED}*/*") if _is_place(path.parent))
        present = _own_files([*self._folder.iterdir(), *owned])
        # Newest first, so that the entries that no longer fit are the least recently used ones.
        for status, path in sorted(present, key=lambda entry: entry[0].st_mtime, reverse=True):
            age, is_part = now - status.st_mtime, path.suffix != _SUFFIX
            kept += 0 if is_part else status.st_size
            unused = age > (_ABANDONED_SECONDS if is_part else self._max_age_seconds)
            if unused or (not is_part and kept > self._max_bytes):
                self._remove(path)


@functools.cache
def _warn_once(folder: Path, reason: str | None) -> None:
    # Once per process, because every job would repeat it.
    logger.warning("the cache in %s cannot be written: %s", folder, reason)


def cache_key(video: Path, identity: str) -> str:
    """SHA-256 over a file's bytes and `identity`, which names everything else that the arrays depend on."""
    status = video.stat()
    digest = _digest(video, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    # By content, so that the same video is found again under any name.
    return hashlib.sha256(f"{digest}:{identity}".encode()).hexdigest()


@functools.lru_cache(maxsize=4)
def _digest(video: Path, *_: int) -> str:
    """The digest of a file. It is remembered, because a job needs several keys of the same file."""
    digest = hashlib.sha256()
    with video.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            count_step()
    return digest.hexdigest()


def _own_files(paths: Iterable[Path]) -> list[tuple[os.stat_result, Path]]:
    """The files among the paths that a cache has written, with their status."""
    found = [(_status(path), path) for path in paths if _OWN_FILE.fullmatch(path.name)]
    return [(status, path) for status, path in found if status is not None and stat.S_ISREG(status.st_mode)]


def _is_place(folder: Path) -> bool:
    """Whether a folder has the name of an owner's."""
    return _OWNER.fullmatch(folder.name.removeprefix(_OWNED)) is not None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
