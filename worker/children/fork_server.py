"""The parent's side of a forking process: starts it once, asks it for children, and replaces it if it ends."""

from __future__ import annotations

import atexit
import json
import logging
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sentiloc.worker.children.fork_here import Fork, fork_here
from sentiloc.worker.children.forker import RETIRE, STATUS_BYTES
from sentiloc.worker.children.start import start_bare

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 120.0
"""Seconds. Before the first child the forking process has to import everything, on a machine that may be very busy."""
_ANSWER_BYTES = 64
_EXIT_SECONDS = 5.0
_CRASHES = frozenset(
    {
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT),
        *(signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS),
    }
)


NO_REPORT = 1 << 10
"""What `wait` returns if the forking process ended before its child. No exit status has this value."""


class ForkedChild:
    """A child of the forking process. It is held by a handle (pidfd), because its number may be reused.

    `on_crash` is called once if the child crashed.
    """

    def __init__(self, pid: int, handle: int, report: int, on_crash: Callable[[], None]) -> None:
        self.pid, self._handle, self._report = pid, handle, report
        self._on_crash = on_crash
        self._status: int | None = None

    def kill(self) -> None:
        """Send SIGKILL, unless its end was already waited for."""
        if self._status is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, negative for a signal, or `NO_REPORT`; raises `subprocess.TimeoutExpired`."""
        if self._status is None:
            poll = select.poll()
            poll.register(self._report, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            text = os.read(self._report, STATUS_BYTES)
            # Without a report the forking process has ended, and the kernel has killed the child: no fault of the task.
            self._status = int.from_bytes(text, "little", signed=True) if text else NO_REPORT
            os.close(self._handle)
            os.close(self._report)
            if -self._status in _CRASHES:
                self._on_crash()
        return self._status


class _ForkingProcess:
    """One process that forks children, and the socket on which it takes requests."""

    def __init__(self, module: str, *, in_place: bool) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(_ANSWER_SECONDS)
        with theirs:
            self._process = fork_here(module, theirs) if in_place else _start(module, theirs.fileno())

    def exchange(self, text: bytes, fds: list[int]) -> tuple[bytes, list[int]]:
        """The answer to a request; raises `OSError` if the process has ended or does not answer."""
        socket.send_fds(self._requests, [text], fds)
        answer, handles, _, _ = socket.recv_fds(self._requests, _ANSWER_BYTES, 1)
        if not answer:
            raise ConnectionResetError("it has ended")
        return answer, handles

    def retire(self) -> None:
        """Let it end when its last child ends."""
        with suppress(OSError):
            self._requests.send(RETIRE)

    def has_ended(self) -> bool:
        """Whether it has ended; if so, its resources here are freed."""
        try:
            self._process.wait(0)
        except subprocess.TimeoutExpired:
            return False
        self._requests.close()
        return True

    def end(self) -> None:
        """End it, and its children with it."""
        self._requests.close()
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Drop the handles in a forked copy of this process, which cannot wait for its parent's children."""
        self._requests.close()
        # Without a status its destructor would warn.
        self._process.returncode = 0


class ForkServer:
    """Children that run `module`, all forked from one process. May be used by any thread.

    All children of one process have the same memory layout, which an attacker could explore with videos that crash the
    decoder. So after a crash the next child is forked from a new process.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._current: _ForkingProcess | None = None
        self._retired: list[_ForkingProcess] = []
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def prepare(self, *, in_place: bool = False) -> None:
        """Start the forking process, so that its imports run in parallel with this process.

        With `in_place`, it is a fork of this process if that has one thread: no interpreter starts, and modules that
        are imported already are shared. Its memory is a copy of this one's, so a service must not do this.
        """
        with self._lock:
            self._connected(in_place=in_place and _has_one_thread())

    def fork(self, task: dict[str, Any], fds: dict[str, int]) -> ForkedChild:
        """A child that performs `task`, in which `fds` are set to its own numbers of these open files.

        Raises:
            OSError: No further process is possible, or the forking process cannot be started.
        """
        text = json.dumps({"task": task, "fds": list(fds)}).encode()
        read_end, write_end = os.pipe()
        try:
            with self._lock:
                pid, handle = self._ask(text, [*fds.values(), write_end])
                parent = self._current
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return ForkedChild(pid, handle, read_end, lambda: self._replace(parent))

    def close(self) -> None:
        """End the forking process, and its children with it."""
        with self._lock:
            self._drop()
            for process in self._retired:
                process.end()
            self._retired = []

    def _ask(self, text: bytes, fds: list[int]) -> tuple[int, int]:
        try:
            answer, handles = self._connected().exchange(text, fds)
        except OSError as error:
            log.warning("the process that forks decoders is gone and is started again: %s", error)
            self._drop()
            answer, handles = self._connected().exchange(text, fds)
        if not handles:
            raise OSError(-int(answer), os.strerror(-int(answer)))
        return int(answer), handles[0]

    def _connected(self, *, in_place: bool = False) -> _ForkingProcess:
        self._retired = [process for process in self._retired if not process.has_ended()]
        if self._current is None:
            self._current = _ForkingProcess(self._module, in_place=in_place)
        return self._current

    def _replace(self, process: _ForkingProcess | None) -> None:
        """Fork no more children from this process. Its present children continue."""
        with self._lock:
            if process is not None and process is self._current:
                process.retire()
                self._retired.append(process)
                self._current = None

    def _drop(self) -> None:
        if self._current is not None:
            self._current.end()
        self._current = None

    def _forget(self) -> None:
        """A forked copy of this process needs its own forking process; the existing ones belong to its parent."""
        self._lock = threading.Lock()
        for process in (self._current, *self._retired):
            if process is not None:
                process.forget()
        self._current, self._retired = None, []


def _start(module: str, number: int) -> subprocess.Popen[bytes] | Fork:
    return start_bare("sentiloc.worker.children.forker", [module, str(number)], (number,))


def _has_one_thread() -> bool:
    """Whether a fork of this process is safe: a lock that another thread holds would never be released in the fork."""
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
    except OSError:
        return False


def can_fork() -> bool:
    """Whether this system has handles of processes: Linux 5.3 and later, unless a container forbids them."""
    try:
        handle = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return False
    try:
        signal.pidfd_send_signal(handle, 0)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
