"""Hanging work is distinguished from slow work, and stopped processes are found and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.activity import Activity, StallDetector, children, measure_activity
from sentiloc.worker.jobs.watchdog import Watchdog
from tests.support.services import ROOT, wait_for

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
