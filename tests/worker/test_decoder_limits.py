"""The decoder child: its limits, the end of its parent, and a slow consumer."""

from __future__ import annotations

import lzma
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentiloc.model.errors import ErrorCode, KilledProcessError, SentilocError
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, SnippetFrames, decode, grab_frame
from sentiloc.worker.decoder.source.opening import decoder_threads
from tests.support.media import make_clip
from tests.support.services import wait_for
from tests.worker.decoding import (
    BOMB,
    HEAVY,
    LIMITS,
    REQUEST,
    child_pids,
    failure,
    is_running,
    leaves_nothing_behind,
    peak_kilobytes,
)

ROOT = Path(__file__).parents[2]

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)


@pytest.fixture(scope="module", name="clip")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real 30 s video, small in bytes, that takes a moment to decode."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    make_clip(path, seconds=30, size=(320, 240), audio="aac")
    return path


class TestLimits:
    """The child's limits hold, and reaching one is a typed error in the parent."""

    def test_memory(self, clip: Path) -> None:
        assert failure(clip, DecodeLimits(threads=1, memory_bytes=150 * 1024**2)) == ErrorCode.RESOURCE_LIMIT

    def test_processor_time(self, clip: Path) -> None:
        dense = replace(HEAVY, frame_rate=10_000.0)
        code = failure(clip, DecodeLimits(threads=1, cpu_seconds=1), dense)
        assert code == ErrorCode.RESOURCE_LIMIT

    def test_wall_time(self, clip: Path) -> None:
        assert error_of_stopped(clip, DecodeLimits(threads=1, wall_seconds=6)) == ErrorCode.RESOURCE_LIMIT

    def test_short_waits_add_up_to_the_wall_time(self, clip: Path) -> None:
        assert failure(clip, DecodeLimits(threads=1, wall_seconds=1e-6)) == ErrorCode.RESOURCE_LIMIT

    def test_more_processors_than_threads_of_a_sandbox(self, clip: Path) -> None:
        """The default number of threads is that of the processors: 192 on a current server."""
        few = DecodeLimits(threads=1, max_duration_seconds=60)
        assert sum(1 for _ in decode(clip, REQUEST, replace(few, threads=192))) > 10

    def test_no_progress(self, clip: Path) -> None:
        assert error_of_stopped(clip, DecodeLimits(threads=1, stall_seconds=5)) == ErrorCode.RESOURCE_LIMIT


class stopped_decoding:  # noqa: N801
    """A decode whose child has been stopped after its first snippet."""

    def __init__(self, path: Path, limits: DecodeLimits, on_wait: Callable[[], None] | None = None) -> None:
        self._events = decode(path, HEAVY, limits, on_wait)

    def __enter__(self) -> Iterator[Any]:
        while not isinstance(next(self._events), SnippetFrames):
            pass
        (pid,) = child_pids()
        os.kill(pid, signal.SIGSTOP)
        return self._events

    def __exit__(self, *exception: object) -> None:
        self._events.close()


def error_of_stopped(path: Path, limits: DecodeLimits) -> ErrorCode:
    """The error of a decode that stands still. On a busy machine it may come before the first snippet."""
    with pytest.raises(SentilocError) as caught, stopped_decoding(path, limits) as events:
        list(events)
    return caught.value.code


