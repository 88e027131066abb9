"""A decoder keeps the memory of the pictures that it frees, so that the system does not clear it again for each one."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sentiloc.worker.children.fork_server import can_fork
from sentiloc.worker.decoder.decode import DecodeRequest, SnippetFrames, decode
from tests.support.media import make_clip
from tests.worker.decoding import LIMITS, forker_pids

SIZE, SECONDS = (960, 540), 1.6
PAGE = resource.getpagesize()
ALLOCATING = """
import resource
from sentiloc.worker.runtime.freed_memory import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
# Four at a time: glibc keeps one or two by itself.
for _ in range(100):
    [bytearray(b"x") * 3_000_000 for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this option")


def faults_of_children(pid: int) -> int:
    """Pages that the ended children of a process have touched first."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return int(fields[8])


def test_memory_that_is_freed_is_not_cleared_again() -> None:
    found = subprocess.run([sys.executable, "-c", ALLOCATING], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 20 * 3_000_000 / PAGE, "the pages of twenty of the four hundred blocks"


@pytest.mark.skipif(not can_fork(), reason="this system has no handles of processes")
def test_a_decoder_does_not_touch_new_memory_for_each_picture(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=SECONDS, size=SIZE)
    request = DecodeRequest(snippet_frames=4, face_samples=(0, 1, 2, 3), face_max_side=max(SIZE))
    # The first decoder starts the process that forks them.
    list(decode(clip, request, LIMITS))
    (forker,) = forker_pids()
    before = faults_of_children(forker)
    count = sum(
        len(event.faces) for event in decode(clip, request, LIMITS) if isinstance(event, SnippetFrames)
    )
    pictures = count * 3 * SIZE[0] * SIZE[1]
    assert (faults_of_children(forker) - before) * PAGE < 0.75 * pictures, (
        "one and more if each takes new memory"
    )
