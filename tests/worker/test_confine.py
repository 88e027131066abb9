"""The sandboxed child cannot open files, reach a network, start processes or keep root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sentiloc.worker.decoder.confine import MEASURES
from sentiloc.worker.decoder.process import _shared_file

ROOT = Path(__file__).parents[2]

PROBE = """
import ctypes, json, mmap, os, platform, resource, signal, socket, sys, threading, time
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.request import DecodeLimits

libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"

def tried(action):
    try:
        action()
    except BaseException as error:
        return type(error).__name__
    return "done"

def call(number, *arguments):
    def ask():
        if libc.syscall(number, *arguments) == -1:
            raise OSError(ctypes.get_errno(), "refused")
    return ask

def swallow(): return bytearray(2 * 1024**3)

def in_thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

def thousand_threads():
    threading.stack_size(32768)
    wait = threading.Event()
    found = []
    try:
        for _ in range(1000):
            found.append(threading.Thread(target=wait.wait, daemon=True))
            found[-1].start()
    finally:
        wait.set()

limits = DecodeLimits(memory_bytes=1024**3)
folder = os.open(".", os.O_RDONLY)
parent, sealed = os.getppid(), int(sys.argv[2])
siginfo = (ctypes.c_char * 256)()
ctypes.memmove(siginfo, (9).to_bytes(4, "little") + bytes(4) + (-1).to_bytes(4, "little", signed=True), 12)
report = {"measures": confine(limits, parent)}
report["read"] = tried(lambda: open("/etc/passwd"))
report["read_at"] = tried(lambda: os.open("README.md", os.O_RDONLY, dir_fd=folder))
report["write"] = tried(lambda: open(sys.argv[1], "w"))
report["socket"] = tried(lambda: socket.socket())
report["unix_socket"] = tried(lambda: socket.socketpair())
report["fork"] = tried(os.fork)
report["exec"] = tried(lambda: os.execv(sys.executable, [sys.executable, "-c", "0"]))
report["kill_parent"] = tried(lambda: os.kill(parent, 0))
report["queue_signal"] = tried(call(138 if arm else 129, parent, 9, siginfo))
report["thread_signal"] = tried(call(131 if arm else 234, parent, parent, 9))
report["limit_parent"] = tried(lambda: resource.prlimit(parent, resource.RLIMIT_FSIZE, (0, 0)))
report["lift_limits"] = tried(call(261 if arm else 302, 0, 1, None, None))
report["shared_segment"] = tried(call(194 if arm else 29, 0, 4096, 0o1600))
report["shrink"] = tried(lambda: os.ftruncate(sealed, 0))
report["own_signals"] = tried(call(25 if arm else 72, 0, 8, parent))
report["code"] = tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
report["nice"] = tried(lambda: os.nice(-1))
report["namespace"] = tried(call(97 if arm else 272, 0x10000000))
report["look_up"] = tried(call(79 if arm else 262, -100, b"/etc/passwd", siginfo, 0x1000))
report["clock_of_parent"] = tried(lambda: time.clock_gettime(~parent << 3 | 2))
report["clock_resolution_of_parent"] = tried(lambda: time.clock_getres(~parent << 3 | 2))
report["processors_of_parent"] = tried(lambda: os.sched_getaffinity(parent))
report["own_clocks"] = tried(lambda: (time.process_time(), time.thread_time(), os.sched_getaffinity(0)))
report["memory"] = tried(swallow)
report["thread"] = tried(in_thread)
report["thousand_threads"] = tried(thousand_threads)
report["root"] = os.geteuid() == 0
print(json.dumps(report), flush=True)
os._exit(0)  # the threads that wait would make the interpreter load libgcc
"""
REFUSED = (
    *("read", "read_at", "write", "socket", "unix_socket", "fork", "exec", "kill_parent", "queue_signal"),
    *(
        "thread_signal",
        "limit_parent",
        "lift_limits",
        "shared_segment",
        "shrink",
        "own_signals",
        "code",
        "nice",
    ),
    "namespace",
    *("look_up", "clock_of_parent", "clock_resolution_of_parent", "processors_of_parent"),
)
ORDINARY = ["setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups", "--no-new-privs"]


def probe(tmp_path: Path, before: list[str]) -> dict[str, Any]:
    """What a sandboxed process can do; it is started with the command `before`."""
    sealed = _shared_file(4096)
    run = subprocess.run(
        [*before, sys.executable, "-c", PROBE, str(tmp_path / "probe"), str(sealed.fileno())],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        pass_fds=[sealed.fileno()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert os.fstat(sealed.fileno()).st_size == 4096
    return dict(json.loads(run.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")
@pytest.mark.parametrize("before", [[], ORDINARY], ids=["as this user", "as an ordinary user"])
def test_a_sandboxed_process_can_only_compute(tmp_path: Path, before: list[str]) -> None:
    if before and (os.geteuid() != 0 or not ordinary_user_can_run()):
        pytest.skip("needs root, setpriv and an interpreter that others may run")
    tmp_path.chmod(0o777)
    report = probe(tmp_path, before)
    assert set(MEASURES) - {"namespaces"} <= set(report["measures"])
    assert {name: report[name] for name in REFUSED} == dict.fromkeys(REFUSED, "PermissionError")
    assert report["memory"] == "MemoryError"
    assert report["thread"] == "done"
    assert report["own_clocks"] == "done"
    assert report["thousand_threads"] == "RuntimeError"
    assert not report["root"]
    assert not (tmp_path / "probe").exists()


def ordinary_user_can_run() -> bool:
    """Whether another user may run this interpreter: a folder in root's home is not accessible."""
    command = [*ORDINARY, sys.executable, "-c", "import sentiloc.worker.decoder.confine"]
    if shutil.which("setpriv") is None:
        return False
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
