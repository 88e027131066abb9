"""Runs feature extraction in parallel with decoding. Bounded queues keep memory independent of the video's length."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

from sentiloc.worker.runtime.steps import count_step

T = TypeVar("T")

# How often a waiting thread calls `on_wait`, which is how it notices a cancellation.
_POLL_SECONDS = 0.1


class StageClock:
    """Adds up wall seconds per stage. Stages run in parallel, so their sum may exceed the total."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start


class Stage(Generic[T]):
    """Calls `work(item)` in the order of `put` on a separate thread, and `at_end()` after the last one.

    One item can wait while another is processed. `put` and `finish` call `on_wait` while they wait, and raise what
    `work` and `at_end` raised. Use as a context manager: leaving it drops waiting items, finishes the current one, and
    ends the thread.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        on_wait: Callable[[], None],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._on_wait, self._at_end = work, on_wait, at_end
        self._queue: Queue[T | None] = Queue(1)
        self._dropping = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def thread_name(self) -> str:
        """Name of its thread."""
        return self._thread.name

    def put(self, item: T) -> None:
        """Hand over an item; waits while another one waits."""
        self._send(item)

    def finish(self) -> None:
        """Wait until every item is processed."""
        self._send(None)
        while self._thread.is_alive():
            self._thread.join(_POLL_SECONDS)
            self._on_wait()
        self._raise()

    def _send(self, item: T | None) -> None:
        while True:
            self._raise()
            try:
                return self._queue.put(item, timeout=_POLL_SECONDS)
            except Full:
                self._on_wait()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._unless_dropping(partial(self._work, item))
        self._unless_dropping(self._at_end)

    def _unless_dropping(self, call: Callable[[], None]) -> None:
        if self._dropping.is_set():
            return
        try:
            call()
            count_step()
        except BaseException as error:
            self._error = error
            self._dropping.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._dropping.set()
            self._queue.put(None)
            self._thread.join()
