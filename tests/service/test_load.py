"""Clients that upload and poll side by side see no error."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.service.running import RunningService

SECONDS = 3.0


async def upload(client: httpx.AsyncClient, video: bytes, ends: float, jobs: list[str]) -> Counter[str]:
    found = Counter[str]()
    while time.monotonic() < ends:
        answer = await client.post("/localize", files={"video": ("a.mp4", video)})
        found[f"upload {answer.status_code}"] += 1
        if answer.status_code == 202:
            jobs.append(answer.json()["id"])
        await asyncio.sleep(0.5)
    return found


async def poll(client: httpx.AsyncClient, ends: float, jobs: list[str]) -> Counter[str]:
    found = Counter[str]()
    while time.monotonic() < ends:
        if jobs:
            answer = await client.get(f"/jobs/{jobs[sum(found.values()) % len(jobs)]}")
            found[f"poll {answer.status_code}"] += 1
        await asyncio.sleep(0.02)
    return found


async def all_at_once(url: str, video: bytes, jobs: list[str]) -> Counter[str]:
    ends = time.monotonic() + SECONDS
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        uploads = (upload(client, video, ends, jobs) for _ in range(4))
        polls = (poll(client, ends, jobs) for _ in range(5))
        return sum(await asyncio.gather(*uploads, *polls), Counter[str]())


def test_uploads_and_polls_side_by_side_have_no_error(service: RunningService, clips: Path) -> None:
    jobs = list[str]()
    answers = asyncio.run(all_at_once(service.url, (clips / "short.mp4").read_bytes(), jobs))
    for job_id in jobs:
        service.client.delete(f"/jobs/{job_id}")
    assert set(answers) == {"upload 202", "poll 200"}
    assert answers["poll 200"] > 10
