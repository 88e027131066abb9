"""Renders a job's reel from videos in the storage, and stores it."""

from __future__ import annotations

import fcntl
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sentiloc.app.reels.plan import parse_plan
from sentiloc.app.storage.base import Storage
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels.render import render_reel

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_PREFIX, _SUFFIX = "reel-", ".unfinished"
# Only these folders are ever deleted: the user's folder may contain other files.
_OWN_FOLDER = re.compile(rf"{_PREFIX}\w{{8}}{re.escape(_SUFFIX)}")
_LOCK = "lock"
"""A file in each folder: on network file systems, locks of folders are not seen by other machines."""
_YOUNG_SECONDS = 60.0
"""Age up to which the lock file may not be locked yet."""
# Older workers made no lock file, and some file systems have no locks. No rendering takes a day.
_ABANDONED_SECONDS = 86_400.0


class Keeper(Protocol):
    """The callbacks of the job for which a reel is rendered."""

    def report(self, stage: str, progress: float) -> None:
        """Report progress; raises if the work must stop."""

    def waiting_outside(self) -> AbstractContextManager[None]:
        """The block waits for another system, so it does not count as hung."""


@contextmanager
def rendered(
    plan_json: str,
    storage: Storage,
    folder: Path,
    limits: DecodeLimits,
    keeper: Keeper,
    quality: int,
) -> Iterator[Path]:
    """The rendered reel of a plan whose sources are storage keys, as a file in `folder` while the context lasts.

    Raises what `render_reel` raises, and `source_missing` for a video that is no longer stored.
    """
    plan = parse_plan(plan_json)
    keys = dict.fromkeys(clip.source for clip in plan.clips)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        made = stack.enter_context(
            tempfile.TemporaryDirectory(_SUFFIX, _PREFIX, folder, ignore_cleanup_errors=True)
        )
        stack.enter_context(_locked(Path(made)))
        with keeper.waiting_outside():
            paths = {key: str(stack.enter_context(storage.local_path(key))) for key in keys}
        path = Path(made) / "reel.mp4"
        done = render_reel(plan.with_sources(paths), path, limits, keeper.report, quality=quality)
        logger.info("%s a reel of %.2f s", "copied" if done.is_copy else "rendered", done.seconds)
        yield path


def delete_abandoned(folder: Path) -> int:
    """Delete the unfinished reels in `folder` that killed workers left behind; returns their number."""
    count = 0
    for found in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        # Another sweep may have deleted the folder first.
        with suppress(FileNotFoundError):
            if _OWN_FOLDER.fullmatch(found.name) and _is_abandoned(found):
                shutil.rmtree(found, ignore_errors=True)
                count += 1
    return count


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the context lasts; the system releases it when this process dies."""
    with (folder / _LOCK).open("w+b") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _is_abandoned(folder: Path) -> bool:
    age = time.time() - folder.stat().st_mtime
    if age < _YOUNG_SECONDS:
        return False
    try:
        # Opened for writing, because NFS requires that for an exclusive lock.
        with (folder / _LOCK).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        return age > _ABANDONED_SECONDS


def upload(storage: Storage, path: Path, key: str) -> None:
    """Copy a file into the storage. May be repeated."""
    with path.open("rb") as file, storage.writer(key) as writer:
        while piece := file.read(_PIECE):
            writer.write(piece)
        writer.commit()
