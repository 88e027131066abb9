"""Row 6: the disk runs full at upload, at decode and at result. Needs root and the right to mount a tmpfs."""

from __future__ import annotations

from pathlib import Path

from sentiloc.app.storage.local import RESERVE_BYTES
from tests.proofs.faults.rig import Row, clip, is_whole, outcome
from tests.service.running import RunningService
from tests.support.full_disk import fill, small_volume
from tests.support.services import wait_for


def prove_disk(work: Path, _: int) -> Row:
    """One service on a volume of 200 MB that is filled and freed three times."""
    short, long = clip(work, "moment.mp4", 0.4), clip(work, "disk.mp4", 30.0)
    service = RunningService(work / "disk", upload_idle_seconds=30)
    with small_volume(service.data, 200):
        try:
            service.start()
            rows = {
                "at_upload": _at_upload(service, short),
                "while_a_job_runs": _while_running(service, long),
                "all_of_it": _all_of_it(service, short),
            }
            after = outcome(service, service.submit(short))
            parts = len(list(service.data.rglob("*.part")))
        finally:
            service.stop()
    passed = all(row["passed"] for row in rows.values()) and after["state"] == "succeeded" and not parts
    return {**rows, "afterwards": after, "unfinished_files": parts, "passed": passed}


def _at_upload(service: RunningService, video: Path) -> Row:
    """Only the reserve is free: uploads are refused and everything else works.

    Uploads work again once there is room.
    """
    waiting = service.submit(video)
    ballast = fill(service.data, RESERVE_BYTES - 1)
    refused = service.post(video)
    done = outcome(service, waiting)
    ballast.unlink()
    return {
        "status": refused.status_code,
        "code": refused.json()["code"],
        "accepted_before": done,
        "passed": refused.status_code == 507 and done["state"] == "succeeded" and is_whole(done),
    }


def _while_running(service: RunningService, video: Path) -> Row:
    """The volume fills up to the last megabyte while a job runs. The job waits for room and then succeeds."""
    job_id = service.submit(video)
    service.wait_running(job_id)
    ballast = fill(service.data, 1 << 20)
    said = ("cannot be stored yet", "storage_full")
    wait_for(lambda: has_ended(service, job_id) or any(text in service.output for text in said), 300)
    ballast.unlink()
    done = outcome(service, job_id)
    return {**done, "passed": done["state"] == "succeeded" and is_whole(done)}


def has_ended(service: RunningService, job_id: str) -> bool:
    answer = service.client.get(f"/jobs/{job_id}")
    return answer.status_code == 200 and answer.json()["state"] in ("succeeded", "failed")


def _all_of_it(service: RunningService, video: Path) -> Row:
    """No byte is free: the job store stops and clients get 503 or 507. It returns once there is room."""
    job_id, redis = service.submit(video), service.process("redis")
    ballast = fill(service.data)
    answers = sorted({service.post(video).status_code for _ in range(20)})
    statuses = sorted({service.client.get(f"/jobs/{job_id}").status_code for _ in range(20)})
    ballast.unlink()
    wait_for(lambda: service.client.get(f"/jobs/{job_id}").status_code == 200, 180)
    done = outcome(service, job_id)
    clear = set(answers) <= {503, 507} and set(statuses) <= {200, 503}
    return {
        "uploads": answers,
        "polls": statuses,
        "redis_restarted": service.process("redis") != redis,
        **done,
        "passed": clear and is_whole(done) and done["state"] == "succeeded",
    }
