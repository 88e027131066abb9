"""Distinguishes hung work from slow work.

Work that reports progress is healthy. Without progress it is still healthy while this process and its children use the
processor or move data: a step may be long, or the machine overloaded. Work is hung if it does neither for a while, or
if it has made no progress for a longer while and has used much processor time in it. Elapsed time alone is no
criterion, because each step takes longer on a busy machine.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
# Share of one processor. A waiting worker, whose threads still renew the lease and report, uses less than half of this.
_IDLE_SHARE = 0.03
# A waiting worker still moves some bytes, for its lease and its reports.
_IDLE_BYTES = 1 << 20
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Activity(NamedTuple):
    """Activity of a process and its children since they started: processor seconds, and bytes read or written."""

    cpu_seconds: float
    moved_bytes: int


class StallDetector:
    """Watches the work of one job; call `looks_hung` about once a second.

    Args:
        idle_seconds: work without progress and without activity for this long is hung.
        busy_seconds: work without progress for this long is hung, too, if it has used the following processor time.
        busy_cpu_seconds: processor time of this process and its children since the last progress.
    """

    def __init__(self, idle_seconds: float, busy_seconds: float, busy_cpu_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._busy_seconds, self._busy_cpu_seconds = busy_seconds, busy_cpu_seconds
        self._progress: object = None
        self._samples: deque[tuple[float, Activity]] = deque()
        self._progress_at, self._cpu_at_progress = 0.0, 0.0

    def looks_hung(
        self, progress: object, activity: Activity | None = None, now: float | None = None
    ) -> bool:
        """True if the work is hung. `progress` is any value that changes whenever the work makes progress."""
        now = time.monotonic() if now is None else now
        activity = measure_activity() if activity is None else activity
        # Any progress restarts both clocks.
        if progress != self._progress or not self._samples:
            self._progress, self._progress_at, self._cpu_at_progress = progress, now, activity.cpu_seconds
            self._samples.clear()
        self._samples.append((now, activity))
        used = activity.cpu_seconds - self._cpu_at_progress
        if used >= self._busy_cpu_seconds and now - self._progress_at >= self._busy_seconds:
            return True
        # Keeps the oldest sample that is at least `idle_seconds` old, so that a change within that time shows.
        while len(self._samples) > 1 and now - self._samples[1][0] >= self._idle_seconds:
            self._samples.popleft()
        began, before = self._samples[0]
        is_idle = (
            activity.cpu_seconds - before.cpu_seconds < _IDLE_SHARE * self._idle_seconds
            and activity.moved_bytes - before.moved_bytes < _IDLE_BYTES
        )
        # Without /proc all activity reads as zero, so work never counts as hung.
        return sys.platform == "linux" and is_idle and now - began >= self._idle_seconds

    def reset(self) -> None:
        """Start over: earlier activity no longer counts."""
        self._samples.clear()


def measure_activity() -> Activity:
    """Measure the activity of this process and its running descendants."""
    # This process's own time; children are added below, because they are not waited for while they run.
    own = time.process_time()
    return Activity(own + sum(map(_cpu_seconds, _descendants(os.getpid()))), _moved_bytes())


def _descendants(pid: int) -> list[int]:
    """Children and grandchildren: a decoder is a child of the process that forks decoders."""
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def children(pid: int) -> list[int]:
    """Process ids of the children of a process; empty if the system does not list them."""
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text(encoding="utf-8").split())
    except OSError:
        return found
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    # Fields 14 and 15 of proc(5): user and system time.
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _moved_bytes() -> int:
    try:
        lines = (_PROC / "self" / "io").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    values = dict(line.split(": ") for line in lines)
    # These also count sockets and pipes; `read_bytes` would only count the disk.
    return int(values["rchar"]) + int(values["wchar"])
