"""Drops the privileges of the current process that decoding does not need, before it reads untrusted bytes.

Each measure is tried separately. `confine` returns the names of those that succeeded, so that the parent can log which
are missing (systems other than Linux, old kernels, containers without user namespaces).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.decoder.system_calls import install_allowlist

MEASURES = ("limits", "dies_with_parent", "namespaces", "no_privileges", "system_calls")

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION = 0x20080522
_NEW_USER, _NEW_NET, _NEW_IPC, _NEW_UTS = 0x10000000, 0x40000000, 0x08000000, 0x04000000
# The user id of `nobody`, which owns no files.
_NOBODY = 65534
_FIRST_UID = 0x70000000
"""The first of the user ids for decoders of a root worker.

Each decoder gets its own, so they cannot affect each other.
"""
# At the soft limit the kernel sends SIGXCPU; after the grace time it kills the process.
_CPU_GRACE_SECONDS = 5
# The media, the shared memory, two pipes, and what the interpreter keeps open.
_OPEN_FILES = 16
CODEC_THREADS = 16
"""The most threads of a decoder, FFmpeg's own maximum. Each holds a picture, which takes memory of the child."""
# The limit only stops a runaway child.
_MOST_THREADS = 4 * CODEC_THREADS


def confine(limits: DecodeLimits, parent_pid: int) -> tuple[str, ...]:
    """Apply every measure that this system supports; returns those that succeeded, in the order of `MEASURES`.

    All modules must already be imported, because no file can be opened afterwards.
    """
    steps: dict[str, Callable[[], bool]] = {
        "limits": lambda: _set_limits(limits),
        "namespaces": _enter_namespaces,
        "no_privileges": _drop_privileges,
        # The kernel resets the parent-death signal when the user id changes, so this comes after it.
        "dies_with_parent": lambda: _die_with(parent_pid),
        "system_calls": install_allowlist,
    }
    held = {name for name, step in steps.items() if _holds(step)}
    return tuple(name for name in MEASURES if name in held)


def _holds(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (OSError, ValueError, AttributeError):
        return False


def _set_limits(limits: DecodeLimits) -> bool:
    memory, cpu = limits.memory_bytes, limits.cpu_seconds
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + _CPU_GRACE_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if sys.platform == "linux":
        _limit_threads()
    return True


def _limit_threads() -> None:
    """Limit the number of threads. The kernel counts threads per user, so those that already run are added.

    A root worker's decoders get a user of their own below, where the count starts at zero.
    """
    running = 0 if os.geteuid() == 0 else sum(_threads_of(pid) for pid in Path("/proc").iterdir())
    most = running + _MOST_THREADS
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _threads_of(process: Path) -> int:
    """The number of threads of a process of this user; 0 for any other entry of /proc."""
    try:
        if not process.name.isdigit() or process.stat().st_uid != os.geteuid():
            return 0
        return sum(1 for _ in (process / "task").iterdir())
    except OSError:
        return 0


def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError("only Linux has these calls")
    return ctypes.CDLL(None, use_errno=True)


def _enter_namespaces() -> bool:
    """Enter new namespaces: a network without interfaces, and separate System V IPC and host name.

    A process namespace would need another fork. It is not needed, because the allowed system calls cannot reach other
    processes.
    """
    libc, own = _libc(), _NEW_NET | _NEW_IPC | _NEW_UTS
    return 0 in (libc.unshare(flags) for flags in (own, _NEW_USER | own))


def _drop_privileges() -> bool:
    libc = _libc()
    # Before the change of user, because only root may drop capabilities from the bounding set.
    _empty_bounding_set(libc)
    if os.geteuid() == 0:
        os.setgroups([])
        _become(_FIRST_UID + os.getpid()) or _become(_NOBODY)
    _empty_capabilities(libc)
    return bool(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _become(uid: int) -> bool:
    """Change to a user; False if that is impossible, for example in a container that maps few users."""
    try:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError:
        return False
    return True


def _empty_bounding_set(libc: ctypes.CDLL) -> None:
    for capability in count():
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break


def _empty_capabilities(libc: ctypes.CDLL) -> None:
    """Give up all capabilities for good, because a new user namespace grants all of them within it."""
    libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities stay")


def _die_with(parent_pid: int) -> bool:
    """Ask the kernel for SIGKILL when the parent's thread ends."""
    asked = bool(_libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)
    if os.getppid() != parent_pid:
        os._exit(1)
    return asked
