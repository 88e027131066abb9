"""Names for worker processes, by which other processes of the same machine can check whether they still run."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def new_owner() -> str:
    """A name for one claim: machine, process namespace, user, pid, start time, random token."""
    return f"{_here()}/{os.getpid()}/{_start_time(os.getpid())}/{secrets.token_hex(8)}"


def is_dead(owner: str) -> bool:
    """True only when `owner` is known to have ended: same machine and user, and no such process."""
    place, pid, started, _ = owner.rsplit("/", 3)
    if place != _here() or not place or not pid.isdigit():
        return False
    # The start time distinguishes a process from a later one with the same id.
    return _start_time(int(pid)) != started


def is_this_process(name: str) -> bool:
    """True for a name that this process has given itself, even with another name in front of it."""
    return f"/{_here()}/{os.getpid()}/{_start_time(os.getpid())}/" in f"/{name}"


def _here() -> str:
    try:
        # Process ids are only comparable on one machine, since one boot, and in one namespace (container).
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        return ""
    return f"{boot}/{namespace}/{os.getuid()}"


def _start_time(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The process name stands in parentheses and may contain spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    # A zombie no longer works; field 22 of proc(5) is the start time in clock ticks.
    return "" if fields[0] in ("Z", "X") else fields[19]
