"""Load test: clients upload and poll at a steady rate; measures errors, memory and the latency of polls.

    python -m bench.load [--seconds 600] [--uploaders 50] [--polls 500] [--work runs/load]

Uploads come from `--uploaders` connections, one every ten seconds each; polls (`GET /jobs/ID`) over 25
connections, each at a fixed rate of its own, so a slow answer delays no other. Everything runs on one machine: the
client and the worker take processor time from the API, and `cores_used` states how much each used. The client's own
lateness is printed next to the latencies. If it is tens of milliseconds, the machine was too busy and the latencies say
little about the service.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvloop

from bench.clips import make_short_clip
from bench.harness import (
    Service,
    benchmark_parser,
    descendants,
    name,
    process_cpu_seconds,
    resident_bytes,
    save,
)

RESULTS = Path(__file__).parent / "results" / "load.json"
POLLERS = 25
Row = dict[str, Any]
UPLOAD_EVERY_SECONDS = 10.0
ANSWER_SECONDS = 60.0
_SAMPLE_SECONDS = 2.0
# Memory grows while caches and pools fill, which is not a leak.
_WARM_UP_SHARE = 0.2


@dataclass(slots=True)
class Observations:
    """Measurements of the clients."""

    ends_at: float
    statuses: Counter[str] = field(default_factory=Counter)
    poll_seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    resident: list[tuple[float, int]] = field(default_factory=list)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One kept-alive HTTP connection. It avoids asyncio's streams, which would cost more than the requests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    async def ask(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request; returns status and body. Raises OSError or TimeoutError if the connection breaks or hangs."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._transport, _ = await loop.create_connection(lambda: self, self._host, self._port)
        self._received, self._answer = b"", loop.create_future()
        header = f"{head}\r\nHost: load\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._transport.write(header + body)
        patience = loop.call_later(ANSWER_SECONDS, self.close)
        try:
            return await self._answer
        finally:
            patience.cancel()

    def data_received(self, data: bytes) -> None:
        """Complete the answer once Content-Length bytes have arrived."""
        self._received += data
        head, gap, content = self._received.partition(b"\r\n\r\n")
        if not gap or self._answer is None or self._answer.done():
            return
        head = head.lower()
        if len(content) >= int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0):
            self._answer.set_result((int(head[9:12]), content))
            if b"connection: close" in head:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending request; the next one opens a new connection."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


async def upload(url: str, video: bytes, observed: Observations, delay: float) -> None:
    """Upload one video every ten seconds."""
    connection = Connection(url)
    part = b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    head = "POST /localize HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x"
    await asyncio.sleep(delay)
    while time.monotonic() < observed.ends_at:
        started = time.monotonic()
        try:
            status, content = await connection.ask(head, part + video + b"\r\n--x--\r\n")
            observed.statuses[f"upload {status}"] += 1
            if status == 202:
                observed.jobs.append(json.loads(content)["id"])
        except OSError as error:
            observed.statuses[f"upload {type(error).__name__}"] += 1
            connection.close()
        await asyncio.sleep(max(0.0, started + UPLOAD_EVERY_SECONDS - time.monotonic()))


async def poll(url: str, observed: Observations, beat_seconds: float, delay: float) -> None:
    """Poll a job at a fixed rate; polls that a slow answer made late are skipped."""
    connection = Connection(url)
    due = time.monotonic() + delay
    for index in itertools.count():
        # Otherwise a backlog of late polls would be sent at once, and the load would differ from the requested one.
        due = max(due + beat_seconds, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        started = time.monotonic()
        if started > observed.ends_at:
            return
        if not observed.jobs:
            continue
        observed.late_seconds.append(started - due)
        try:
            status, _ = await connection.ask(
                f"GET /jobs/{observed.jobs[index % len(observed.jobs)]} HTTP/1.1"
            )
            observed.statuses[f"poll {status}"] += 1
            observed.poll_seconds.append(time.monotonic() - started)
        except OSError as error:
            observed.statuses[f"poll {type(error).__name__}"] += 1
            connection.close()


async def watch(service: Service, observed: Observations) -> None:
    """Record the API's resident memory over time, and processor seconds of all processes."""
    api, before = next(pid for pid in descendants(service.pid) if name(pid) == "api"), cpu_seconds(service)
    while time.monotonic() < observed.ends_at:
        observed.resident.append((time.monotonic(), resident_bytes(api)))
        await asyncio.sleep(_SAMPLE_SECONDS)
    after = cpu_seconds(service)
    observed.cpu_seconds = {part: after[part] - before.get(part, 0.0) for part in after}


