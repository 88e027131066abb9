"""A thread of the worker's parent process that kills children without heartbeats, so that they are replaced.

A child that is stopped, or whose interpreter hangs, cannot notice this itself. Celery replaces a killed child and
delivers the message of its job again. The thread also sends heartbeats to the supervisor, which watches the parent in
the same way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time

from sentiloc.worker.jobs.activity import children
from sentiloc.worker.jobs.process import HEARTBEAT_FD, parent_beats, silence_of

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0


class Watchdog:
    """Kills children of this process that sent no heartbeat for `silence_seconds`."""

    def __init__(self, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._heard_at = time.monotonic()
        text = os.environ.get(HEARTBEAT_FD, "")
        self._fd = int(text) if text.isdigit() else None

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._loop, name="watchdog", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self.check()
            time.sleep(_TICK_SECONDS)

    def check(self) -> None:
        """Send a heartbeat, and kill silent children."""
        now = time.monotonic()
        was_away, self._heard_at = now - self._heard_at > 5 * _TICK_SECONDS, now
        parent_beats()
        if self._fd is not None:
            with contextlib.suppress(OSError):
                # The worker must not end because the supervisor has closed the pipe.
                os.write(self._fd, b".")
        if was_away:
            # This process itself was stopped, perhaps together with its children. Give them time to send a heartbeat
            # first.
            return
        for pid in children(os.getpid()):
            silence = silence_of(pid)
            if silence is not None and silence > self._silence_seconds:
                logger.error("the worker's child %d sent no heartbeat for %.0f s and is killed", pid, silence)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
