"""Recovery from faults: workers, Redis and the API are killed while jobs run, and no job is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest

from sentiloc.app.storage.local import LocalStorage
from tests.service.running import RunningService, kill
from tests.support.services import PATIENCE, wait_for


def assert_finished_once(service: RunningService, job_id: str, attempts: int) -> None:
    assert service.wait_ended(job_id)["state"] == "succeeded"
    assert service.record(job_id).attempt == attempts
    assert service.finals(job_id) == ["succeeded"]
    # A worker that is killed while it writes leaves an unfinished file (.part) to the sweep.
    # The provisional result is deleted just after the job has ended.
    wait_for(lambda: len(list((service.data / "results").glob(f"{job_id}.*.json"))) == 1)
    assert service.client.get(f"/jobs/{job_id}/result").status_code == 200


def test_a_killed_worker_is_replaced_and_the_job_finishes_once(service: RunningService, clips: Path) -> None:
    job_id = service.submit(clips / "long.mp4")
    service.wait_running(job_id)
    kill(service.process("worker"))
    assert_finished_once(service, job_id, attempts=2)


def test_a_killed_child_is_replaced_and_the_job_finishes_once(service: RunningService, clips: Path) -> None:
    job_id = service.submit(clips / "long.mp4")
    service.wait_running(job_id)
    kill(service.worker_child())
    assert_finished_once(service, job_id, attempts=2)


def test_a_job_that_kills_its_worker_every_time_is_poison(service: RunningService, clips: Path) -> None:
    job_id, other = service.submit(clips / "long.mp4"), service.submit(clips / "short.mp4")
    for attempt in (1, 2, 3):
        service.wait_running(job_id, attempt)
        kill(service.worker_child())
    job = service.wait_ended(job_id)
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "poison", 3)
    assert service.finals(job_id) == ["failed"]
    assert service.wait_ended(other)["state"] == "succeeded"


def test_a_worker_told_to_stop_gives_its_job_back(service: RunningService, clips: Path) -> None:
    job_id = service.submit(clips / "long.mp4")
    service.wait_running(job_id)
    worker = service.process("worker")
    os.kill(worker, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{worker}").exists())
    assert_finished_once(service, job_id, attempts=2)
    assert service.record(job_id).crashes == 0


def test_accepted_jobs_survive_a_killed_redis(service: RunningService, clips: Path) -> None:
    running, waiting = service.submit(clips / "long.mp4"), service.submit(clips / "short.mp4")
    service.wait_running(running)
    redis = service.process("redis")
    kill(redis)
    answers: list[httpx.Response] = []

    def is_back() -> bool:
        answers.append(service.client.get(f"/jobs/{running}"))
        return answers[-1].status_code == 200

    wait_for(is_back)
    refused = answers[:-1]
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"redis_unavailable"}
    assert service.wait_ended(running)["state"] == "succeeded"
    assert service.wait_ended(waiting)["state"] == "succeeded"
    assert service.finals(running) == service.finals(waiting) == ["succeeded"]
    assert service.wait_ended(service.submit(clips / "short.mp4"))["state"] == "succeeded"


def test_a_killed_api_comes_back_and_clients_only_wait(service: RunningService, clips: Path) -> None:
    job_id = service.submit(clips / "short.mp4")
    kill(service.process("API"))
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
        assert client.get(f"/jobs/{job_id}").status_code == 200
    assert service.wait_ended(job_id)["state"] == "succeeded"


def test_no_unfinished_file_is_left(service: RunningService) -> None:
    # A worker killed while it writes provisional segments leaves that file to the sweep.
    left = [path for path in service.data.rglob("*.part") if ".partial.json." not in path.name]
    assert left == []
    LocalStorage(service.data).sweep(older_than_seconds=0)
    assert list(service.data.rglob("*.part")) == []


@pytest.mark.parametrize("part", ["child", "parent"])
def test_a_stopped_worker_is_replaced_and_its_job_retried(tmp_path: Path, clips: Path, part: str) -> None:
    service = RunningService(tmp_path, stall_seconds=10, lease_seconds=8)
    service.start()
    try:
        job_id = service.submit(clips / "long.mp4")
        service.wait_running(job_id)
        pid = service.worker_child() if part == "child" else service.process("worker")
        os.kill(pid, signal.SIGSTOP)
        if part == "parent":
            # The child may or may not finish its job; the parent's next job shows the fault.
            job_id = service.submit(clips / "short.mp4")
        job = service.wait_ended(job_id)
        assert (job["state"], service.finals(job_id)) == ("succeeded", ["succeeded"])
        assert pid not in (service.process("worker"), service.worker_child())
        assert "sent no heartbeat" in service.output
        wait_for(lambda: service.client.get("/readyz").status_code == 200)
    finally:
        service.stop()
    service.wait_gone()
