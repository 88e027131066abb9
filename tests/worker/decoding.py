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
from sentiloc.worker.jobs.signs_of_life import children
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


def refused_within(seconds: float, path: Path, limits: DecodeLimits = LIMITS) -> ErrorCode:
    start = time.monotonic()
    code = failure(path, limits)
    assert time.monotonic() - start < seconds
    return code


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def child_pids() -> list[int]:
    """Decoders of this process that are running."""
    return [pid for forker in forker_pids() for pid in children(forker) if is_running(pid)]


def forker_pids() -> list[int]:
    """The process that forks this one's decoders, if it has been started."""
    return [pid for pid in children(os.getpid()) if _is_forker(pid)]


def _is_forker(pid: int) -> bool:
    return b"sentiloc.worker.children.forker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def peak_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) if "VmHWM" in status else 0


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def leaves_nothing_behind() -> Iterator[None]:
    """For a fixture: no child and no open file is left after a test."""
    decoders.prepare()
    before = open_files()
    yield
    assert child_pids() == []
    # A thread of an earlier test may hold a file for a moment; what leaked stays open.
    wait_for(lambda: open_files() <= before, 10)
