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
from contextlib import suppress
from typing import Any

from sentiloc.worker.children.fork_here import Fork, fork_here
from sentiloc.worker.children.forker import STATUS_BYTES
from sentiloc.worker.children.start import start_bare

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 120.0
"""For the first child the forking process has to import everything, on a machine that may be very busy."""
_ANSWER_BYTES = 64
_EXIT_SECONDS = 5.0


class ForkedChild:
    """A child of the forking process. The handle is the process's own: a number could be another's by then."""

    def __init__(self, pid: int, handle: int, report: int) -> None:
        self.pid, self._handle, self._report = pid, handle, report
        self._status: int | None = None

    def kill(self) -> None:
        """SIGKILL, unless it was waited for."""
        if self._status is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, negative for a signal; raises `subprocess.TimeoutExpired`."""
        if self._status is None:
            poll = select.poll()
            poll.register(self._report, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            text = os.read(self._report, STATUS_BYTES)
            # Without a report the forking process has ended, and the kernel has killed the child: no fault of the task.
            self._status = int.from_bytes(text, "little", signed=True) if text else 1
            os.close(self._handle)
            os.close(self._report)
        return self._status


class Nursery:
    """Children that run `module`, all forked from one process. For any thread."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | Fork | None = None
        self._requests: socket.socket | None = None
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def prepare(self, *, in_place: bool = False) -> None:
        """Start the forking process, so that it imports while this one does something else.

        With `in_place`, it is a fork of this process, if that has one thread: it needs no interpreter of its own, and
        keeps what is imported already. Its memory is a copy of this one's, so a service must not do this.
        """
        with self._lock:
            if self._requests is None and in_place and _has_one_thread():
                self._requests, theirs = _connection()
                with theirs:
                    self._server = fork_here(self._module, theirs)
            self._connected()

    def fork(self, task: dict[str, Any], fds: dict[str, int]) -> ForkedChild:
        """A child that performs `task`, in which `fds` are set to its own numbers of these open files.

        Raises:
            OSError: There can be no further process, or the forking process cannot be started.
        """
        text = json.dumps({"task": task, "fds": list(fds)}).encode()
        read_end, write_end = os.pipe()
        try:
            with self._lock:
                pid, handle = self._ask(text, [*fds.values(), write_end])
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return ForkedChild(pid, handle, read_end)

    def close(self) -> None:
        """End the forking process, and its children with it."""
        with self._lock:
            self._drop()

    def _ask(self, text: bytes, fds: list[int]) -> tuple[int, int]:
        try:
            answer, handles = self._exchange(text, fds)
        except OSError as error:
            log.warning("the process that forks decoders is gone and is started again: %s", error)
            self._drop()
            answer, handles = self._exchange(text, fds)
        if not handles:
            raise OSError(-int(answer), os.strerror(-int(answer)))
        return int(answer), handles[0]

    def _exchange(self, text: bytes, fds: list[int]) -> tuple[bytes, list[int]]:
        requests = self._connected()
        socket.send_fds(requests, [text], fds)
        answer, handles, _, _ = socket.recv_fds(requests, _ANSWER_BYTES, 1)
        if not answer:
            raise ConnectionResetError("it has ended")
        return answer, handles

    def _connected(self) -> socket.socket:
        if self._requests is None:
            ours, theirs = _connection()
            with theirs:
                number = theirs.fileno()
                forker = "sentiloc.worker.children.forker"
                self._server = start_bare(forker, [self._module, str(number)], (number,))
            self._requests = ours
        return self._requests

    def _drop(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._server is not None:
            try:
                self._server.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._requests = self._server = None

    def _forget(self) -> None:
        """A forked copy of this process gets a forking process of its own; the other is its parent's."""
        self._lock = threading.Lock()
        if self._requests is not None:
            self._requests.close()
        if self._server is not None:
            # Not ours to wait for; without a status its destructor would complain.
            self._server.returncode = 0
        self._requests = self._server = None


def _connection() -> tuple[socket.socket, socket.socket]:
    """This process's end and the forking process's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_ANSWER_SECONDS)
    return ours, theirs


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
