"""Deletes what killed processes left on this machine. The API sweeps too, but perhaps on another machine."""

from __future__ import annotations

import logging
import threading

from sentiloc.app.storage.local import Storage

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 600.0
_UNFINISHED_SECONDS = 3600.0


def start_sweeper(storage: Storage) -> None:
    """Sweep now and every ten minutes, in a thread that ends with the process."""
    threading.Thread(target=_loop, args=(storage,), name="sweeper", daemon=True).start()


def _loop(storage: Storage) -> None:
    pause = threading.Event()
    while True:
        try:
            count = storage.sweep(_UNFINISHED_SECONDS)
            if count:
                logger.info("deleted %d files that killed processes left behind", count)
        except Exception:
            # The thread must live on: an error here is most likely the disk's, and passes.
            logger.exception("unfinished files could not be deleted")
        pause.wait(_INTERVAL_SECONDS)
