"""Forks the forking process from a command, which is faster than starting an interpreter."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from contextlib import suppress
from typing import NoReturn

from sentiloc.worker.children.forker import close_all_but, serve
from sentiloc.worker.children.start import bare_environment


class Fork:
    """A fork of this process, with the part of `subprocess.Popen` that `ForkServer` uses."""

    def __init__(self, pid: int) -> None:
        self.pid, self._handle = pid, os.pidfd_open(pid)
        self.returncode: int | None = None

    def kill(self) -> None:
        """Send SIGKILL, unless its end was already waited for."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            try:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                # This process ignores SIGCHLD, so the kernel kept no status. `subprocess` also returns 0 then.
                self.returncode = 0
            os.close(self._handle)
        return self.returncode


def fork_here(module: str, requests: socket.socket) -> Fork:
    """A fork of this process that forks children for `module` on request. This process must have one thread."""
    pid = os.fork()
    if pid == 0:
        _become_forker(module, requests)
    return Fork(pid)


def _become_forker(module: str, requests: socket.socket) -> NoReturn:
    """Drop what a fork inherits from the command: files, terminal, signals, environment."""
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        close_all_but([requests.fileno()])
        os.environ.clear()
        os.environ.update(bare_environment())
        serve(module, requests)
    finally:
        # No code of the command may run in its fork.
        os._exit(1)
