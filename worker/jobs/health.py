"""Whether a worker can work. One that cannot takes no jobs, so that others get them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.disk import faults_are_typed
from sentiloc.app.storage.keys import PROBE, result_key
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.faults import RETRY_MAX_SECONDS, RETRY_SECONDS, sleep_unless_draining
from sentiloc.worker.pipelines.registry import Pipelines

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_OF_STORAGE = frozenset({ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_UNAVAILABLE})
# Without this room, few jobs could store their features.
_ROOM_BYTES = 1 << 20
_WRITTEN = result_key("availability-probe", 1)
# A worker that waits keeps its message from the others no longer than this.
_HELD_SECONDS = 5.0
_LOOK_SECONDS = 1.0


class Health:
    """Whether this worker can work: its storage and its disk can be read and written, and its default model is loaded.

    After a temporary fault a worker takes no job until it is healthy again. Otherwise it would take and put back one
    job after the other. Some faults of a disk or store show in jobs only, so each that follows another without a
    finished job between them doubles the pause before the next job.

    Args:
        storage: Where videos and results are.
        pipelines: The models of this worker.
        folder: Where jobs write while they run.
    """

    def __init__(self, storage: Storage, pipelines: Pipelines, folder: Path) -> None:
        self._storage = storage
        self._pipelines = pipelines
        self._folder = folder
        self._is_suspect = False
        self._rest_seconds = RETRY_SECONDS
        self._pause_seconds = RETRY_SECONDS
        self._next_check = 0.0
        self._lock = threading.Lock()
        self._fault: SentilocError | None = None

    @property
    def fault(self) -> SentilocError | None:
        """The fault of the disk or the store for which this worker takes no jobs."""
        return self._fault

    def suspect(self, error: SentilocError) -> None:
        """A job has met this temporary fault: check the worker's health before the next job."""
        self._is_suspect = True
        if error.code in _OF_STORAGE:
            self._fault = error
            self._next_check = time.monotonic() + self._rest_seconds
            self._rest_seconds = min(2 * self._rest_seconds, RETRY_MAX_SECONDS)

    def proved(self) -> None:
        """A job has stored its result."""
        self._rest_seconds = RETRY_SECONDS

    def wait(self, have_others: Callable[[], bool]) -> bool:
        """Return True as soon as the worker is healthy.

        False if it is asked to stop first, or if others, which `have_others` looks for, should get its message.
        """
        began, self._pause_seconds = time.monotonic(), RETRY_SECONDS
        while self._is_unhealthy():
            self.look()
            if not self._is_unhealthy():
                break
            if not sleep_unless_draining(max(0.0, min(self._next_check - time.monotonic(), _LOOK_SECONDS))):
                return False
            if self._fault and time.monotonic() - began >= _HELD_SECONDS and have_others():
                return False
        return True

    def look(self) -> None:
        """Check an unhealthy worker again if a check is due. Otherwise a worker without a message would show its
        fault forever.
        """
        with self._lock:
            if not self._is_unhealthy() or time.monotonic() < self._next_check:
                return
            found = self._check()
            self._fault = found if found is not None and found.code in _OF_STORAGE else None
            if found is None:
                self._is_suspect = False
                logger.info("this worker is healthy again")
                return
            logger.warning("this worker takes no jobs: %s", found.detail)
            self._next_check = time.monotonic() + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, RETRY_MAX_SECONDS)

    def _is_unhealthy(self) -> bool:
        return self._is_suspect or self._pipelines.error is not None

    def _check(self) -> SentilocError | None:
        if self._pipelines.error is not None:
            # The presence thread keeps retrying to load the model.
            return self._pipelines.error
        try:
            self._storage.size(PROBE)
            self._write()
        except SentilocError as error:
            return error
        return None

    def _write(self) -> None:
        room = bytes(_ROOM_BYTES)
        # Without `commit`, so nothing stays.
        with self._storage.writer(_WRITTEN) as writer:
            writer.write(room)
        with faults_are_typed():
            self._folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self._folder, buffering=0) as file:
                left = memoryview(room)
                while left:
                    left = left[file.write(left) :]
