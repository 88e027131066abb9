"""Decoders are forked from one warm process, which ends with its parent and is replaced if it ends before."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sentiloc.model.errors import ErrorCode, LostProcessError, SentilocError
from sentiloc.worker.children.fork_server import can_fork
from sentiloc.worker.children.start import start_confined
from sentiloc.worker.decoder.decode import SnippetFrames, decode
from sentiloc.worker.decoder.process import DecoderProcess
from sentiloc.worker.jobs.activity import children
from sentiloc.worker.jobs.faults import is_temporary
from tests.support.media import make_clip
from tests.support.services import wait_for
from tests.worker.decoding import (
    HEAVY,
    LIMITS,
    REQUEST,
    child_pids,
    forker_pids,
    is_running,
    leaves_nothing_behind,
)

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no handles of processes")

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)


@pytest.fixture(scope="module", name="clip")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    make_clip(path, seconds=10, size=(320, 240), audio="aac")
    return path


def snippets(clip: Path) -> int:
    return sum(isinstance(event, SnippetFrames) for event in decode(clip, REQUEST, LIMITS))


def names_of_files(clip: Path) -> set[str]:
    return {"/dev/null", str(clip), "/memfd:sentiloc-frames (deleted)"}


def numbers_of_files(pid: int) -> set[int]:
    return {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}


def memory_layout(pid: int) -> list[str]:
    """Where the libraries are."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.endswith(".so") or ".so." in line]


def test_two_decodes_fork_from_one_process(clip: Path) -> None:
    found = []
    for _ in range(2):
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        found.append((forker_pids(), child_pids()))
        events.close()
    (forkers, first), (forkers_again, second) = found
    assert forkers == forkers_again
    assert len(forkers) == 1
    assert first != second


def test_two_decodes_at_a_time(clip: Path) -> None:
    one, other = decode(clip, HEAVY, LIMITS), decode(clip, HEAVY, LIMITS)
    next(one)
    next(other)
    assert len(child_pids()) == 2
    one.close()
    assert len(child_pids()) == 1
    assert sum(isinstance(event, SnippetFrames) for event in other) == 16


def test_the_child_holds_its_own_files_alone(clip: Path) -> None:
    # A fork would inherit the other child's pipes and the request socket.
    one, other = decode(clip, HEAVY, LIMITS), decode(clip, HEAVY, LIMITS)
    next(one)
    next(other)
    files = [{str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()} for pid in child_pids()]
    one.close()
    other.close()
    pipes = [{name for name in names if name.startswith("pipe:")} for names in files]
    assert [len(names) for names in pipes] == [2, 2]
    assert not pipes[0] & pipes[1]
    assert all(names - own == names_of_files(clip) for names, own in zip(files, pipes, strict=True))


def test_the_child_is_confined(clip: Path) -> None:
    events = decode(clip, HEAVY, LIMITS)
    next(events)
    (child,) = child_pids()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{child}/status").read_text(encoding="utf-8").splitlines()
    )
    namespaces = [Path(f"/proc/{pid}/ns/net").readlink() for pid in (child, os.getpid())]
    events.close()
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    names = ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")
    assert [int(status[name], 16) for name in names] == [0] * len(names)
    assert str(os.getuid()) not in status["Uid"].split() or os.getuid() != 0
    assert namespaces[0] != namespaces[1]


def test_the_forking_process_is_replaced(clip: Path) -> None:
    assert snippets(clip) == 16
    (before,) = forker_pids()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not is_running(before))
    assert snippets(clip) == 16
    (after,) = forker_pids()
    assert after != before


def test_its_end_during_a_decode_is_not_the_fault_of_the_video(clip: Path) -> None:
    events = decode(clip, HEAVY, LIMITS)
    next(events)
    (child,), (forker,) = child_pids(), forker_pids()
    os.kill(forker, signal.SIGKILL)
    with pytest.raises(LostProcessError) as caught:
        list(events)
    assert is_temporary(caught.value)  # so its job is tried again
    wait_for(lambda: not is_running(child))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL])
