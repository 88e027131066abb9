"""The number of processors that this process may use, within a container's quota, and their description."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPU_INFO = Path("/proc/cpuinfo")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """The size of the scheduler's CPU set or the cgroup's quota, whichever is less; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    # Rounded up, because a single thread would leave a third of 1.5 processors idle.
    return max(1, min(allowed, math.ceil(quota)) if quota else allowed)


def _quota_v2(cgroup: Path) -> float | None:
    """Processors that `cpu.max` ("quota period" in microseconds, or "max period") grants."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(cgroup: Path) -> float | None:
    """Processors that the `cpu` controller of the first version grants; -1 means no limit."""
    try:
        quota = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        period = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="utf-8"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@lru_cache
def cpu_info(name: str) -> str:
    """A field of the kernel's description of the first processor, such as "flags"; empty if there is none."""
    try:
        with _CPU_INFO.open(encoding="utf-8") as lines:
            # A blank line ends the first processor; a large machine describes hundreds.
            first = takewhile(str.strip, lines)
            return next((line.split(":", 1)[1].strip() for line in first if line.startswith(name)), "")
    except OSError:
        return ""
