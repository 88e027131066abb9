"""Requests per second and latency of the API: polling idle and while a job runs, submitting, listening to events.

    python -m bench.api [--seconds 10] [--rate 330] [--clips FOLDER]

One real service. Polling is measured twice: four connections that ask as fast as they are answered (requests per
second), and requests sent at a fixed rate whether or not earlier ones are answered late (latency counts from the
planned moment). Beside them stand the API's own processor seconds per request, which hold on a busy machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.clips import make_clip
from bench.service import Service, descendants, name, process_cpu_seconds

RESULTS = Path(__file__).parent / "results" / "api.json"
CONNECTIONS = 4
Row = dict[str, Any]


class Poller:
    """One connection that asks for one path."""

    def __init__(self, service: Service, path: str) -> None:
        url = service.client.base_url
        self._connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
        self._path = path

    def ask(self) -> None:
        """One request and its whole answer; RuntimeError unless it is 200."""
        self._connection.request("GET", self._path)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self._path}: {answer.status}")


def as_fast_as_answered(poller: Poller, _: int, seconds: float) -> list[float]:
    """Latencies (s) of requests that follow one another for so long."""
    latencies, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        poller.ask()
        latencies.append(time.perf_counter() - start)
    return latencies


def at_a_rate(rate: float) -> Callable[[Poller, int, float], list[float]]:
    """Latencies (s) since the planned moment, each connection with its share of `rate` per second."""

    def ask(poller: Poller, index: int, seconds: float) -> list[float]:
        step, latencies = CONNECTIONS / rate, []
        begin = time.perf_counter() + index * step / CONNECTIONS
        for count in range(round(seconds / step)):
            planned = begin + count * step
            time.sleep(max(0.0, planned - time.perf_counter()))
            poller.ask()
            latencies.append(time.perf_counter() - planned)
        return latencies

    return ask


def poll(
    service: Service, path: str, seconds: float, ask: Callable[[Poller, int, float], list[float]]
) -> Row:
    """CONNECTIONS threads of `ask` at the same time."""
    found: list[list[float]] = [[] for _ in range(CONNECTIONS)]

    def work(index: int) -> None:
        found[index] = ask(Poller(service, path), index, seconds)

    before, start = _api_seconds(service), time.perf_counter()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - start, _api_seconds(service) - before
    latencies = [latency for part in found for latency in part]
    return {
        **summary(latencies),
        "per_second": len(latencies) / wall,
        "cpu_ms_each": 1000 * cpu / len(latencies),
    }


def summary(latencies: list[float]) -> Row:
    """Count, and percentiles in milliseconds."""
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {"requests": len(latencies), "p50_ms": float(p50), "p99_ms": float(p99)}


def _api_seconds(service: Service) -> float:
    """Processor seconds of the API, and of the Redis that it asks."""
    pids = [pid for pid in descendants(service.pid) if name(pid) in {"api", "redis-server"}]
    return sum(map(process_cpu_seconds, pids))


def submits(service: Service, video: Path, count: int) -> tuple[Row, list[str]]:
    """`count` uploads one after another."""
    latencies, jobs = [], []
    before = _api_seconds(service)
    for _ in range(count):
        start = time.perf_counter()
        jobs.append(service.submit(video))
        latencies.append(time.perf_counter() - start)
    cpu = 1000 * (_api_seconds(service) - before) / count
    return {**summary(latencies), "per_second": count / sum(latencies), "cpu_ms_each": cpu}, jobs


def first_event(service: Service, job: str) -> float:
    """Seconds from asking for a job's events to the first one."""
    start = time.perf_counter()
    with service.client.stream("GET", f"/jobs/{job}/events") as stream:
        next(line for line in stream.iter_lines() if line.startswith("data:"))
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=330)
    parser.add_argument("--submits", type=int, default=20)
    parser.add_argument("--clips", type=Path, default=Path(tempfile.gettempdir()) / "sentiloc-clips")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    small, long = (make_clip(options.clips, "h264", 144, seconds) for seconds in (10, 7200))
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), feature_cache_bytes=0) as service:
        done = service.submit(small)
        service.wait(done)
        rows["polling, idle, as fast as answered"] = poll(
            service, f"/jobs/{done}", options.seconds, as_fast_as_answered
        )
        running = service.submit(long)
        while service.client.get(f"/jobs/{running}").json()["state"] != "extracting":
            time.sleep(0.1)
        for title, ask in (
            ("as fast as answered", as_fast_as_answered),
            ("at a rate", at_a_rate(options.rate)),
        ):
            rows[f"polling, a job runs, {title}"] = poll(service, f"/jobs/{running}", options.seconds, ask)
        rows["first event, a job runs"] = summary(
            [first_event(service, running) for _ in range(options.submits)]
        )
        state = service.client.get(f"/jobs/{running}").json()["state"]
        rows["upload of a small video, a job runs"], jobs = submits(service, small, options.submits)
        for job in (*jobs, running):
            service.client.post(f"/jobs/{job}/cancel")
    for title, row in rows.items():
        print(f"{title:40}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    report = {"rate": options.rate, "still": state, "rows": rows}
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
