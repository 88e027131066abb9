"""Many simultaneous posts with one Idempotency-Key create one job.

`python -m tests.proofs.idempotency --server URL VIDEO`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from sentiloc.client import AsyncClient, JobOptions, Retry

POSTS = 500
AT_ONCE = 100


async def post_all(server: str, video: Path, posts: int, at_once: int) -> dict[str, Any]:
    """Send the same video `count` times; returns the number of jobs."""
    key, mark, gate = str(uuid.uuid4()), str(uuid.uuid4()), asyncio.Semaphore(at_once)
    options = JobOptions(metadata={"mark": mark})
    async with AsyncClient(server, timeout=httpx.Timeout(300.0), retry=Retry(attempts=8)) as client:

        async def post() -> str:
            async with gate:
                return (await client.submit(video, options, idempotency_key=key)).id

        started = time.perf_counter()
        ids = await asyncio.gather(*(post() for _ in range(posts)))
        seconds = time.perf_counter() - started
        listed = [job.id async for job in client.list_jobs(metadata={"mark": mark})]
        jobs = set(ids)
        for job_id in jobs:
            await client.delete(job_id)
    return {
        "posts": posts,
        "at_once": at_once,
        "jobs": len(jobs),
        "listed": len(listed),
        "seconds": round(seconds, 2),
    }


def main() -> None:
    """Print and write the counts; fail unless there is exactly one job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("-o", "--output", type=Path, default=Path("tests/proofs/results/idempotency.json"))
    arguments = parser.parse_args()
    found = asyncio.run(post_all(arguments.server, arguments.video, POSTS, AT_ONCE))
    print(json.dumps(found))
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if (found["jobs"], found["listed"]) != (1, 1):
        raise SystemExit("more than one job")


if __name__ == "__main__":
    main()
