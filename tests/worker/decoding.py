"""What the tests of the decoder share: a clip, the error of a decode, and a look at running children."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.children import decoders
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, decode
from sentiloc.worker.jobs.activity import children
from tests.support.services import wait_for

LIMITS = DecodeLimits(threads=1)
REQUEST = DecodeRequest(face_samples=(4, 11), audio_rate=16_000)
HEAVY = DecodeRequest(face_samples=tuple(range(16)), visual_size=224)
BOMB = Path(__file__).parent / "data" / "h264_16384x8192.mp4.xz"


def failure(path: Path, limits: DecodeLimits = LIMITS, request: DecodeRequest = REQUEST) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        # Events are dropped as they come: dense pictures of a long video do not fit into memory.
        deque(decode(path, request, limits), maxlen=0)
    return caught.value.code


def refused_soon(path: Path, limits: DecodeLimits = LIMITS) -> ErrorCode:
    """The error, which may cost this process and its decoders two processor seconds: other processes do not count."""
    start = _processor_seconds()
    code = failure(path, limits)
    assert _processor_seconds() - start < 2
    return code


def _processor_seconds() -> float:
    """Processor seconds of this process and of its decoders so far: those that have ended, and their forker."""
    forkers = sum(processor_ticks(pid) + ended_ticks(pid) for pid in forker_pids())
    return time.process_time() + forkers / os.sysconf("SC_CLK_TCK")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def child_pids() -> list[int]:
    """Decoders of this process that are running."""
    return [pid for forker in forker_pids() for pid in children(forker) if is_running(pid)]


def forker_pids() -> list[int]:
    """The process that forks this one's decoders, if it has been started."""
    return [pid for pid in children(os.getpid()) if _is_forker(pid)]


def _is_forker(pid: int) -> bool:
    try:
        return b"sentiloc.worker.children.forker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


def processor_ticks(pid: int) -> int:
    return sum(_ticks(pid)[:2])


def ended_ticks(pid: int) -> int:
    """Processor ticks of the children that have ended and were waited for."""
    return sum(_ticks(pid)[2:])


def _ticks(pid: int) -> list[int]:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return [int(field) for field in fields[11:15]]


def peak_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) if "VmHWM" in status else 0


def is_running(pid: int) -> bool:
    return state(pid) not in "ZX"


def state(pid: int) -> str:
    """The letter of a process's state as in `ps`; X if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def leaves_nothing_behind() -> Iterator[None]:
    """For a fixture: no child and no open file is left after a test."""
    decoders.prepare()
    before = open_files()
    yield
    wait_for(lambda: not child_pids())
    # A thread of an earlier test may hold a file for a moment; what leaked stays open.
    wait_for(lambda: open_files() <= before)
