"""A command forks its decoders from itself: they work as others do, and hold nothing of the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentiloc.worker.children.fork_server import can_fork
from tests.support.media import make_clip
from tests.support.services import wait_for
from tests.worker.decoding import is_running

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no handles of processes")

COMMAND = """
import json, os, sys, threading
from pathlib import Path
from sentiloc.worker.children import decoders
kept = open(sys.argv[1], "rb")
if sys.argv[2] == "thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
decoders.prepare(in_place=True)
decoders.prepare(in_place=True)
from tests.worker.decoding import HEAVY, LIMITS, children
server, = children(os.getpid())
from sentiloc.worker.decoder.decode import SnippetFrames, decode
events = decode(Path(sys.argv[1]), HEAVY, LIMITS)
next(events)
child, = children(server)
def files(pid):
    return sorted(os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir())
print(json.dumps({
    "own": os.getpid(), "forker": server, "child": child, "group": os.getpgid(server),
    "words": [Path(f"/proc/{pid}/cmdline").read_text() for pid in (os.getpid(), server)],
    "forker files": files(server), "child files": files(child),
    "snippets": sum(isinstance(event, SnippetFrames) for event in events),
}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Any]:
    """Starts the program above, and returns it with what it says."""
    clip, started = tmp_path / "clip.mp4", []
    make_clip(clip, seconds=10, size=(320, 240), audio="aac")

    def start(kind: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        program = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(clip), kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(program)
        assert program.stdout is not None
        return program, json.loads(program.stdout.readline())

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_forked_decoders_hold_no_data_of_the_parent(command: Any, tmp_path: Path) -> None:
    _, said = command("alone")
    own, forker = said["words"]
    assert own == forker
    assert said["group"] == said["forker"]
    assert said["snippets"] == 16
    sockets = [name for name in said["forker files"] if name.startswith("socket:")]
    rest = set(said["forker files"]) - set(sockets)
    assert len(sockets) == 1
    assert {name for name in rest if not name.startswith(("anon_inode:", "pipe:"))} == {"/dev/null"}
    names = [name for name in said["child files"] if not name.startswith("pipe:")]
    assert sorted(set(names)) == sorted(
        ["/dev/null", str(tmp_path / "clip.mp4"), "/memfd:sentiloc-frames (deleted)"]
    )


def test_a_fork_ends_with_the_command(command: Any) -> None:
    program, said = command("alone")
    program.kill()
    wait_for(lambda: not is_running(said["forker"]) and not is_running(said["child"]))


def test_a_command_with_threads_starts_a_fresh_interpreter(command: Any) -> None:
    _, said = command("thread")
    own, forker = said["words"]
    assert own != forker
    assert "children.forker" in forker
    assert said["snippets"] == 16


IGNORING = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from sentiloc.worker.children import decoders
decoders.prepare(in_place=sys.argv[2] == "in place")
first = decoders.decoders()._current
from tests.worker.test_decode import decode_all
for _ in range(2):
    decode_all(Path(sys.argv[1]))
assert decoders.decoders()._current is first
"""


@pytest.mark.parametrize("place", ["in place", "fresh"])
def test_a_program_that_ignores_the_end_of_children_can_decode(tmp_path: Path, place: str) -> None:
    """Such a setting passes from a program to those that it starts."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=2)
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, str(clip), place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