def test_after_a_crash_the_next_child_has_another_memory_layout(clip: Path, number: signal.Signals) -> None:
    # Otherwise a crash would be a question about the layout, and could be asked again and again.
    other, crashing = decode(clip, HEAVY, LIMITS), decode(clip, HEAVY, LIMITS)
    next(other)
    (spared,), (before,) = child_pids(), forker_pids()
    next(crashing)
    (crashed,) = set(child_pids()) - {spared}
    layout = memory_layout(spared)
    assert memory_layout(crashed) == layout
    os.kill(crashed, number)
    with pytest.raises(SentilocError) as caught:
        list(crashing)
    assert caught.value.code == ErrorCode.CORRUPT_MEDIA
    events = decode(clip, HEAVY, LIMITS)
    next(events)
    (new,) = set(child_pids()) - {spared}
    assert memory_layout(new) != layout
    events.close()
    assert sum(isinstance(event, SnippetFrames) for event in other) == 16
    wait_for(lambda: not is_running(before))
    assert snippets(clip) == 16
    assert len(forker_pids()) == 1  # the retired one was waited for


def test_a_killed_child_does_not_count_as_a_crash(clip: Path) -> None:
    assert snippets(clip) == 16
    (before,) = forker_pids()
    events = decode(clip, HEAVY, LIMITS)
    next(events)
    os.kill(child_pids()[0], signal.SIGKILL)
    with pytest.raises(SentilocError):
        list(events)
    assert snippets(clip) == 16
    assert forker_pids() == [before]


@pytest.mark.parametrize("spare", [0, 2, 5])
def test_without_file_descriptors_no_child_is_left_unwatched(clip: Path, spare: int) -> None:
    assert snippets(clip) == 16
    (forker,) = forker_pids()
    # The last child's report is closed a moment after it is read: three standard files and the socket stay.
    wait_for(lambda: len(numbers_of_files(forker)) == 4)
    taken = numbers_of_files(forker)
    before = resource.prlimit(forker, resource.RLIMIT_NOFILE)
    limit = [number for number in range(64) if number not in taken][spare]
    resource.prlimit(forker, resource.RLIMIT_NOFILE, (limit, before[1]))
    with pytest.raises(LostProcessError, match="could be started"):
        snippets(clip)
    assert children(forker) == []
    resource.prlimit(forker, resource.RLIMIT_NOFILE, before)
    assert snippets(clip) == 16
    assert forker_pids() == [forker]
    wait_for(lambda: numbers_of_files(forker) == taken)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_of_a_service_spares_a_decode(clip: Path, number: signal.Signals) -> None:
    events = decode(clip, HEAVY, LIMITS)
    next(events)
    for pid in (*forker_pids(), *child_pids()):
        os.kill(pid, number)
    assert sum(isinstance(event, SnippetFrames) for event in events) == 16


def test_it_ends_with_its_parent(clip: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.worker.decoding import HEAVY, LIMITS, child_pids, decode, forker_pids\n"
        "events = decode(Path(sys.argv[1]), HEAVY, LIMITS)\nnext(events)\n"
        "print(*forker_pids(), *child_pids(), flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(clip)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        parent.kill()
    wait_for(lambda: not any(map(is_running, pids)))


def test_a_forked_copy_of_the_process_has_one_of_its_own(clip: Path) -> None:
    assert snippets(clip) == 16
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        count = snippets(clip)
        os.write(write_end, f"{count} {len(forker_pids())}".encode())
        os._exit(0)
    os.close(write_end)
    assert os.read(read_end, 64) == b"16 1"
    os.close(read_end)
    os.waitpid(pid, 0)
    assert snippets(clip) == 16


def test_without_handles_of_processes_a_fresh_interpreter_decodes(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(task: dict[str, object], fds: dict[str, int]) -> subprocess.Popen[bytes]:
        return start_confined("sentiloc.worker.decoder.child", task, tuple(fds.values()))

    monkeypatch.setattr(DecoderProcess, "start_child", staticmethod(start))
    assert snippets(clip) == 16
