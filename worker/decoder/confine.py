"""Takes from the current process what decoding does not need, before it looks at untrusted bytes.

Every measure is tried on its own; `confine` returns the names of those that hold, so that the parent can say
which are missing (other systems than Linux, old kernels).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable

from sentiloc.worker.decoder.request import DecodeLimits

MEASURES = ("limits", "dies_with_parent", "no_network", "no_privileges", "no_new_files")

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_NOBODY = 65534
_CPU_GRACE_SECONDS = 5
_OPEN_FILES = 16

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUALS, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_X32_BIT = 0x40000000

# System calls that open, name or change files, reach a network, start or touch a process, or widen rights.
# Numbers from the kernel's tables: (audit architecture, clone, clone3, the refused ones).
_SYSTEM_CALLS: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        56,
        435,
        (
            *(2, 76, 82, 83, 84, 85, 86, 87, 88, 90, 92, 94, 133),  # open .. mknod, by path
            *(257, 258, 259, 260, 263, 264, 265, 266, 268, 304, 316, 437),  # the same, at a folder
            *(41, 42, 49, 50, 53, 425),  # socket, connect, bind, listen, socketpair, io_uring_setup
            *(57, 58, 59, 322, 62, 200, 234, 101, 310, 311, 424, 434, 438),  # fork, exec, kill, ptrace, pidfd
            *(155, 160, 161, 165, 250, 272, 298, 308, 321, 323),  # mount, rlimit, keys, namespaces, bpf
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        435,
        (
            *(33, 34, 35, 36, 37, 38, 45, 53, 54, 56, 265, 276, 437),
            *(198, 199, 200, 201, 203, 425),
            *(221, 281, 129, 130, 131, 117, 270, 271, 424, 434, 438),
            *(40, 41, 51, 97, 164, 219, 241, 268, 280, 282),
        ),
    ),
}


def confine(limits: DecodeLimits, parent_pid: int) -> tuple[str, ...]:
    """Apply every measure this system has; returns those that hold, in the order of `MEASURES`.

    All modules must be imported before: no file can be opened afterwards.
    """
    steps: dict[str, Callable[[], bool]] = {
        "limits": lambda: _set_limits(limits),
        "no_network": _leave_network,
        "no_privileges": _drop_privileges,
        "dies_with_parent": lambda: _die_with(parent_pid),
        "no_new_files": _refuse_system_calls,
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
    return True


def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError("only Linux has these calls")
    return ctypes.CDLL(None, use_errno=True)


def _leave_network() -> bool:
    """An empty network namespace: no interface but a loopback that is down."""
    libc = _libc()
    return 0 in (libc.unshare(flags) for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _drop_privileges() -> bool:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    return bool(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _die_with(parent_pid: int) -> bool:
    """Asks the kernel for SIGKILL when the parent's thread ends; must follow any change of user."""
    asked = bool(_libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)
    if os.getppid() != parent_pid:
        os._exit(1)
    return asked


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _refuse_system_calls() -> bool:
    """A seccomp filter: refused calls fail with EPERM, a foreign architecture kills."""
    program = (
        _filter_program(*_SYSTEM_CALLS[platform.machine()]) if platform.machine() in _SYSTEM_CALLS else b""
    )
    if not program:
        return False
    fprog = _FilterProgram(len(program) // 8, program)
    return bool(_libc().prctl(_PR_SET_SECCOMP, 2, ctypes.byref(fprog), 0, 0) == 0)


def _filter_program(architecture: int, clone: int, clone3: int, refused: tuple[int, ...]) -> bytes:
    """Classic BPF over `struct seccomp_data`. New threads are allowed, new processes are not."""
    lines = [
        _line(_LOAD, _ARCH_AT),
        _line(_EQUALS, architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
        _line(_AT_LEAST, _X32_BIT, 0, 1),
        _line(_RETURN, _ERRNO | _EPERM),
    ]
    for number in refused:
        lines += [_line(_EQUALS, number, 0, 1), _line(_RETURN, _ERRNO | _EPERM)]
    lines += [_line(_EQUALS, clone3, 0, 1), _line(_RETURN, _ERRNO | _ENOSYS)]
    lines += [
        _line(_EQUALS, clone, 0, 3),
        _line(_LOAD, _FIRST_ARGUMENT_AT),
        _line(_ANY_BIT, _CLONE_THREAD, 1, 0),
        _line(_RETURN, _ERRNO | _EPERM),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
