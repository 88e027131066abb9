"""Fifty simultaneous posts with one Idempotency-Key over separate connections create one job."""

from __future__ import annotations

import asyncio

import httpx

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings


def test_one_key_is_one_job_however_many_post_at_once(settings: Settings, store: JobStore) -> None:
    async def post_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            posts = (
                client.post("/localize", files={"video": b"v" * 5000}, headers={"Idempotency-Key": "k"})
                for _ in range(50)
            )
            return await asyncio.gather(*posts)

    answers = asyncio.run(post_all())
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers].count("true") == 49
    assert len(list((settings.data_dir / "uploads").iterdir())) == 1
