"""Hanging work is distinguished from slow work, and stopped processes are found and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.activity import Activity, StallDetector, children, measure_activity
from sentiloc.worker.jobs.watchdog import Watchdog
from tests.support.services import PATIENCE, ROOT, wait_for

IDLE, BUSY, BUSY_CPU = 30.0, 50.0, 25.0


def found_hung_at(progress: object, cpu_share: float, bytes_per_second: float, seconds: int) -> int | None:
    """The second at which work counts as hanging; None if it never does. `progress` may be a function of time."""
    watch = StallDetector(IDLE, BUSY, BUSY_CPU)
    for second in range(seconds):
        now = progress(second) if callable(progress) else progress
        activity = Activity(cpu_share * second, round(bytes_per_second * second))
        if watch.looks_hung(now, activity, float(second)):
            return second
    return None


def test_waiting_without_a_sign_of_life_is_hanging() -> None:
    assert found_hung_at("same", 0.005, 1000, 200) == IDLE


def test_progress_a_busy_processor_or_moving_data_is_not() -> None:
    assert found_hung_at(lambda second: second // 20, 0.0, 0, 1000) is None
    assert found_hung_at("same", 0.05, 0, 400) is None
    assert found_hung_at("same", 0.0, 1e6, 1000) is None


def test_much_work_without_progress_is_hanging() -> None:
    assert found_hung_at("same", 1.0, 0, 200) == BUSY
    assert found_hung_at("same", 16.0, 0, 200) == BUSY
    assert found_hung_at(lambda second: second // 40, 16.0, 0, 200) is None


def test_a_busy_machine_gives_slow_work_more_time() -> None:
    assert found_hung_at("same", 0.25, 0, 200) == BUSY_CPU / 0.25


def test_work_that_stops_in_the_middle_is_found_in_time() -> None:
    found = found_hung_at(lambda second: min(second, 50), 0.0, 0, 200)
    assert found is not None and IDLE <= found - 50 <= IDLE + 2


def test_children_count() -> None:
    before = measure_activity()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            assert child.pid in children(os.getpid())
            wait_for(lambda: measure_activity().cpu_seconds - before.cpu_seconds > 0.5)
        finally:
            child.kill()


BUSY_BELOW = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"


def test_processes_below_children_count() -> None:
    """A decoder is the child of the process that forks it."""
    before = measure_activity()
    with subprocess.Popen([sys.executable, "-c", BUSY_BELOW]) as child:
        busy = wait_for(lambda: children(child.pid))
        try:
            wait_for(lambda: measure_activity().cpu_seconds - before.cpu_seconds > 1.0)
        finally:
            os.kill(busy[0], signal.SIGKILL)


PARENT = """
import os, signal, time
from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.watchdog import Watchdog
pids = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        process.start_beating()
        time.sleep(600)
    pids.append(pid)
while any(process.silence_of(pid) is None for pid in pids):
    time.sleep(0.05)
print(*pids, flush=True)
Watchdog(8.0).start()
ended, _ = os.wait()
print(ended, flush=True)
os.kill(next(pid for pid in pids if pid != ended), signal.SIGKILL)
"""


def test_a_stopped_child_is_killed_and_the_other_lives() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        first, second = map(int, parent.stdout.readline().split())
        os.kill(second, signal.SIGSTOP)
        assert int(parent.stdout.readline()) == second
        assert first != second


def test_a_child_that_has_not_beaten_yet_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        try:
            assert process.silence_of(child.pid) is None
            Watchdog(0.0).check()
            assert child.poll() is None
        finally:
            child.kill()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A child whose last heartbeat was ten seconds ago."""
    with subprocess.Popen(["sleep", "600"]) as child:
        slot = child.pid % process._SLOTS
        process._pids[slot], process._beats[slot] = child.pid, time.monotonic() - 10
        try:
            yield child
        finally:
            process._pids[slot] = 0
            child.kill()


@pytest.mark.parametrize(("patience", "is_killed"), [(9.0, True), (60.0, False)])
def test_a_child_is_killed_once_it_is_silent_for_too_long(
    sleeper: subprocess.Popen[bytes], patience: float, is_killed: bool
) -> None:
    Watchdog(patience).check()
    if is_killed:
        assert sleeper.wait(PATIENCE) == -signal.SIGKILL
    else:
        assert sleeper.poll() is None


@pytest.mark.parametrize(("away", "is_spared"), [(5.5, True), (2.0, False)])
def test_after_a_stop_of_the_watchdog_children_get_time_for_a_heartbeat(
    sleeper: subprocess.Popen[bytes], away: float, is_spared: bool
) -> None:
    watchdog = Watchdog(9.0)
    watchdog._heard_at -= away
    watchdog.check()
    if is_spared:
        time.sleep(0.05)
        assert sleeper.poll() is None
        watchdog.check()
    assert sleeper.wait(PATIENCE) == -signal.SIGKILL


def test_each_check_is_a_heartbeat_for_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(process.HEARTBEAT_FD, str(writer))
    watchdog, before = Watchdog(60.0), time.monotonic()
    watchdog.check()
    watchdog.check()
    assert os.read(reader, 9) == b".."
    assert process.parent_silence() <= time.monotonic() - before
    os.close(reader)
    # A supervisor that has ended stops no worker.
    watchdog.check()
    os.close(writer)


def test_a_reset_forgets_the_time_before_it() -> None:
    """A worker that has waited for another system, and begins to compute."""
    watch = StallDetector(IDLE, BUSY, BUSY_CPU)
    for second in (0.0, BUSY - 1):
        assert not watch.looks_hung("same", Activity(second, 0), second)
    watch.reset()
    assert not watch.looks_hung("same", Activity(2 * BUSY, 0), 2 * BUSY)
    assert not watch.looks_hung("same", Activity(2 * BUSY, 0), 2 * BUSY + IDLE - 1)
    assert watch.looks_hung("same", Activity(2 * BUSY, 0), 2 * BUSY + IDLE)


@pytest.mark.parametrize("begin", [0, 500])
def test_only_activity_since_the_last_progress_counts(begin: int) -> None:
    """A process that has worked for long before this job."""
    watch = StallDetector(IDLE, BUSY, BUSY_CPU)
    hung = [
        second
        for second in range(100)
        if watch.looks_hung("same", Activity(begin + 0.005 * second, begin << 20), float(second))
    ]
    assert hung[0] == IDLE
    watch = StallDetector(IDLE, BUSY, BUSY_CPU)
    assert not any(
        watch.looks_hung("same", Activity(begin + 0.1 * second, 0), float(second)) for second in range(200)
    )
