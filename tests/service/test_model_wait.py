"""A worker that lacks the weights of a model, beside one that has them, with a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentiloc.model.weights import find_weights
from tests.service.running import JOB_SECONDS
from tests.support.fleet import Member, fleet
from tests.support.services import PATIENCE, private_redis, wait_for
from tests.worker.tiny_networks import write_visual

MODEL = "fsenet-i3d"
QUICK = {
    "lease_seconds": 4,
    "reaper_interval_seconds": 1,
    "fault_pause_seconds": 1,
    "fault_pause_max_seconds": 2,
}


class Two:
    """An API, a worker that has the weights of `MODEL`, and one that lacks them, not started yet."""

    def __init__(self, folder: Path, members: list[Member]) -> None:
        self.able = members[1]
        without = {**self.able.environment, "SENTILOC_CACHE_DIR": str(folder / "empty")}
        self.unable = replace(self.able, environment=without, log=folder / "unable.log", process=None)
        self.client = httpx.Client(base_url=members[0].url, timeout=PATIENCE)

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/jobs/{job_id}").json())

    def submit(self, video: Path) -> str:
        form = {"options": json.dumps({"model": MODEL})}
        with video.open("rb") as file:
            answer = self.client.post("/localize", files={"video": file}, data=form)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def lose_the_worker(self, video: Path) -> str:
        """A job that has been accepted without any worker; then one starts that cannot do it."""
        self.able.stop()
        job_id = self.submit(video)
        self.unable.start()
        return job_id

    def wait_served(self, workers: int) -> None:
        """Wait until so many workers are ready and the model is served."""

        def is_served() -> bool:
            models = {model["name"]: model["is_served"] for model in self.client.get("/models").json()}
            return bool(models[MODEL]) and len(self.client.get("/readyz").json()["workers"]) == workers

        wait_for(is_served)

    def wait_succeeded(self, job_id: str) -> dict[str, Any]:
        """The job, once it has succeeded."""
        wait_for(lambda: self.job(job_id)["state"] == "succeeded", JOB_SECONDS)
        return self.job(job_id)

    def wait_waiting(self, job_id: str, part: str) -> dict[str, Any]:
        """The job, once it says that it waits, with this in its reason."""

        def waiting() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["state"] != "failed", job
            return job if part in ((job["waiting"] or {}).get("detail") or "") else None

        return wait_for(waiting)


@pytest.fixture
def bound() -> float:
    return 86_400.0


@pytest.fixture
def two(tmp_path: Path, bound: float) -> Iterator[Two]:
    (tmp_path / "cache").mkdir()
    write_visual(tmp_path / "cache" / find_weights("i3d-kinetics").cached, dim=1024)
    with (
        private_redis(tmp_path / "redis") as redis,
        fleet(
            tmp_path,
            redis_url=redis.url,
            cache_dir=tmp_path / "cache",
            model_wait_seconds=bound,
            **QUICK,
        ) as members,
    ):
        two = Two(tmp_path, members)
        try:
            yield two
        finally:
            two.client.close()
            two.unable.stop()


def test_the_job_waits_visibly_and_runs_when_a_worker_returns(two: Two, clips: Path) -> None:
    """The worker that lacks the weights keeps running, and never takes a job that it cannot do."""
    job_id = two.lose_the_worker(clips / "short.mp4")
    job = two.wait_waiting(job_id, "weights_missing")
    assert (job["state"], job["waiting"]["code"], job["attempt"]) == ("queued", "model_unavailable", 0)
    two.able.start()
    two.wait_served(workers=2)
    more = [two.submit(clips / "short.mp4") for _ in range(6)]
    for one in (job_id, *more):
        ended = two.wait_succeeded(one)
        assert (ended["waiting"], ended["attempt"]) == (None, 1)


@pytest.mark.parametrize("bound", [4.0])
def test_the_job_fails_after_the_bound(two: Two, clips: Path, bound: float) -> None:
    two.able.stop()
    job_id = two.submit(clips / "short.mp4")
    job = two.wait_waiting(job_id, "no worker is running")
    wait_for(lambda: two.job(job_id)["state"] == "failed")
    ended = two.job(job_id)
    assert ended["error"]["code"] == "model_unavailable"
    assert job["waiting"]["since"] < job["waiting"]["until"] <= ended["finished_at"]
