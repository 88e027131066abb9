"""Provisional results of a running job: sent as events, readable as a result, replaced at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sentiloc.client import Client
from tests.service.running import JOB_SECONDS, RunningService, kill
from tests.support.media import repeat_video
from tests.support.services import wait_for
from tests.support.shared_files import data_folder


def no_provisional_file(service: RunningService, job_id: str) -> bool:
    """Whether the storage holds no provisional result of the job. The worker deletes it just after the job's end."""
    return not list((service.data / "results").glob(f"{job_id}.*.partial.json"))


def partial(service: RunningService, job_id: str) -> dict[str, Any] | None:
    """The provisional result; None if there is none yet."""
    response = service.client.get(f"/v1/jobs/{job_id}/result", params={"partial": "true"})
    if response.status_code == 409:
        assert response.json()["code"] == "result_not_ready"
        return None
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes with segments: one real clip, repeated."""
    clip = data_folder("clips") / "V-Express__vasa-1_11.mp4"
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    repeat_video(clip, path, seconds=180.0)
    return path


def test_segments_are_sent_while_the_job_runs(service: RunningService, talk: Path) -> None:
    job_id = service.submit(talk, threshold=0.0, min_length=0.0)
    first = wait_for(lambda: partial(service, job_id), JOB_SECONDS)
    assert first["provisional"]
    assert 20 <= first["scored_until"] < 180
    assert len(first["curve"]["positive"]) * 0.64 == pytest.approx(first["scored_until"])
    assert all(segment["end"] <= first["scored_until"] for segment in first["segments"])
    seen: list[dict[str, Any]] = []
    until = 0.0
    with Client(service.url) as client:
        for event in client.watch(job_id):
            if event.kind == "segment":
                assert event.provisional
                assert event.keep is not None
                assert event.segments is not None
                assert event.until is not None
                assert event.keep <= len(seen)
                seen[event.keep :] = [{"start": one.start, "end": one.end} for one in event.segments]
                until = event.until
    assert until > 0
    assert seen == sorted(seen, key=lambda one: one["start"])
    last = partial(service, job_id)
    assert last is not None
    assert (last["provisional"], last["scored_until"]) == (False, None)
    assert last == service.client.get(f"/v1/jobs/{job_id}/result").json()
    # The provisional segments are similar to the final ones of the same time. On a busy machine the last update, whose
    # interval grows with the cost of an update, may be from long before the end.
    finals = [segment for segment in last["segments"] if segment["end"] <= until]
    assert finals
    assert len(seen) >= len(finals) // 2
    wait_for(lambda: no_provisional_file(service, job_id), JOB_SECONDS)
    vtt = service.client.get(f"/v1/jobs/{job_id}/result", params={"partial": "true", "format": "vtt"})
    assert vtt.text.startswith("WEBVTT")


def test_a_second_attempt_sends_segments_from_the_start(own_service: RunningService, talk: Path) -> None:
    own_service.start()
    job_id = own_service.submit(talk, threshold=0.0, min_length=0.0)
    wait_for(lambda: (partial(own_service, job_id) or {}).get("segments"), JOB_SECONDS)
    kill(own_service.worker_child())
    own_service.wait_running(job_id, attempt=2)
    assert own_service.wait_ended(job_id)["state"] == "succeeded"
    events = [fields for _, fields in own_service.store().events(job_id) if fields["kind"] == "segment"]
    second = [fields for fields in events if fields["attempt"] == "2"]
    assert (second[0]["keep"], events[0]["attempt"]) == ("0", "1")
    assert json.loads(second[0]["segments"])
    wait_for(lambda: no_provisional_file(own_service, job_id), JOB_SECONDS)
