"""The supervisor with real processes: it restarts dead ones, reports failures, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sentiloc.cli.server.supervisor import ChildSpec, Supervisor
from sentiloc.model.errors import SentilocError
from tests.support.services import ROOT, wait_for


def spec(name: str, script: str, stop_seconds: float = 2.0) -> ChildSpec:
    command = [sys.executable, "-c", script]
    return ChildSpec(name=name, command=command, env=dict(os.environ), stop_seconds=stop_seconds)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


SLEEP = "import time; time.sleep(600)"


def test_killed_processes_are_restarted_and_stopped_at_the_end() -> None:
    supervisor = Supervisor()
    supervisor.start(spec("sleeper", SLEEP))
    first = supervisor.pid("sleeper")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert supervisor.watch(until=lambda: supervisor.pid("sleeper") not in (None, first))
    second = supervisor.pid("sleeper")
    assert second is not None
    supervisor.stop()
    assert not is_running(second)


def test_a_child_stands_as_far_back_as_it_should() -> None:
    supervisor = Supervisor()
    supervisor.start(replace(spec("worker", SLEEP), niceness=3))
    pid = supervisor.pid("worker")
    assert pid is not None
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
    supervisor.stop()


def test_repeated_failures_end_everything_with_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.cli.server.supervisor._MAX_BACKOFF_SECONDS", 0.05)
    supervisor = Supervisor()
    supervisor.start(spec("broken part", "raise SystemExit(3)"))
    with pytest.raises(SentilocError, match=r"the broken part ended 5 times .* exit status 3"):
        supervisor.watch()
    supervisor.stop()


def test_stable_processes_are_always_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.cli.server.supervisor._SHORT_LIFE_SECONDS", 0.4)
    monkeypatch.setattr("sentiloc.cli.server.supervisor._MAX_BACKOFF_SECONDS", 0.05)
    starts = tmp_path / "starts"
    script = f"""
import pathlib, time
starts = pathlib.Path({str(starts)!r})
first = not starts.exists()
with starts.open("a") as file:
    file.write("x")
time.sleep(0.5 if first else 0)
raise SystemExit(1)
"""
    supervisor = Supervisor()
    supervisor.start(spec("unlucky part", script))
    assert supervisor.watch(until=lambda: starts.exists() and len(starts.read_text(encoding="utf-8")) > 7)
    supervisor.stop()


def test_processes_that_were_ready_are_always_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.cli.server.supervisor._MAX_BACKOFF_SECONDS", 0.05)
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(1)"
    supervisor = Supervisor()
    supervisor.start(spec("unlucky part", script))
    assert supervisor.watch(until=starts.exists)
    assert supervisor.watch(until=lambda: len(starts.read_text(encoding="utf-8")) > 7)
    supervisor.stop()


def test_a_child_that_ignores_the_signal_is_killed_with_its_own_children(tmp_path: Path) -> None:
    script = f"""
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(grandchild.pid))
time.sleep(600)
"""
    supervisor = Supervisor()
    supervisor.start(spec("stubborn", script, stop_seconds=0.5))
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(encoding="utf-8"))
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    started = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - started < 60
    wait_for(lambda: not is_running(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, sys
from sentiloc.cli.server.supervisor import ChildSpec, Supervisor
supervisor = Supervisor()
command = [sys.executable, "-c", {SLEEP!r}]
supervisor.start(ChildSpec(name="child", command=command, env=dict(os.environ)))
print(supervisor.pid("child"), flush=True)
supervisor.watch()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not is_running(child))
