"""Distinguishes a child that somebody killed from one that the kernel killed because memory ran out."""

from __future__ import annotations

import signal
from pathlib import Path

_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_MACHINE = Path("/proc/vmstat")
# Sent by people and service managers. Neither a crash nor a limit ends a process with one of them.
_REQUESTS = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
)


class KillWatch:
    """Begins with a child's start."""

    def __init__(self) -> None:
        self._before = _memory_kills()

    def was_stray(self, status: int) -> bool:
        """True if the child's exit status shows that something from outside ended it, and not its own need for memory.

        Where the kernel does not count such kills, a SIGKILL may be one of them and is not stray. A kill because memory
        ran out anywhere in this container (or on this machine, without one) may have been the child's.
        """
        if -status in _REQUESTS:
            return True
        return -status == signal.SIGKILL and self._before is not None and _memory_kills() == self._before


def _memory_kills() -> int | None:
    """How often the kernel has killed a process of this group for want of memory; None if it does not say."""
    for place in _counters():
        try:
            fields = dict(line.split(None, 1) for line in place.read_text(encoding="utf-8").splitlines())
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def _counters() -> list[Path]:
    """Files with the count, the most exact one first."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    own = [line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")]
    # A container that does not see its place in the hierarchy finds its own group at the top.
    return [*(_GROUPS / group / "memory.events" for group in (*own, "")), _MACHINE]
