"""The process that forks children: `python -m sentiloc.worker.children.forker MODULE SOCKET`.

It imports what `MODULE` needs once. Then each request costs a fork of a few milliseconds, instead of a tenth of a
second for a fresh interpreter. It reads nothing but its parent's requests, and ends with its parent, because then the
socket closes. The kernel kills its children with it (`confine`).

`MODULE` has `import_everything()` and `perform_task(task)`, which confines the process that it runs in.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

RETIRE = b"retire"
"""The last request: afterwards the process ends with the last of its children."""
REQUEST_BYTES = 1 << 18
# A child gets only a few files: the media, the shared memory and its pipes.
MOST_FDS = 16
STATUS_BYTES = 4


class Forker:
    """Serves one parent. A request is a task with the names of its open files; the last one reports the child's end."""

    def __init__(self, module: Any, requests: socket.socket) -> None:
        self._module, self._requests = module, requests
        self._running: dict[int, tuple[int, int]] = {}
        self._is_retired = False
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)

    def serve(self) -> None:
        """Fork until the parent closes its end, or until a retired process has no child left."""
        while self._running or not self._is_retired:
            for number, _ in self._poll.poll():
                if number in self._running:
                    self._reap(number)
                elif not self._take_request():
                    return

    def _take_request(self) -> bool:
        text, fds, _, _ = socket.recv_fds(self._requests, REQUEST_BYTES, MOST_FDS)
        if text == RETIRE:
            self._is_retired = True
        elif text:
            self._answer(json.loads(text), fds)
        return bool(text)

    def _answer(self, request: dict[str, Any], fds: list[int]) -> None:
        done = fds[:-1]
        try:
            if len(fds) != len(request["fds"]) + 1:
                # The kernel drops the files for which this process has no numbers left.
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._fork(request, fds)
        except OSError as error:
            self._requests.send(str(-(error.errno or 1)).encode())
            done = fds
        for number in done:
            os.close(number)

    def _fork(self, request: dict[str, Any], fds: list[int]) -> None:
        task = {**request["task"], **dict(zip(request["fds"], fds, strict=False)), "parent_pid": os.getpid()}
        pid = os.fork()
        if pid == 0:
            self._perform(task, fds[:-1])
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            # Without its handle, this child could not be watched.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._running[handle] = (pid, fds[-1])
        self._poll.register(handle, select.POLLIN)
        socket.send_fds(self._requests, [str(pid).encode()], [handle])

    def _perform(self, task: dict[str, Any], kept: list[int]) -> NoReturn:
        status = 1
        try:
            close_all_but(kept)
            self._module.perform_task(task)
            status = 0
        finally:
            # No code of the forking process may run in the child, whatever was raised.
            os._exit(status)

    def _reap(self, handle: int) -> None:
        pid, report = self._running.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        # The parent may have stopped waiting for the child.
        with suppress(BrokenPipeError):
            os.write(report, status.to_bytes(STATUS_BYTES, "little", signed=True))
        os.close(report)


def close_all_but(kept: list[int]) -> None:
    """Close all open files but these and the standard ones.

    So a child has neither the socket of requests nor the files of other children.
    """
    for name in [path.name for path in Path("/proc/self/fd").iterdir()]:
        number = int(name)
        if number > 2 and number not in kept:
            with suppress(OSError):
                os.close(number)


def serve(module: str, requests: socket.socket) -> NoReturn:
    """Import what the module needs, then fork children until the parent closes its end."""
    # A terminal or a service manager may signal all processes of the service; jobs that may still finish
    # need their decoders.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A program that ignores SIGCHLD passes this on to its children; the kernel would then keep no exit status.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    found = importlib.import_module(module)
    found.import_everything()
    Forker(found, requests).serve()
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
