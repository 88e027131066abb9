"""Starts child processes, restarts those that exit, and leaves no process behind."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.process import HEARTBEAT_FD

logger = logging.getLogger(__name__)

# From linux/prctl.h. Python has no name for it.
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1
# A child that ends sooner than this (seconds) has failed at its start, which counts towards the limit.
_SHORT_LIFE_SECONDS = 20.0
# Restarts after a failed start: enough for a temporary fault, such as a port that is still busy.
_MAX_SHORT_LIVES = 5
# A child that was killed from outside is rarely at fault, so it gets more restarts.
_MAX_SHORT_LIVES_KILLED = 25
_MAX_BACKOFF_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to run a child. `stop_seconds`: how long it may take to end after SIGTERM.

    `niceness`: added to the scheduler's nice value, so that other children run first.
    `silence_seconds`: a child whose heartbeats stop for this long is killed and restarted. It writes a byte per
    heartbeat into the pipe named by the environment variable `SENTILOC_HEARTBEAT_FD`. None: it has no heartbeat.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()
    niceness: int = 0
    stop_seconds: float = 5.0
    silence_seconds: float | None = None
    ready: Callable[[], bool] = lambda: True
    log: str = "its output is above"


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    short_lives: int = 0
    restart_at: float = 0.0
    is_stable: bool = False
    beats: int | None = None
    heard_at: float | None = None


class Supervisor:
    """Keeps its children running until `stop`, or until one repeatedly fails at its start.

    A child that has run for a while, or was running when a `watch` condition became true, is restarted without limit,
    because a later failure (such as a full disk) may be temporary.
    """

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._stopping = False

    def install_signals(self) -> None:
        """Let Ctrl-C and SIGTERM stop everything."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._stopping = True

    def start(self, spec: ChildSpec) -> None:
        """Start a child and wait until it is ready; raises if it exits first."""
        child = _Child(spec)
        self._children.append(child)
        self._spawn(child)
        if not spec.ready() and not self._stopping:
            raise SentilocError(ErrorCode.INTERNAL, f"the {spec.name} does not start; {spec.log}")

    def pid(self, name: str) -> int | None:
        """Process id of a running child."""
        found = [child.process.pid for child in self._children if child.spec.name == name and child.process]
        return found[0] if found else None

    def watch(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Restart children that exit, until `until` is true (which marks them stable) or a signal arrives; False for a
        signal.

        Raises if a child that is not stable exits too often.
        """
        while not self._stopping:
            for child in self._children:
                self._check(child)
            if until():
                self._mark_stable()
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _mark_stable(self) -> None:
        for child in self._children:
            child.is_stable = True

    def stop(self) -> None:
        """Stop all children in reverse order of their start. Kill those that do not stop in time."""
        self._stopping = True
        # The first child may be Redis, to which the others still write while they stop.
        _end(self._children[1:])
        _end(self._children[:1])

    def _spawn(self, child: _Child) -> None:
        spec = child.spec
        child.started_at = time.monotonic()
        env, fds = dict(spec.env), spec.pass_fds
        writer = None
        if spec.silence_seconds is not None:
            child.beats, writer = os.pipe()
            child.heard_at = None
            # Non-blocking, so that a full or empty pipe stops neither the child nor the supervisor.
            os.set_blocking(child.beats, False)
            os.set_blocking(writer, False)
            env[HEARTBEAT_FD], fds = str(writer), (*fds, writer)
        # preexec_fn is safe here, because the supervisor has one thread.
        child.process = subprocess.Popen(  # noqa: S603
            spec.command,
            env=env,
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            # A group of its own: its children can be killed with it, and Ctrl-C reaches the supervisor alone.
            start_new_session=True,
            preexec_fn=lambda: _prepare(spec.niceness),
        )
        if writer is not None:
            # Only the child holds the end for writing, so the pipe ends with it.
            os.close(writer)

    def _check(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at:
                self._spawn(child)
        elif child.process.poll() is not None:
            self._handle_exit(child, child.process, now)
        elif _is_silent(child, now):
            logger.error(
                "%s sent no heartbeat for %g s and is killed", child.spec.name, child.spec.silence_seconds
            )
            _kill_group(child.process)

    def _handle_exit(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        # Its own children may outlive it and hold its port or its job.
        _kill_group(process)
        child.process = None
        if child.beats is not None:
            os.close(child.beats)
            child.beats = None
        is_short = now - child.started_at < _SHORT_LIFE_SECONDS
        child.short_lives = child.short_lives + 1 if is_short else 0
        # A negative status is the signal that ended it.
        limit = _MAX_SHORT_LIVES if process.returncode >= 0 else _MAX_SHORT_LIVES_KILLED
        child.is_stable = child.is_stable or not is_short
        if child.short_lives >= limit and not child.is_stable:
            raise SentilocError(
                ErrorCode.INTERNAL,
                f"the {child.spec.name} ended {child.short_lives} times just after its start "
                f"(last: {_ending(process.returncode)}); {child.spec.log}",
            )
        # Without the inner minimum, the power of a child that dies for days would overflow.
        wait = min(_MAX_BACKOFF_SECONDS, 0.25 * 2.0 ** min(child.short_lives, 10))
        child.restart_at = now + wait
        logger.error("%s ended (%s); restart in %.2g s", child.spec.name, _ending(process.returncode), wait)


def _is_silent(child: _Child, now: float) -> bool:
    """Read pending heartbeats; True if the last one was too long ago."""
    if child.beats is None or child.spec.silence_seconds is None:
        return False
    with contextlib.suppress(BlockingIOError):
        if os.read(child.beats, 4096):
            child.heard_at = now
    # Until its first heartbeat a child is starting, which may take longer than the limit.
    return child.heard_at is not None and now - child.heard_at > child.spec.silence_seconds


def _end(children: list[_Child]) -> None:
    running = [(child, child.process) for child in children if child.process is not None]
    for _, process in running:
        process.terminate()
    # All children were signalled at the same time, so they share the remaining time.
    started = time.monotonic()
    for child, process in running:
        left = child.spec.stop_seconds - (time.monotonic() - started)
        try:
            process.wait(max(0.0, left))
        except subprocess.TimeoutExpired:
            logger.warning("%s does not stop and is killed", child.spec.name)
        _kill_group(process)
        process.wait()
        child.process = None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    # macOS answers EPERM for a group whose processes have all ended but are not yet reaped.
    except (ProcessLookupError, PermissionError):
        return


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _prepare(niceness: int) -> None:
    """Runs in the child before its program: tie it to the supervisor's life and lower its priority."""
    os.nice(niceness)
    if sys.platform == "linux":
        # A supervisor that is killed with SIGKILL cannot stop its children, so the kernel does.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
