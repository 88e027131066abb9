"""Process control of a worker: end with the parent, and know when to stop."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1

# Shared with the children that Celery forks; CLOCK_MONOTONIC is one clock for all processes of a machine.
_drain_at = multiprocessing.RawValue(ctypes.c_double, 0.0)


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends for any reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def drain_after(seconds: float) -> None:
    """Ask the children of this process to release jobs that are unfinished after so many seconds."""
    _drain_at.value = time.monotonic() + seconds


def is_draining() -> bool:
    """True when a stopping worker must release its job."""
    return 0.0 < _drain_at.value <= time.monotonic()
