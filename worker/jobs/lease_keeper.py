"""Renews a job's lease while a worker runs it, reports progress and notices cancellation."""

from __future__ import annotations

import logging
import threading
from enum import StrEnum
from types import TracebackType
from typing import Self

from redis import RedisError

from sentiloc.app.jobs.record import Lease
from sentiloc.app.jobs.store import JobStore
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.process import is_draining

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.4


class StopReason(StrEnum):
    """Why a job must stop before it is finished."""

    LOST = "cancelled, or given to another worker"
    DRAINING = "the worker is stopping"


class LeaseKeeper:
    """A thread that renews the lease. The work calls `report`, which raises when it must stop."""

    def __init__(self, store: JobStore, lease: Lease, lease_seconds: float) -> None:
        self._store = store
        self._lease = lease
        self._lease_seconds = lease_seconds
        self._state: tuple[str, float] = ("decoding", 0.0)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lease", daemon=True)
        self.stop_reason: StopReason | None = None

    def report(self, stage: str, progress: float) -> None:
        """Report progress (0-1 over all stages); raises `cancelled` when the work must stop."""
        self._state = (stage, min(1.0, max(self._state[1], progress)))
        self.check()

    def check(self) -> None:
        """Raise `cancelled` when the work must stop."""
        if self.stop_reason is not None:
            raise SentilocError(ErrorCode.CANCELLED, f"The job stopped: {self.stop_reason}.")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        while self.stop_reason is None and not self._done.wait(_TICK_SECONDS):
            if is_draining():
                self.stop_reason = StopReason.DRAINING
            try:
                if not self._store.renew(self._lease, self._lease_seconds, *self._state):
                    self.stop_reason = StopReason.LOST
            except RedisError as error:
                logger.warning("the lease of job %s could not be renewed: %s", self._lease.job_id, error)
                self._done.wait(1.0)