def cpu_seconds(service: Service) -> dict[str, float]:
    """Processor seconds so far of the client (this process) and of the service's parts."""
    found = {"client": time.process_time()}
    for pid in descendants(service.pid):
        part = name(pid).removeprefix("worker.")
        found[part] = found.get(part, 0.0) + process_cpu_seconds(pid)
    return found


async def run(service: Service, video: bytes, seconds: float, uploaders: int, polls: int) -> Observations:
    """Run all clients at once."""
    observed = Observations(ends_at=time.monotonic() + seconds)
    beat = POLLERS / polls
    await asyncio.gather(
        watch(service, observed),
        *(
            upload(str(service.client.base_url), video, observed, n * UPLOAD_EVERY_SECONDS / uploaders)
            for n in range(uploaders)
        ),
        *(poll(str(service.client.base_url), observed, beat, n * beat / POLLERS) for n in range(POLLERS)),
    )
    return observed


def summary(observed: Observations, seconds: float) -> Row:
    """Percentiles in milliseconds; the memory's slope in MB a minute after the first fifth."""
    errors = {
        name: count for name, count in observed.statuses.items() if name not in ("upload 202", "poll 200")
    }
    times = np.array(observed.resident, float)
    warm = times[int(len(times) * _WARM_UP_SHARE) :]
    slope = float(np.polyfit(warm[:, 0], warm[:, 1], 1)[0]) * 60 / (1 << 20) if len(warm) > 2 else 0.0
    latency = np.percentile(observed.poll_seconds, (50, 95, 99)) * 1000
    late = np.percentile(observed.late_seconds, (50, 99)) * 1000
    requests = sum(observed.statuses.values())
    return {
        "seconds": seconds,
        "answers": dict(observed.statuses),
        "polls_per_second": round(len(observed.poll_seconds) / seconds, 1),
        "poll_ms": {"p50": round(latency[0], 1), "p95": round(latency[1], 1), "p99": round(latency[2], 1)},
        "client_late_ms": {"p50": round(late[0], 1), "p99": round(late[1], 1)},
        "cores_used": {part: round(spent / seconds, 3) for part, spent in observed.cpu_seconds.items()},
        "api_cpu_ms_per_request": round(1000 * observed.cpu_seconds.get("api", 0.0) / requests, 2),
        "api_memory_mb": {"first": int(times[0, 1]) >> 20, "last": int(times[-1, 1]) >> 20},
        "api_memory_slope_mb_per_minute": round(slope, 2),
        "errors": errors,
        "passed": not errors,
        "p99_below_50_ms": bool(latency[2] < 50),
    }


def main() -> None:
    """Start a service, load it, save."""
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--uploaders", type=int, default=50)
    parser.add_argument("--polls", type=int, default=500, help="per second")
    parser.add_argument("--work", type=Path, default=Path("runs") / "load")
    args = parser.parse_args()
    video = make_short_clip(args.work / "moment.mp4", 144, 0.4).read_bytes()
    with Service(args.work / "service", feature_cache_bytes=0, upload_idle_seconds=60) as service:
        observed = uvloop.run(run(service, video, args.seconds, args.uploaders, args.polls))
        row = summary(observed, args.seconds)
    print(json.dumps(row, indent=1))
    save(args.out, row)


if __name__ == "__main__":
    main()
