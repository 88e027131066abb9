"""Renews a job's lease while the worker makes progress, reports progress, and detects cancellation and hung work.

Each tick reads the job's record, which causes no disk write in Redis. Lease and progress are written at most every two
seconds, more often at first, and when the stage changes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from redis import RedisError

from sentiloc.app.jobs.record import Lease
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry import outages
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.activity import StallDetector
from sentiloc.worker.jobs.process import is_draining
from sentiloc.worker.runtime.steps import steps_done

# Reads are cheap, and cancellation should be noticed within two seconds.
_TICK_SECONDS = 0.4
# The pause between two writes starts at the first value and doubles up to the second, so that short jobs show progress,
# too.
_FIRST_WRITE_SECONDS = 0.4
# Each write waits for Redis's disk. Clients poll about once a second.
_WRITE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StallLimits:
    """The times in seconds after which the work on a job counts as hung.

    Args:
        idle: without progress and without a sign of life.
        busy: without progress, if the work has used the following processor time meanwhile.
        busy_cpu: the processor time for `busy`.
        load: loading a model, which reports no progress.
    """

    idle: float
    busy: float
    busy_cpu: float
    load: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The times from the settings."""
        return cls(
            idle=settings.stall_seconds,
            busy=settings.stall_busy_seconds,
            busy_cpu=settings.stall_cpu_seconds,
            load=settings.model_load_seconds,
        )


class StopReason(StrEnum):
    """Why a job must stop before it is finished."""

    LOST = "cancelled, or given to another worker"
    DRAINING = "the worker is stopping"
    HUNG = "it made no progress"


class LeaseKeeper:
    """A thread that renews the lease. The work calls `report`, which raises if the work must stop.

    Args:
        store: the job records.
        lease: the hold on the job.
        lease_seconds: how long a renewal lasts.
        limits: when the work counts as hung; its lease is then no longer renewed.
        on_hung: called once when the work hangs.
    """

    def __init__(
        self,
        store: JobStore,
        lease: Lease,
        lease_seconds: float,
        *,
        limits: StallLimits,
        on_hung: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._lease_seconds = lease_seconds
        self._limits = limits
        self._watch = StallDetector(limits.idle, limits.busy, limits.busy_cpu)
        self._on_hung = on_hung
        # One tuple, replaced as a whole: the thread never sees a stage with another stage's progress.
        self._state: tuple[str, float] = ("decoding", 0.0)
        self._written: tuple[str, float] | None = None
        self._written_at = time.monotonic()
        self._pause = _FIRST_WRITE_SECONDS
        self._outside = 0
        self._lock = threading.Lock()
        self._loading_until = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lease", daemon=True)
        self.stop_reason: StopReason | None = None

    def report(self, stage: str, progress: float) -> None:
        """Report progress (0-1 over all stages); raises `cancelled` when the work must stop."""
        # Progress never goes back, although the streams report independently.
        self._state = (stage, min(1.0, max(self._state[1], progress)))
        self.check()

    def check(self) -> None:
        """Raise `cancelled` when the work must stop."""
        if self.stop_reason is not None:
            raise SentilocError(ErrorCode.CANCELLED, f"The job stopped: {self.stop_reason}.")

    @contextlib.contextmanager
    def waiting_outside(self) -> Iterator[None]:
        """The block waits for another system that has its own time limits, so it does not count as hung."""
        # The work has several threads.
        with self._lock:
            self._outside += 1
        try:
            yield
        finally:
            with self._lock:
                self._outside -= 1

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """The block loads a model, which may take minutes, but not forever."""
        self._loading_until = time.monotonic() + self._limits.load
        try:
            yield
        finally:
            self._loading_until = 0.0

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
            elif self._is_hung():
                self.stop_reason = StopReason.HUNG
                self._on_hung()
                return
            try:
                if not self._renew():
                    self.stop_reason = StopReason.LOST
            except RedisError as error:
                outages.REDIS.failed(error)
                self._done.wait(1.0)

    def _is_hung(self) -> bool:
        if self._outside or time.monotonic() < self._loading_until:
            # Time inside the block must not count against the work after it.
            self._watch.reset()
            return False
        return self._watch.looks_hung((self._state, steps_done()))

    def _renew(self) -> bool:
        """Write if there is something to write; otherwise only check whether we still hold the job."""
        state, age = self._state, time.monotonic() - self._written_at
        is_new_stage = self._written is None or state[0] != self._written[0]
        # Two renewals may fail before the lease expires.
        third = self._lease_seconds / 3
        is_due = age >= third or (state != self._written and age >= min(self._pause, third))
        # Reading does not wait for Redis's disk, so a cancellation is noticed cheaply.
        if not is_new_stage and not is_due:
            return self._store.holds(self._lease)
        if not self._store.renew(self._lease, self._lease_seconds, *state):
            return False
        self._written, self._written_at = state, time.monotonic()
        if not is_new_stage:
            self._pause = min(2 * self._pause, _WRITE_SECONDS)
        return True
