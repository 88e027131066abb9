"""Renders a job's reel from videos in the storage, and stores it."""

from __future__ import annotations

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
from sentiloc.app.storage.local import Storage
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels.render import render_reel

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_PREFIX, _SUFFIX = "reel-", ".unfinished"
# Only these folders are ever deleted: the user's folder may contain other files.
_OWN_FOLDER = re.compile(rf"{_PREFIX}\w{{8}}{re.escape(_SUFFIX)}")
# No rendering takes a day: its time limit ends it first.
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
    _delete_abandoned(folder)
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(_SUFFIX, _PREFIX, folder))
        with keeper.waiting_outside():
            paths = {key: str(stack.enter_context(storage.local_path(key))) for key in keys}
        path = Path(made) / "reel.mp4"
        done = render_reel(plan.with_sources(paths), path, limits, keeper.report, quality=quality)
        logger.info("%s a reel of %.2f s", "copied" if done.is_copy else "rendered", done.seconds)
        yield path


def _delete_abandoned(folder: Path) -> None:
    """Delete files that killed workers left behind."""
    for found in folder.iterdir():
        if not _OWN_FOLDER.fullmatch(found.name):
            continue
        with suppress(FileNotFoundError):
            # By age, because other workers of this machine use the same folder now.
            if time.time() - found.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(found, ignore_errors=True)


def upload(storage: Storage, path: Path, key: str) -> None:
    """Copy a file into the storage. May be repeated."""
    with path.open("rb") as file, storage.writer(key) as writer:
        while piece := file.read(_PIECE):
            writer.write(piece)
        writer.commit()
