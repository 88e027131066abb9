"""Videos through the whole service: real upload, queue, worker, decoding and model."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentiloc.app.schemas.jobs import JobBody
from sentiloc.app.schemas.results import ResultBody
from tests.service.running import RunningService
from tests.support.media import make_clip, repeat_video
from tests.support.shared_files import data_folder


def assert_result(service: RunningService, job_id: str) -> ResultBody:
    job = service.wait_ended(job_id)
    assert job["state"] == "succeeded", job
    response = service.client.get(f"/jobs/{job_id}/result")
    assert response.status_code == 200
    result = ResultBody.model_validate(response.json())
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert all(0 <= s.start <= s.peak <= s.end <= result.video.duration for s in result.segments)
    curve = result.curve
    assert len(curve.negative) == len(curve.positive) == len(curve.saliency)
    assert (len(curve.negative) - 1) * curve.step < result.video.duration
    assert service.finals(job_id) == ["succeeded"]
    return result


def test_a_clip_goes_in_and_segments_come_out(service: RunningService, clips: Path) -> None:
    job_id = service.submit(clips / "short.mp4")
    result = assert_result(service, job_id)
    job = JobBody.model_validate(service.job(job_id))
    assert (job.progress, job.attempt, job.stage) == (1.0, 1, None)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert result.video.duration == pytest.approx(2.0, abs=0.1)
    assert (result.video.width, result.video.height) == (128, 96)
    assert result.model.device
    assert service.client.delete(f"/jobs/{job_id}").status_code == 204
    assert service.client.get(f"/jobs/{job_id}").status_code == 404


def test_a_real_face_is_localized(service: RunningService) -> None:
    job_id = service.submit(data_folder("clips") / "LivePortrait__d10.mp4")
    result = assert_result(service, job_id)
    assert result.video.faces_seen > 0


def test_readiness_names_the_device(service: RunningService) -> None:
    body = service.client.get("/readyz").json()
    assert body["ready"]
    assert body["workers"][0]["device"]
    assert service.client.get("/healthz").json()["status"] == "ok"


def bad_files(folder: Path, clips: Path) -> dict[str, tuple[Path, set[str]]]:
    """Files that are not videos, with their allowed final states."""
    whole = (clips / "short.mp4").read_bytes()
    contents = {
        "text.mp4": b"This is not a video.\n" * 100,
        "playlist.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "header.mp4": whole[:40],
        "cut.mp4": whole[: len(whole) // 2],
        "zeros.mp4": bytes(10_000),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    make_clip(folder / "one_frame.mp4", times=[0.0])
    make_clip(folder / "sound.mp4", seconds=0.04, audio="aac", audio_spans=((0.0, 2.0),))
    names = {name: {"failed"} for name in contents} | {
        "one_frame.mp4": {"succeeded", "failed"},
        "sound.mp4": {"succeeded", "failed"},
    }
    return {name: (folder / name, states) for name, states in names.items()}


def test_a_bad_file_fails_clearly_and_the_next_job_works(
    service: RunningService, clips: Path, tmp_path: Path
) -> None:
    for name, (path, states) in bad_files(tmp_path, clips).items():
        job_id = service.submit(path)
        job = service.wait_ended(job_id)
        assert job["state"] in states, (name, job)
        if job["state"] == "failed":
            problem = service.client.get(f"/jobs/{job_id}/result")
            assert problem.status_code == 409
            assert problem.json()["code"] == job["error"]["code"] != "internal", name
            assert str(tmp_path) not in problem.text
            assert str(service.data) not in problem.text
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert service.post(empty).json()["code"] == "empty_file"
    assert_result(service, service.submit(clips / "short.mp4"))


def test_cancelling_a_running_job_frees_the_worker(
    service: RunningService, clips: Path, tmp_path: Path
) -> None:
    """Otherwise the next one would wait for minutes."""
    repeat_video(clips / "long.mp4", tmp_path / "longest.mp4", seconds=10_000.0)
    running, waiting = service.submit(tmp_path / "longest.mp4"), service.submit(clips / "short.mp4")
    progress = service.wait_running(running)["progress"]
    assert service.job(waiting)["queue_position"] == 1
    response = service.client.delete(f"/jobs/{running}")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    assert service.wait_ended(waiting)["state"] == "succeeded"
    ended, started = service.record(running).finished_at, service.record(waiting).started_at
    assert ended is not None and started is not None
    # A tenth of its work would take longer.
    assert progress < 0.5
    assert started - ended < 30
    assert service.job(running)["state"] == "cancelled"
    assert service.finals(running) == ["cancelled"]
    assert service.client.delete(f"/jobs/{running}").status_code == 204


def test_a_cancelled_queued_job_never_starts(service: RunningService, clips: Path) -> None:
    running, waiting = service.submit(clips / "long.mp4"), service.submit(clips / "short.mp4")
    service.wait_running(running)
    service.client.delete(f"/jobs/{waiting}")
    service.client.delete(f"/jobs/{running}")
    assert_result(service, service.submit(clips / "short.mp4"))
    assert service.record(waiting).attempt == 0
