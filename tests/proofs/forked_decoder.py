"""Decoder children by `fork` from a warm process: the same code and confinement, without an interpreter's start.

    with forked_decoders():
        list(decode(path, request, limits))

Only proofs that decode by the thousand use it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentiloc.worker.decoder.process import DecoderProcess

_ROOT = Path(__file__).parents[2]
_MESSAGE_BYTES = 65_536
_FDS = ("media_fd", "frames_fd", "out_fd", "credit_fd")


class ForkedChild:
    """One child; the forking process tells its pid, then its exit status."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._status: int | None = None
        self.pid = int(server.recv(64))

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self._status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, negative for a signal."""
        if self._status is None:
            self._server.settimeout(timeout)
            try:
                self._status = int(self._server.recv(64))
            except TimeoutError as error:
                raise subprocess.TimeoutExpired("decoder", timeout or 0.0) from error
            finally:
                self._server.settimeout(None)
        return self._status


@contextmanager
def forked_decoders() -> Iterator[None]:
    """Let `sentiloc.worker.decoder.decode` fork its children, one at a time, until the context ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.proofs.forked_decoder", str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()

    def start(task: dict[str, Any], fds: dict[str, int]) -> ForkedChild:
        socket.send_fds(ours, [json.dumps(task).encode()], [fds[name] for name in _FDS])
        return ForkedChild(ours)

    original = DecoderProcess.__dict__["start_child"]
    DecoderProcess.start_child = staticmethod(start)  # type: ignore[method-assign]
    try:
        yield
    finally:
        setattr(DecoderProcess, "start_child", original)  # noqa: B010
        ours.close()
        server.wait()


def _serve(requests: socket.socket) -> None:
    from sentiloc.worker.decoder import child

    child.import_everything()
    while True:
        message, fds, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, len(_FDS))
        if not message:
            return
        task = {**json.loads(message), **dict(zip(_FDS, fds, strict=True)), "parent_pid": os.getpid()}
        pid = os.fork()
        if pid == 0:
            requests.close()
            _perform(child, json.dumps(task))
        for descriptor in fds:
            os.close(descriptor)
        requests.send(str(pid).encode())
        requests.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _perform(child: Any, task: str) -> None:
    status = 1
    try:
        child.run(child.read_task(task))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
