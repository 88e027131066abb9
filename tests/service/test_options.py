"""Options of a job, applied by a real worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentiloc.app.schemas.results import ResultBody
from tests.service.running import RunningService


def submit(service: RunningService, path: Path, **options: Any) -> str:
    with path.open("rb") as file:
        files = {"video": file}
        response = service.client.post("/localize", data={"options": json.dumps(options)}, files=files)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_a_worker_cuts_as_asked_and_takes_batch_jobs_last(service: RunningService, clips: Path) -> None:
    running = submit(service, clips / "long.mp4")
    service.wait_running(running)
    batch = submit(service, clips / "short.mp4", priority="batch", threshold=0.0, labels=["negative"])
    interactive = submit(service, clips / "short.mp4")
    service.client.delete(f"/jobs/{running}")
    done = [service.wait_ended(job_id) for job_id in (interactive, batch)]
    assert [job["state"] for job in done] == ["succeeded", "succeeded"]
    assert done[0]["started_at"] < done[1]["started_at"]
    result = ResultBody.model_validate(service.client.get(f"/jobs/{batch}/result").json())
    assert (result.options.threshold, result.options.labels) == (0.0, ["negative"])
    assert {segment.label for segment in result.segments} <= {"negative"}
