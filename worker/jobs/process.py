"""Process control of a worker: end with the parent, know when to stop, and send heartbeats."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time

logger = logging.getLogger(__name__)

HEARTBEAT_FD = "SENTILOC_HEARTBEAT_FD"
"""The environment variable with the pipe on which the supervisor receives a worker's heartbeats."""
# From linux/prctl.h; Python's os module has no prctl.
_PR_SET_PDEATHSIG = 1

# Shared with the children that Celery forks; CLOCK_MONOTONIC is one clock for all processes of a machine.
_drain_at = multiprocessing.RawValue(ctypes.c_double, 0.0)
# A child uses the slot of its process id modulo this: consecutive ids rarely collide, and `_pids` shows the owner.
_SLOTS = 1024
# Each slot has a child's process id and the time of its last heartbeat.
_pids = multiprocessing.RawArray(ctypes.c_int64, _SLOTS)
_beats = multiprocessing.RawArray(ctypes.c_double, _SLOTS)
_parent_beat = multiprocessing.RawValue(ctypes.c_double, 0.0)
_BEAT_SECONDS = 1.0


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends for any reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def drain_after(seconds: float) -> None:
    """Ask the children of this process to release jobs that are still unfinished after this many seconds."""
    _drain_at.value = time.monotonic() + seconds


def is_draining() -> bool:
    """True when a stopping worker must release its job."""
    return 0.0 < _drain_at.value <= time.monotonic()


def start_beating() -> None:
    """Send a heartbeat every second, in a thread that ends with this process."""
    _beat()
    threading.Thread(target=_keep_beating, name="heartbeat", daemon=True).start()


def _keep_beating() -> None:
    while True:
        _beat()
        time.sleep(_BEAT_SECONDS)


def _beat() -> None:
    # The id is read each time, because Celery forks its children after this module is imported.
    slot = os.getpid() % _SLOTS
    # No lock: each slot has one writer, and a torn read would only delay the next check.
    _pids[slot], _beats[slot] = os.getpid(), time.monotonic()


def silence_of(pid: int) -> float | None:
    """Seconds since the last heartbeat of a child of the worker; None before the first."""
    slot = pid % _SLOTS
    return time.monotonic() - _beats[slot] if _pids[slot] == pid else None


def parent_beats() -> None:
    """Record a heartbeat of the worker's parent process, which calls this every second."""
    _parent_beat.value = time.monotonic()


def parent_silence() -> float:
    """Seconds since the last heartbeat of the worker's parent process; 0 before the first."""
    return time.monotonic() - _parent_beat.value if _parent_beat.value else 0.0


def end_hung_process() -> None:
    """Write the stacks of all threads to the log's stream, and kill this process, because its work hangs."""
    logger.error("the work on the job hangs: this process ends, and another one takes the job")
    # To descriptor 2 directly: the log's lock may belong to the hung thread.
    faulthandler.dump_traceback(2, all_threads=True)
    # SIGKILL, because a thread that holds the interpreter's lock never runs a handler.
    os.kill(os.getpid(), signal.SIGKILL)
