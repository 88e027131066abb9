"""The system calls that decoding needs, as a seccomp filter that refuses all others.

The list comes from traces of the child with every accepted container and codec. Calls that could affect or measure
other processes are allowed with harmless arguments only. `fstatat` is missing, because a filter cannot see whether its
path is empty. glibc 2.33 to 2.38 call it for `fstat`, so files are opened and mapped before the filter.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUALS, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
# Calls of the x32 ABI have this bit. They would bypass a filter that compares numbers.
_X32_BIT = 0x40000000

_PROT_EXEC = 0x4
# clone must have this flag: it then makes a thread of this process, not a new process.
_CLONE_THREAD = 0x00010000
# Clocks from here on are negative: the processor time of any process or thread.
_FOREIGN_CLOCKS = 0x80000000
# The harmless commands of fcntl: query flags, and duplicate a descriptor.
_F_GETFD, _F_GETFL, _F_DUPFD_CLOEXEC = 1, 3, 1030
# The harmless options of prctl: thread names, and names of memory areas (glibc's malloc).
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41

# The most frequent calls come first, because the filter tests them in this order. Numbers from the kernel's tables.
_FREE: dict[str, dict[str, int]] = {
    "x86_64": {
        **{
            "futex": 202,
            "read": 0,
            "write": 1,
            "lseek": 8,
            "brk": 12,
            "munmap": 11,
            "madvise": 28,
            "mremap": 25,
        },
        **{"pread64": 17, "readv": 19, "writev": 20, "close": 3, "fstat": 5, "poll": 7, "ppoll": 271},
        **{
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "sigaltstack": 131,
            "restart_syscall": 219,
        },
        **{
            "sched_yield": 24,
            "nanosleep": 35,
            "gettimeofday": 96,
            "time": 201,
            "times": 100,
            "getrusage": 98,
        },
        **{"getpid": 39, "gettid": 186, "uname": 63, "sysinfo": 99, "getrandom": 318, "membarrier": 324},
        **{"set_robust_list": 273, "rseq": 334, "exit": 60, "exit_group": 231},
    },
    "aarch64": {
        **{
            "futex": 98,
            "read": 63,
            "write": 64,
            "lseek": 62,
            "brk": 214,
            "munmap": 215,
            "madvise": 233,
            "mremap": 216,
        },
        **{"pread64": 67, "readv": 65, "writev": 66, "close": 57, "fstat": 80, "ppoll": 73},
        **{
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "sigaltstack": 132,
            "restart_syscall": 128,
        },
        **{"sched_yield": 124, "nanosleep": 101, "gettimeofday": 169, "times": 153, "getrusage": 165},
        **{"getpid": 172, "gettid": 178, "uname": 160, "sysinfo": 179, "getrandom": 278, "membarrier": 283},
        **{"set_robust_list": 99, "rseq": 293, "exit": 93, "exit_group": 94},
    },
}


@dataclass(frozen=True, slots=True)
class _Machine:
    """The system-call numbers of one architecture, including those whose arguments are checked."""

    architecture: int
    mmap: int
    mprotect: int
    clone: int
    clone3: int
    fcntl: int
    prctl: int
    tgkill: int
    sched_getaffinity: int
    clocks: tuple[int, int, int]
    """clock_gettime, clock_getres and clock_nanosleep."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 9, 10, 56, 435, 72, 157, 234, 204, (228, 229, 230)),
    "aarch64": _Machine(0xC00000B7, 222, 226, 220, 435, 25, 167, 131, 123, (113, 114, 115)),
}


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install_allowlist() -> bool:
    """Refuse all other calls with EPERM from now on, in this and all later threads; False on unknown architectures.

    Raises AttributeError or OSError if the system has no seccomp.
    """
    name = platform.machine()
    if name not in _MACHINES:
        return False
    program = allowlist(name, os.getpid())
    fprog = _FilterProgram(len(program) // 8, program)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(fprog), 0, 0) == 0)


def allowlist(machine: str, pid: int) -> bytes:
    """The filter as classic BPF over `struct seccomp_data`, 8 bytes per instruction.

    Calls of a foreign architecture kill the process. Memory never becomes executable. New threads are allowed, new
    processes are not. Signals may only be sent to the process `pid` itself, which `abort` needs. Clocks of processor
    time are those of the caller.
    """
    calls = _MACHINES[machine]
    lines = [
        _line(_LOAD, _ARCH_AT),
        _line(_EQUALS, calls.architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
        _line(_AT_LEAST, _X32_BIT, 0, 1),
        _line(_RETURN, _ERRNO | _EPERM),
    ]
    for number in _FREE[machine].values():
        lines += [_line(_EQUALS, number, 0, 1), _line(_RETURN, _ALLOW)]
    for number in (calls.mmap, calls.mprotect):
        lines += _if_argument(number, 2, _ANY_BIT, (_PROT_EXEC,), fits=False)
    lines += _if_argument(calls.clone, 0, _ANY_BIT, (_CLONE_THREAD,))
    lines += _if_argument(calls.fcntl, 1, _EQUALS, (_F_GETFD, _F_GETFL, _F_DUPFD_CLOEXEC))
    lines += _if_argument(calls.prctl, 0, _EQUALS, (_PR_SET_NAME, _PR_SET_VMA))
    lines += _if_argument(calls.tgkill, 0, _EQUALS, (pid,))
    lines += _if_argument(calls.sched_getaffinity, 0, _EQUALS, (0, pid))
    for number in calls.clocks:
        lines += _if_argument(number, 0, _AT_LEAST, (_FOREIGN_CLOCKS,), fits=False)
    # clone3 passes its flags in memory, which a filter cannot read. After ENOSYS, glibc falls back to clone.
    lines += [_line(_EQUALS, calls.clone3, 0, 1), _line(_RETURN, _ERRNO | _ENOSYS)]
    return b"".join([*lines, _line(_RETURN, _ERRNO | _EPERM)])


def _if_argument(
    number: int, argument: int, test: int, values: tuple[int, ...], *, fits: bool = True
) -> list[bytes]:
    """Allow a call if its argument's low word passes the test for one of the values, or, if not `fits`, for none of
    them.
    """
    tests = [_line(test, value, len(values) - place, 0) for place, value in enumerate(values)]
    found, missed = (_ALLOW, _ERRNO | _EPERM) if fits else (_ERRNO | _EPERM, _ALLOW)
    body = [
        _line(_LOAD, _FIRST_ARGUMENT_AT + 8 * argument),
        *tests,
        _line(_RETURN, missed),
        _line(_RETURN, found),
    ]
    return [_line(_EQUALS, number, 0, len(body)), *body]


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
