"""Distinguishes a child that somebody killed from one that the kernel killed because memory ran out."""

from __future__ import annotations

import signal
from pathlib import Path

_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_MACHINE = Path("/proc/vmstat")
# Signals that people and service managers send. Neither a crash nor a limit ends a process with one of these.
_REQUESTS = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
)


class KillWatch:
    """Watches the kernel's count of kills for lack of memory, from the start of a child on."""

    def __init__(self) -> None:
        self._before = _memory_kills()

    def was_stray(self, status: int) -> bool:
        """True if the child's exit status shows that it was ended from outside, and not for its own need of memory.

        If the kernel does not count kills for lack of memory, a SIGKILL may be such a kill, so it does not count as
        stray. The same holds if any process of this container (without a container: of this machine) was killed for
        lack of memory.
        """
        if -status in _REQUESTS:
            return True
        return -status == signal.SIGKILL and self._before is not None and _memory_kills() == self._before


def _memory_kills() -> int | None:
    """How often the kernel has killed a process of this group for lack of memory; None if that is not reported."""
    for place in _counters():
        try:
            fields = dict(line.split(None, 1) for line in place.read_text(encoding="utf-8").splitlines())
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def _counters() -> list[Path]:
    """Files with the count, the most specific one first."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    own = [line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")]
    # A container that does not see its place in the hierarchy finds its own group at the top.
    return [*(_GROUPS / group / "memory.events" for group in (*own, "")), _MACHINE]
