"""Clients that upload and poll side by side see no error."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from tests.service.running import RunningService
from tests.support.services import PATIENCE

UPLOADERS, UPLOADS = 4, 3
POLLERS, POLLS = 5, 12


class Clients:
    """Clients of one service, and the jobs that they have made."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._first_answer = asyncio.Event()
        self.jobs: list[str] = []
        self.answers = Counter[str]()

    async def upload(self, video: bytes) -> None:
        for _ in range(UPLOADS):
            answer = await self._client.post("/localize", files={"video": ("a.mp4", video)})
            self.answers[f"upload {answer.status_code}"] += 1
            if answer.status_code == 202:
                self.jobs.append(answer.json()["id"])
            self._first_answer.set()

    async def poll(self) -> None:
        await self._first_answer.wait()
        for number in range(POLLS):
            answer = await self._client.get(f"/jobs/{self.jobs[number % len(self.jobs)]}")
            self.answers[f"poll {answer.status_code}"] += 1
            await asyncio.sleep(0.02)


async def all_at_once(url: str, video: bytes) -> Clients:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        clients = Clients(client)
        uploads = (clients.upload(video) for _ in range(UPLOADERS))
        await asyncio.gather(*uploads, *(clients.poll() for _ in range(POLLERS)))
        return clients


def test_uploads_and_polls_side_by_side_have_no_error(service: RunningService, clips: Path) -> None:
    found = asyncio.run(all_at_once(service.url, (clips / "short.mp4").read_bytes()))
    for job_id in found.jobs:
        service.client.delete(f"/jobs/{job_id}")
    assert found.answers == {"upload 202": UPLOADERS * UPLOADS, "poll 200": POLLERS * POLLS}
