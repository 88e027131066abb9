"""Shared by all benchmarks: options, results, and a real `sentiloc serve` whose processes are measured."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_SECONDS = 300.0
_SAMPLE_SECONDS = 0.5
ROOT = Path(__file__).resolve().parents[1]


def benchmark_parser(description: str | None, results: Path) -> argparse.ArgumentParser:
    """A command line with `--clips`, a folder for drawn videos, and `--out`, the file for the measurements."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, default=Path(tempfile.gettempdir()) / "sentiloc-clips")
    parser.add_argument("-o", "--out", type=Path, default=results)
    return parser


def save(path: Path, report: object) -> None:
    """Write measurements as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def command(*words: str) -> list[str]:
    """The `sentiloc` command of this checkout; it need not be installed."""
    return [sys.executable, "-c", "from sentiloc.cli.main import main; main()", *words]


def environment(**settings: object) -> dict[str, str]:
    """This process's environment without the service's variables, plus SENTILOC_* for `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTILOC_")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    ours = {f"SENTILOC_{name.upper()}": str(value) for name, value in settings.items()}
    return {**kept, "PYTHONPATH": path, **ours}


class Tree:
    """Memory and processor seconds of a process and its descendants, sampled twice a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self.peak_mib, self.peak_parts = pid, 0.0, dict[str, float]()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._end.set()
        self._thread.join()

    def forget(self) -> None:
        """Reset the peak."""
        self.peak_mib = 0.0

    def cpu_seconds(self) -> float:
        """Processor seconds of all running processes, and of ended ones that were waited for."""
        return sum(map(process_cpu_seconds, descendants(self._pid)))

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            parts = {pid: proportional_mib(pid) for pid in descendants(self._pid)}
            if sum(parts.values()) > self.peak_mib:
                self.peak_mib = sum(parts.values())
                self.peak_parts = {f"{name(pid)} {pid}": mib for pid, mib in parts.items()}


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, path.read_text(encoding="utf-8").split())
            except OSError:
                continue
    return found


def name(pid: int) -> str:
    """A process's role: redis, api, worker or serve, or its program if it is none of these."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except OSError:
        return "ended"
    # Redis and Valkey rewrite their command line once they listen.
    if words[0].partition(" ")[0].endswith(("redis-server", "valkey-server")):
        return "redis"
    known = ("sentiloc.worker.children.forker", "api", "worker", "serve")
    return next((part for part in known if any(part in word for word in words[:6])), words[0])


def proportional_mib(pid: int) -> float:
    """Memory of a process (PSS): pages that several share count once in all."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    except (OSError, StopIteration):
        return 0.0


def resident_bytes(pid: int) -> int:
    """Memory of a process (RSS)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def process_cpu_seconds(pid: int) -> float:
    """Processor seconds of a process, and of its children that ended and were waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


class Service:
    """`sentiloc serve` in `folder` with SENTILOC_* `settings`; use as a context manager."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self._folder, self._settings = folder, settings

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = (self._folder / "log").open("w+b")
        words = command("serve", "--port", "0", "--data-dir", str(self._folder / "data"))
        self._process = subprocess.Popen(
            words, env=environment(**self._settings), stdout=self._log, stderr=subprocess.STDOUT
        )
        self.tree = Tree(self._process.pid)
        self.client = httpx.Client(base_url=self._await_url(), timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tree.stop()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return self._process.pid

    def submit(self, video: Path) -> str:
        """Upload a video; returns the job's id."""
        with video.open("rb") as file:
            answer = self.client.post("/localize", files={"video": (video.name, file)})
        answer.raise_for_status()
        return str(answer.json()["id"])

    def wait(self, job: str) -> dict[str, Any]:
        """Wait for the job's final event; returns its result. Raises RuntimeError if it did not succeed."""
        with self.client.stream("GET", f"/jobs/{job}/events", timeout=None) as events:
            for _ in events.iter_lines():
                continue
        record = self.client.get(f"/jobs/{job}").json()
        if record["state"] != "succeeded":
            raise RuntimeError(f"the job ended as {record}")
        result: dict[str, Any] = self.client.get(f"/jobs/{job}/result").json()
        return result

    def _await_url(self) -> str:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = (self._folder / "log").read_text(encoding="utf-8").splitlines()
            pages = [line.split()[1] for line in lines if line.split()[:1] == ["page:"]]
            if pages and any("Sentiloc is ready" in line for line in lines):
                return pages[0]
            time.sleep(0.1)
        raise RuntimeError((self._folder / "log").read_text(encoding="utf-8"))
