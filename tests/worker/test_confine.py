"""The confined child cannot open files, reach a network, start processes or keep root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentiloc.worker.decoder.confine import MEASURES

ROOT = Path(__file__).parents[2]

PROBE = """
import ctypes, json, os, signal, socket, sys, threading
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.request import DecodeLimits

def tried(action):
    try:
        action()
    except BaseException as error:
        return type(error).__name__
    return "done"

def swallow(): return bytearray(2 * 1024**3)

def in_thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

limits = DecodeLimits(memory_bytes=1024**3)
folder = os.open(".", os.O_RDONLY)
report = {"measures": confine(limits, os.getppid())}
report["read"] = tried(lambda: open("/etc/passwd"))
report["read_at"] = tried(lambda: os.open("README.md", os.O_RDONLY, dir_fd=folder))
report["write"] = tried(lambda: open(sys.argv[1], "w"))
report["socket"] = tried(lambda: socket.socket())
report["unix_socket"] = tried(lambda: socket.socketpair())
report["fork"] = tried(os.fork)
report["exec"] = tried(lambda: os.execv(sys.executable, [sys.executable, "-c", "0"]))
report["kill_parent"] = tried(lambda: os.kill(os.getppid(), 0))
report["memory"] = tried(swallow)
report["thread"] = tried(in_thread)
report["root"] = os.geteuid() == 0
report["new_privileges"] = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) != 1
print(json.dumps(report))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")
def test_a_confined_process_can_do_nothing_but_compute(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path / "probe")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(run.stdout)
    assert set(MEASURES) - {"no_network"} <= set(report["measures"])
    refused = ("read", "read_at", "write", "socket", "unix_socket", "fork", "exec", "kill_parent")
    assert {name: report[name] for name in refused} == dict.fromkeys(refused, "PermissionError")
    assert report["memory"] == "MemoryError"
    assert report["thread"] == "done"
    assert not report["root"]
    assert not report["new_privileges"]
    assert not (tmp_path / "probe").exists()
