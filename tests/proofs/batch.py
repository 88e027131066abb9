"""Run a batch of many URLs: all jobs end, a repeat with the same key creates nothing, memory stays flat.

    python -m tests.proofs.batch [--urls 1000] [--write]

A local HTTP server has a few tiny clips, each under many addresses; one address does not exist.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sentiloc.client import Batch, BatchItem, Client
from tests.service.running import RunningService, children
from tests.support.media import make_clip
from tests.support.web_files import QuietHandler, web_files

RESULT = Path(__file__).parent / "results" / "batch.json"
CLIPS = 4
MISSING = "missing"
PATIENCE_SECONDS = 3600.0
_SAMPLE_SECONDS = 1.0
_MIB = 1 << 20


class _Clips(QuietHandler):
    """Serves `/N/any-name.mp4` as clip N."""

    def translate_path(self, path: str) -> str:
        number = urlsplit(path).path.strip("/").partition("/")[0]
        return str(Path(self.directory) / f"{number}.mp4")


@contextmanager
def clip_server(folder: Path) -> Iterator[str]:
    """A web server with `CLIPS` tiny clips; yields its address."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(CLIPS):
        make_clip(folder / f"{number}.mp4", seconds=1.0 + number / 10, fps=10.0, size=(64, 48), audio="aac")
    with web_files(folder, _Clips) as url:
        yield url


def items(base: str, urls: int) -> list[BatchItem]:
    """Different addresses of the clips, and one that does not exist."""
    found = [BatchItem(url=f"{base}/{number % CLIPS}/{number:04}.mp4") for number in range(urls - 1)]
    return [*found, BatchItem(url=f"{base}/{MISSING}/x.mp4")]


def run(service: RunningService, base: str, urls: int) -> dict[str, Any]:
    """Send the batch, send it again, wait for its end, and send it once more; returns the observations."""
    sent = items(base, urls)
    with Client(service.url, timeout=120.0) as client:
        began = time.monotonic()
        batch = client.submit_batch(sent, name="To the end", idempotency_key="one batch")
        accepted = time.monotonic() - began
        early = client.submit_batch(sent, name="To the end", idempotency_key="one batch")
        memory = _watch(service, client, batch.id)
        seconds = time.monotonic() - began
        late = client.submit_batch(sent, name="To the end", idempotency_key="one batch")
        lines = client.batch_results(batch.id)
        total = client.summary(batch=batch.id).count
        return {
            "urls": urls,
            "accepted_seconds": round(accepted, 3),
            "seconds_to_the_end": round(seconds, 1),
            "states": dict(Counter(str(line.state) for line in lines)),
            "errors": dict(Counter(line.error.code for line in lines if line.error is not None)),
            "with_result": sum(line.result is not None for line in lines),
            "jobs_in_order": [line.job_id for line in lines] == list(batch.job_ids),
            "finals_not_one": sum(len(service.finals(job)) != 1 for job in batch.job_ids),
            "repeat_is_the_same": _same(batch, early) and _same(batch, late),
            "jobs_of_the_batch": total,
            "batches": len(client.list_batches(limit=100).batches),
            "memory_mib": memory,
        }


def _same(one: Batch, other: Batch) -> bool:
    return one.id == other.id and one.job_ids == other.job_ids


def _watch(service: RunningService, client: Client, batch_id: str) -> dict[str, list[float]]:
    """Wait for the end; returns the largest memory of each process kind in each fifth of the batch, in MiB."""
    parts = ("API", "worker", "redis")
    most: dict[str, list[float]] = {part: [0.0] * 5 for part in parts}
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = client.batch(batch_id)
        fifth = min(4, int(found.progress * 5))
        for part in parts:
            most[part][fifth] = max(most[part][fifth], round(_memory(service.process(part)) / _MIB, 1))
        if found.state == "finished":
            return most
        if time.monotonic() > ends_at:
            raise TimeoutError(f"the batch is at {found.progress:.1%}")
        time.sleep(_SAMPLE_SECONDS)


def _memory(pid: int) -> int:
    """Resident bytes of a process and its children. 0 for a process that has just ended."""
    total = 0
    for one in (pid, *children(pid)):
        try:
            lines = Path(f"/proc/{one}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    return total


def main() -> None:
    """Run the proof and print it; `--write` saves it in `results/`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder), feature_cache_bytes=256 * _MIB)
        service.start()
        try:
            with clip_server(Path(folder) / "clips") as base:
                found = run(service, base, asked.urls)
        finally:
            service.stop()
    text = json.dumps(found, indent=2)
    print(text)
    if asked.write:
        RESULT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
