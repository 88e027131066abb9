"""Clients that upload and poll a real service at a steady rate: errors, memory, and how long polls take.

    python -m bench.load [--seconds 600] [--uploaders 50] [--polls 500] [--work runs/load]

Row 16. Uploads come from `--uploaders` connections, one every ten seconds each; polls (`GET /jobs/ID`) over 25
connections, each at its own fixed beat, so that a slow answer delays no other. Everything runs on one machine:
the client and the worker take processor time from the API. The client's own lateness, printed beside the
latencies, tells how busy the machine was: where it is tens of milliseconds, the latencies are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from bench.faults.rig import Row, clip, running, save
from tests.service.running import RunningService
from tests.service.test_uploads import memory

POLLERS = 25
UPLOAD_EVERY_SECONDS = 10.0
_SAMPLE_SECONDS = 2.0
_WARM_UP_SHARE = 0.2


@dataclass(slots=True)
class Figures:
    """What the clients saw."""

    ends_at: float
    statuses: Counter[str] = field(default_factory=Counter)
    poll_seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    resident: list[tuple[float, int]] = field(default_factory=list)


class Connection:
    """One kept-alive HTTP connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body; raises OSError or EOFError when the connection breaks."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"{head}\r\nHost: load\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        header = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(header.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        content = await reader.readexactly(length)
        if "connection: close" in header:
            self.close()
        return int(header[9:12]), content

    def close(self) -> None:
        """Drop it; the next question opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def upload(url: str, video: bytes, figures: Figures, delay: float) -> None:
    """One video every ten seconds."""
    connection = Connection(url)
    part = b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    head = "POST /localize HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x"
    await asyncio.sleep(delay)
    while time.monotonic() < figures.ends_at:
        started = time.monotonic()
        try:
            status, content = await connection.ask(head, part + video + b"\r\n--x--\r\n")
            figures.statuses[f"upload {status}"] += 1
            if status == 202:
                figures.jobs.append(json.loads(content)["id"])
        except (OSError, EOFError) as error:
            figures.statuses[f"upload {type(error).__name__}"] += 1
            connection.close()
        await asyncio.sleep(max(0.0, started + UPLOAD_EVERY_SECONDS - time.monotonic()))


async def poll(url: str, figures: Figures, beat_seconds: float, delay: float) -> None:
    """A known job, at a fixed beat; after a slow answer the beats that were missed are left out."""
    connection = Connection(url)
    due = time.monotonic() + delay
    for index in itertools.count():
        due = max(due + beat_seconds, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        started = time.monotonic()
        if started > figures.ends_at:
            return
        if not figures.jobs:
            continue
        figures.late_seconds.append(started - due)
        try:
            status, _ = await connection.ask(f"GET /jobs/{figures.jobs[index % len(figures.jobs)]} HTTP/1.1")
            figures.statuses[f"poll {status}"] += 1
            figures.poll_seconds.append(time.monotonic() - started)
        except (OSError, EOFError) as error:
            figures.statuses[f"poll {type(error).__name__}"] += 1
            connection.close()


async def watch(pid: int, figures: Figures) -> None:
    """The API's resident memory over time."""
    while time.monotonic() < figures.ends_at:
        figures.resident.append((time.monotonic(), memory(pid)))
        await asyncio.sleep(_SAMPLE_SECONDS)


async def run(service: RunningService, video: bytes, seconds: float, uploaders: int, polls: int) -> Figures:
    """All clients at once."""
    figures = Figures(ends_at=time.monotonic() + seconds)
    beat = POLLERS / polls
    await asyncio.gather(
        watch(service.process("API"), figures),
        *(
            upload(service.url, video, figures, n * UPLOAD_EVERY_SECONDS / uploaders)
            for n in range(uploaders)
        ),
        *(poll(service.url, figures, beat, n * beat / POLLERS) for n in range(POLLERS)),
    )
    return figures


def summary(figures: Figures, seconds: float) -> Row:
    """Percentiles in milliseconds; the memory's slope in MB a minute after the first fifth."""
    errors = {
        name: count for name, count in figures.statuses.items() if name not in ("upload 202", "poll 200")
    }
    times = np.array(figures.resident, float)
    warm = times[int(len(times) * _WARM_UP_SHARE) :]
    slope = float(np.polyfit(warm[:, 0], warm[:, 1], 1)[0]) * 60 / (1 << 20) if len(warm) > 2 else 0.0
    latency = np.percentile(figures.poll_seconds, (50, 95, 99)) * 1000
    late = np.percentile(figures.late_seconds, (50, 99)) * 1000
    return {
        "seconds": seconds,
        "answers": dict(figures.statuses),
        "polls_per_second": round(len(figures.poll_seconds) / seconds, 1),
        "poll_ms": {"p50": round(latency[0], 1), "p95": round(latency[1], 1), "p99": round(latency[2], 1)},
        "client_late_ms": {"p50": round(late[0], 1), "p99": round(late[1], 1)},
        "api_memory_mb": {"first": int(times[0, 1]) >> 20, "last": int(times[-1, 1]) >> 20},
        "api_memory_slope_mb_per_minute": round(slope, 2),
        "errors": errors,
        "passed": not errors,
        "p99_below_50_ms": bool(latency[2] < 50),
    }


def main() -> None:
    """Start a service, load it, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--uploaders", type=int, default=50)
    parser.add_argument("--polls", type=int, default=500, help="per second")
    parser.add_argument("--work", type=Path, default=Path("runs") / "load")
    args = parser.parse_args()
    video = clip(args.work, "moment.mp4", 0.4, size=(64, 48)).read_bytes()
    with running(args.work, "service", upload_idle_seconds=60) as service:
        figures = asyncio.run(run(service, video, args.seconds, args.uploaders, args.polls))
        row = summary(figures, args.seconds)
    command = (
        f"python -m bench.load --seconds {args.seconds:g} --uploaders {args.uploaders} --polls {args.polls}"
    )
    save("load", command, row)


if __name__ == "__main__":
    main()
