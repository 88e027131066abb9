"""The cost of requests: polls (idle, while a job runs, unchanged, refused, with a key), lists, uploads, events.

    python -m bench.api [--seconds 10] [--rate 330] [--clips FOLDER]

The services are real. Requests come over four connections. They are sent either as soon as the previous one is answered
(requests per second), or at a fixed rate even if earlier answers are late (latency counts from the planned time). The
table also gives the processor milliseconds per request of the API and its Redis, which are valid on a busy machine,
too, and those of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from redis import Redis

from bench.clips import make_clip
from bench.harness import Service, benchmark_parser, descendants, name, process_cpu_seconds, save
from bench.load import Connection
from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore

RESULTS = Path(__file__).parent / "results" / "api.json"
# Enough to keep one API process busy.
CONNECTIONS = 4
Row = dict[str, Any]


async def as_fast_as_answered(connection: Connection, head: str, status: int, seconds: float) -> list[float]:
    """Latencies (s) of consecutive requests during `seconds`."""
    latencies, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await _ask(connection, head, status)
        latencies.append(time.perf_counter() - start)
    return latencies


async def at_a_rate(
    connection: Connection, head: str, status: int, seconds: float, step: float, first: float
) -> list[float]:
    """Latencies (s) from the planned times, which are `step` seconds apart."""
    latencies = []
    begin = time.perf_counter() + first
    for count in range(round(seconds / step)):
        planned = begin + count * step
        await asyncio.sleep(max(0.0, planned - time.perf_counter()))
        await _ask(connection, head, status)
        latencies.append(time.perf_counter() - planned)
    return latencies


async def _ask(connection: Connection, head: str, status: int) -> None:
    found, body = await connection.ask(head)
    if found != status:
        raise RuntimeError(f"{head}: {found} {body!r}")


def requests(
    service: Service,
    path: str,
    seconds: float,
    *,
    rate: float | None = None,
    status: int = 200,
    header: str = "",
) -> Row:
    """Run CONNECTIONS clients at the same time; raises RuntimeError for another status."""
    head = f"GET {path} HTTP/1.1{header}"

    async def all_of_them() -> list[list[float]]:
        connections = [Connection(str(service.client.base_url)) for _ in range(CONNECTIONS)]
        if rate is None:
            work = [as_fast_as_answered(one, head, status, seconds) for one in connections]
        else:
            step = CONNECTIONS / rate
            starts = [index / rate for index in range(CONNECTIONS)]
            work = [
                at_a_rate(one, head, status, seconds, step, first)
                for one, first in zip(connections, starts, strict=True)
            ]
        found = await asyncio.gather(*work)
        for connection in connections:
            connection.close()
        return found

    before, start = _cpu_seconds(service), time.perf_counter()
    found = uvloop.run(all_of_them())
    wall, after = time.perf_counter() - start, _cpu_seconds(service)
    latencies = [latency for part in found for latency in part]
    return {**summary(latencies), "per_second": len(latencies) / wall, **_each(before, after, len(latencies))}


def summary(latencies: list[float]) -> Row:
    """Count, and percentiles in milliseconds."""
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {"requests": len(latencies), "p50_ms": float(p50), "p99_ms": float(p99)}


def _cpu_seconds(service: Service) -> dict[str, float]:
    """Processor seconds of the API, of its Redis, and of this process."""
    found = {"api": 0.0, "redis": 0.0, "client": time.process_time()}
    for pid in descendants(service.pid):
        part = name(pid)
        if part in found:
            found[part] += process_cpu_seconds(pid)
    return found


def _each(before: dict[str, float], after: dict[str, float], count: int) -> Row:
    spent = {part: 1000 * (after[part] - before[part]) / count for part in after}
    return {
        "cpu_ms_each": spent["api"] + spent["redis"],
        **{f"{part}_cpu_ms": spent[part] for part in spent},
    }


def submits(service: Service, video: Path, count: int) -> tuple[Row, list[str]]:
    """`count` uploads one after another."""
    latencies, jobs = [], []
    before = _cpu_seconds(service)
    for _ in range(count):
        start = time.perf_counter()
        jobs.append(service.submit(video))
        latencies.append(time.perf_counter() - start)
    each = _each(before, _cpu_seconds(service), count)
    return {**summary(latencies), "per_second": count / sum(latencies), **each}, jobs


def first_events(service: Service, job: str, count: int) -> Row:
    """Time from the request for a job's events to the first one, `count` times."""
    latencies = []
    before = _cpu_seconds(service)
    for _ in range(count):
        start = time.perf_counter()
        with service.client.stream("GET", f"/jobs/{job}/events") as stream:
            next(line for line in stream.iter_lines() if line.startswith("data:"))
            latencies.append(time.perf_counter() - start)
    return {**summary(latencies), **_each(before, _cpu_seconds(service), count)}


def open_service(folder: Path, small: Path, long: Path, options: argparse.Namespace) -> dict[str, Row]:
    """Rows of a service without API keys."""
    seconds, rows = options.seconds, dict[str, Row]()
    with Service(folder, feature_cache_bytes=0) as service:
        done = service.submit(small)
        service.wait(done)
        poll = f"/jobs/{done}"
        rows["poll, no job runs"] = requests(service, poll, seconds)
        tag = service.client.get(poll).headers["etag"]
        same = f"\r\nIf-None-Match: {tag}"
        rows["poll, unchanged (304)"] = requests(service, poll, seconds, status=304, header=same)
        rows["poll, no such job (404)"] = requests(service, "/jobs/none", seconds, status=404)
        rows["list of 20"] = requests(service, "/jobs", seconds)
        running = service.submit(long)
        while service.client.get(f"/jobs/{running}").json()["state"] != "extracting":
            time.sleep(0.1)
        poll = f"/jobs/{running}"
        rows["poll, a job runs"] = requests(service, poll, seconds)
        rows[f"poll, a job runs, {options.rate:g}/s"] = requests(service, poll, seconds, rate=options.rate)
        rows["first event, a job runs"] = first_events(service, running, options.submits)
        still = service.client.get(poll).json()["state"]
        rows["upload of 160 KB, a job runs"], jobs = submits(service, small, options.submits)
        for job in (*jobs, running):
            service.client.post(f"/jobs/{job}/cancel")
    if still != "extracting":
        raise RuntimeError(f"the job that should still be running is {still}")
    return rows


def guarded_service(folder: Path, small: Path, seconds: float) -> dict[str, Row]:
    """The row of a service with API keys."""
    with Service(folder, api_keys="on") as service:
        with Redis(unix_socket_path=str(folder / "data" / "redis" / "redis.sock")) as redis:
            scopes = (Scope.READ, Scope.WRITE)
            key = KeyStore(redis, "sentiloc:").create("bench", scopes, rate_per_minute=0).text
        service.client.headers["Authorization"] = f"Bearer {key}"
        job = service.submit(small)
        service.wait(job)
        header = f"\r\nAuthorization: Bearer {key}"
        return {"poll with a key": requests(service, f"/jobs/{job}", seconds, header=header)}


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=330)
    parser.add_argument("--submits", type=int, default=20)
    options = parser.parse_args()
    small, long = (make_clip(options.clips, "h264", 144, seconds) for seconds in (10, 7200))
    with tempfile.TemporaryDirectory() as folder:
        rows = open_service(Path(folder) / "open", small, long, options)
        rows |= guarded_service(Path(folder) / "keys", small, options.seconds)
    for title, row in rows.items():
        print(f"{title:30}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    save(options.out, {"rate": options.rate, "rows": rows})


if __name__ == "__main__":
    main()