@pytest.fixture
def memory_kills(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the kernel counts kills for want of memory: of the group, of the machine, or none."""
    own, machine = tmp_path / "groups" / "app", tmp_path / "vmstat"
    (tmp_path / "own").write_text("3:cpu:/x\n0::/app\n")
    own.mkdir(parents=True)
    if kind == "memory.events":
        (own / kind).write_text("low 0\noom 2\noom_kill 2\n")
    if kind != "neither":
        machine.write_text("pgfault 17\noom_kill 2\n")
    for name, path in {
        "_OWN_GROUPS": tmp_path / "own",
        "_GROUPS": tmp_path / "groups",
        "_MACHINE": machine,
    }.items():
        monkeypatch.setattr(f"sentiloc.worker.children.kills.{name}", path)
    return own / kind if kind == "memory.events" else machine


def error_of(events: Iterator[Any]) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        list(events)
    return caught.value.code


class TestEnds:
    """The child ends with the decode in every case."""

    @pytest.mark.parametrize(
        ("name", "code"), [("SIGXCPU", ErrorCode.RESOURCE_LIMIT), ("SIGSEGV", ErrorCode.CORRUPT_MEDIA)]
    )
    def test_a_child_that_a_signal_ends_is_a_typed_error(
        self, clip: Path, name: str, code: ErrorCode
    ) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        (pid,) = child_pids()
        os.kill(pid, signal.Signals[name])
        assert error_of(events) == code

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGUSR1", "SIGUSR2"])
    @pytest.mark.parametrize("kind", ["memory.events", "vmstat"])
    def test_a_child_that_somebody_kills_is_not_at_its_limit(
        self, clip: Path, name: str, kind: str, memory_kills: Path
    ) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        os.kill(child_pids()[0], signal.Signals[name])
        with pytest.raises(KilledProcessError):
            list(events)

    @pytest.mark.parametrize("kind", ["memory.events", "vmstat"])
    def test_a_child_that_the_kernel_kills_for_memory_is_at_its_limit(
        self, clip: Path, memory_kills: Path
    ) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        memory_kills.write_text(
            memory_kills.read_text(encoding="utf-8").replace("oom_kill 2", "oom_kill 3"), encoding="utf-8"
        )
        os.kill(child_pids()[0], signal.SIGKILL)
        assert error_of(events) == ErrorCode.RESOURCE_LIMIT

    @pytest.mark.parametrize("kind", ["neither"])
    def test_a_kill_indistinguishable_from_the_kernels_counts_as_the_limit(
        self, clip: Path, memory_kills: Path
    ) -> None:
        assert not memory_kills.exists()
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        os.kill(child_pids()[0], signal.SIGKILL)
        assert error_of(events) == ErrorCode.RESOURCE_LIMIT

    def test_closing_kills_the_child(self, clip: Path) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        assert len(child_pids()) == 1
        events.close()
        assert child_pids() == []

    def test_exceptions_of_on_wait_are_raised(self, clip: Path) -> None:
        wanted = threading.Event()

        def cancel() -> None:
            if wanted.is_set():
                raise SentilocError(ErrorCode.CANCELLED, "cancelled")

        with stopped_decoding(clip, LIMITS, cancel) as events:
            wanted.set()
            assert error_of(events) == ErrorCode.CANCELLED
            assert child_pids() == []

    def test_an_idle_consumer_holds_the_child_back(self, clip: Path) -> None:
        request = DecodeRequest(face_samples=(4, 11))
        events = decode(clip, request, LIMITS)
        next(events)
        (pid,) = child_pids()
        # Another decode lasts as long as this one would if nothing held it back.
        list(decode(clip, request, LIMITS))
        assert is_running(pid)
        assert sum(isinstance(event, SnippetFrames) for event in events) == 47

    def test_the_child_dies_with_its_parent(self, clip: Path) -> None:
        script = (
            "import sys\nfrom pathlib import Path\n"
            "from tests.worker.decoding import HEAVY, LIMITS, child_pids, decode\n"
            "events = decode(Path(sys.argv[1]), HEAVY, LIMITS)\nnext(events)\n"
            "print(child_pids()[0], flush=True)\nsys.stdin.read()\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script, str(clip)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert is_running(pid)
            parent.kill()
        wait_for(lambda: not is_running(pid))

    def test_a_decode_in_a_thread(self, clip: Path) -> None:
        found: list[int] = []
        request = DecodeRequest(face_samples=(0,))
        thread = threading.Thread(target=lambda: found.append(len(list(decode(clip, request, LIMITS)))))
        thread.start()
        thread.join()
        assert found == [1 + 47 + 1]

    def test_memory_does_not_grow_with_the_video(self, tmp_path: Path) -> None:
        # Both are longer than what a child decodes ahead, so it is there until its events are taken.
        peaks = []
        for seconds in (8, 28):
            make_clip(tmp_path / "clip.mp4", seconds=seconds, size=(320, 240), audio="aac")
            events = decode(tmp_path / "clip.mp4", REQUEST, LIMITS)
            peaks.append(max(peak_kilobytes(pid) for event in events for pid in child_pids()))
        assert peaks[1] < 1.1 * peaks[0]

    def test_grab_frame_of_a_bomb(self, tmp_path: Path) -> None:
        (tmp_path / "bomb.mp4").write_bytes(lzma.decompress(BOMB.read_bytes()))
        with pytest.raises(SentilocError) as caught:
            grab_frame(tmp_path / "bomb.mp4", 0.0, 320, LIMITS)
        assert caught.value.code == ErrorCode.LIMIT_EXCEEDED


def test_closing_a_decoder_closes_no_descriptor_of_others(clip: Path) -> None:
    events = decode(clip, REQUEST, LIMITS)
    next(events)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]
    events.close()
    for descriptor in others:
        os.fstat(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize(
    ("size", "threads", "expected"),
    [
        ((640, 360), 2, 1),
        ((1280, 720), 8, 7),
        ((720, 1280), 1, 1),
        ((1920, 1080), 2, 2),
        ((1920, 1080), 96, 16),
    ],
)
def test_small_pictures_leave_a_thread_to_the_networks(
    size: tuple[int, int], threads: int, expected: int
) -> None:
    assert decoder_threads(*size, threads) == expected


def test_a_machine_of_many_processors_decodes_as_others_do(clip: Path) -> None:
    """Its decoder would start more threads, and hold more pictures, than the sandbox allows."""
    for threads in (96, 1024):
        many = replace(LIMITS, threads=threads)
        assert sum(isinstance(event, SnippetFrames) for event in decode(clip, REQUEST, many)) > 40
