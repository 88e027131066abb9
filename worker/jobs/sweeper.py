"""Deletes copies of videos and unfinished reels of killed processes, old features, and those of erased owners.

The API sweeps, too, but it may run on another machine.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import cast

from redis import RedisError

from sentiloc.app.housekeeping.erasure import forgotten_key
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.storage.base import Storage
from sentiloc.app.telemetry import outages
from sentiloc.worker.extraction.array_cache import ArrayCache, forget_owner
from sentiloc.worker.jobs.health import Health
from sentiloc.worker.reels.storing import delete_abandoned

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 600.0
_LOOK_SECONDS = 15.0
# By then, the jobs of an erased owner have stopped.
_STOPPED_SECONDS = 30.0
# No live job leaves a temporary file untouched for this long, so the writer is dead.
_UNFINISHED_SECONDS = 3600.0


def start_sweeper(
    storage: Storage, features: ArrayCache, reels: Path, forgetter: Forgetter, health: Health
) -> None:
    """Sweep now and every ten minutes, in a thread that ends with the process. Erased owners and the health of this
    worker are checked more often.

    `reels` is the folder in which reels are rendered.
    """
    arguments = (storage, features, reels, forgetter, health)
    threading.Thread(target=_loop, args=arguments, name="sweeper", daemon=True).start()


class Forgetter:
    """Deletes the features of owners whose data was erased, before or during the life of this process."""

    def __init__(self, store: JobStore, features_dir: Path) -> None:
        self._store = store
        self._features_dir = features_dir
        self._done: dict[str, float] = {}
        self._is_first = True

    def delete_erased(self) -> int:
        """Delete the features of erased owners; returns the number of entries. Raises `redis.RedisError`."""
        key = forgotten_key(self._store.prefix)
        found = cast("list[tuple[str, float]]", self._store.redis.zrange(key, 0, -1, withscores=True))
        now, count = self._store.redis.time()[0], 0
        for owner, at in found:
            if self._done.get(owner) != at:
                # Features written after an erasure stay. For a very recent erasure they go, too, because a job that was
                # running may have written them.
                count += forget_owner(self._features_dir, owner, at if self._is_first else None)
                # A job that was running stops within seconds, and may store features until then.
                if now - at > _STOPPED_SECONDS:
                    self._done[owner] = at
        self._is_first = False
        return count


def _loop(storage: Storage, features: ArrayCache, reels: Path, forgetter: Forgetter, health: Health) -> None:
    pause, next_sweep = threading.Event(), time.monotonic()
    while True:
        try:
            # Here and not where reports are sent: a disk that hangs must not delay those.
            health.look()
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + _INTERVAL_SECONDS
                features.sweep()
                count = storage.sweep(_UNFINISHED_SECONDS) + delete_abandoned(reels)
                if count:
                    logger.info("deleted %d files that killed processes left behind", count)
            count = forgetter.delete_erased()
            if count:
                logger.info("deleted %d cached features of owners whose data was erased", count)
        except RedisError as error:
            outages.REDIS.failed(error)
        except Exception:
            # The thread must survive: an error here is most likely a temporary one of the disk.
            logger.exception("unfinished files could not be deleted")
        pause.wait(_LOOK_SECONDS)
