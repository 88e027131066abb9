"""Highlights, cuts and reels over HTTP, with stored results, real clips and the worker's own runner."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import opentimelineio as oti
import pytest
from fastapi.testclient import TestClient

from sentiloc.app.access.caller import ANYONE, Caller, Scope, set_caller
from sentiloc.app.http.file_names import sent_disposition
from sentiloc.app.jobs.found import LabelFound, write_found
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord, JobState, NewJob, cost_of, new_job_id
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import result_key, source_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.client import Client
from sentiloc.model.segments import VideoInfo
from sentiloc.worker.config import runtime_config
from sentiloc.worker.jobs.runner import JobRunner
from sentiloc.worker.pipelines.registry import Pipelines
from tests.app.asking import assert_problem
from tests.model.test_highlights import footage, segment
from tests.support.jobs import claim
from tests.support.media import make_clip, read_time

SIZE = (128, 96)
SECONDS = 8.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    make_clip(path, seconds=SECONDS, size=SIZE, audio="aac", beeps=((1.0, 1.2),))
    return path.read_bytes()


class Planted:
    """Ended jobs with prepared results."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self.store, self.storage = store, LocalStorage(settings.data_dir)

    def job(
        self, name: str, *segments: Any, data: bytes = b"video", key_id: str | None = None, seed: int = 1
    ) -> str:
        job_id = new_job_id()
        self._write(source_key(job_id), data)
        made = footage(job_id, segments, duration=SECONDS, seed=seed).result
        info = VideoInfo(
            duration=SECONDS, fps=25, width=SIZE[0], height=SIZE[1], has_audio=True, timebase="25/1"
        )
        self._write(result_key(job_id, 1), json.dumps(replace(made, video=info).to_dict()).encode())
        new = NewJob(
            id=job_id,
            source_key=source_key(job_id),
            source_name=name,
            source_bytes=len(data),
            model="m",
            key_id=key_id,
        )
        self.store.submit(new)
        record = claim(self.store, job_id, "worker", 30.0)
        assert record is not None
        assert self.store.succeed(record.lease, result_key(job_id, 1), {one.label for one in segments})
        return job_id

    def _write(self, key: str, data: bytes) -> None:
        with self.storage.writer(key) as writer:
            writer.write(data)
            writer.commit()


@pytest.fixture
def planted(store: JobStore, settings: Settings) -> Planted:
    return Planted(store, settings)


@pytest.fixture
def run(store: JobStore, settings: Settings) -> Callable[[str], JobRecord]:
    def run(job_id: str) -> JobRecord:
        pipelines = Pipelines(runtime_config(settings), settings.model)
        JobRunner(settings, store, LocalStorage(settings.data_dir), pipelines).run(job_id)
        record = store.get(job_id)
        assert record is not None
        return record

    return run


class TestHighlights:
    def test_the_best_of_named_jobs(self, client: TestClient, planted: Planted) -> None:
        first = planted.job("a.mp4", segment(1, 2.5, confidence=0.9))
        second = planted.job("b.mp4", segment(4, 6, "negative", 0.7), seed=2)
        planted.job("other.mp4", segment(1, 2, confidence=0.99), seed=3)
        body = client.get("/v1/highlights", params={"job": [first, second]}).json()
        assert [(one["job"], one["kind"], one["rank"]) for one in body["highlights"]] == [
            (first, "positive", 1),
            (second, "negative", 2),
        ]
        assert body["videos"] == 2
        cuts = [one["cut"] for one in body["highlights"]]
        assert all(cut["start"] <= one["start"] for cut, one in zip(cuts, body["highlights"], strict=True))
        assert body["seconds"] == pytest.approx(sum(cut["end"] - cut["start"] for cut in cuts), abs=1e-3)

    def test_without_jobs_those_of_the_last_week_are_taken(
        self, client: TestClient, planted: Planted
    ) -> None:
        planted.job("a.mp4", segment(1, 2))
        planted.job("b.mp4", segment(4, 6), seed=2)
        assert client.get("/v1/highlights").json()["videos"] == 2
        late = client.get("/v1/highlights", params={"created_after": "2100-01-01T00:00:00Z"}).json()
        assert (late["videos"], late["highlights"], late["seconds"]) == (0, [], 0)

    def test_corrections_count(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("a.mp4", segment(1, 2, confidence=0.6))
        drawn = {"segments": [{"start": 5, "end": 6, "label": "negative"}]}
        assert client.post(f"/v1/jobs/{job}/feedback", json=drawn).status_code == 201
        (found,) = client.get("/v1/highlights", params={"job": job}).json()["highlights"]
        assert (found["kind"], found["by_hand"]) == ("negative", True)
        (own,) = client.get("/v1/highlights", params={"job": job, "corrected": False}).json()["highlights"]
        assert own["kind"] == "positive"

    def test_filters(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("a.mp4", segment(1, 2, confidence=0.6), segment(5, 6, "negative", 0.9))
        for params, kinds in (
            ({"kind": "turning_point"}, ["turning_point"]),
            ({"min_confidence": 1}, []),
            ({"count": 1}, ["negative"]),
        ):
            found = client.get("/v1/highlights", params={"job": job, **params}).json()["highlights"]
            assert [one["kind"] for one in found] == kinds

    def test_as_a_cut(self, client: TestClient, planted: Planted) -> None:
        jobs = [planted.job(f"{n}.mp4", segment(2, 4), seed=n) for n in (1, 2)]
        answer = client.get("/v1/highlights", params={"job": jobs, "format": "fcp7", "title": "Best of"})
        assert answer.headers["content-disposition"] == sent_disposition("attachment", "Best of.xml")
        read = oti.adapters.read_from_string(answer.text, "fcp_xml")
        assert len(read.video_tracks()[0]) == 2

    def test_another_key_s_job_does_not_exist(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("a.mp4", segment(1, 2), key_id="somebody")
        set_caller(Caller(key_id="other", scopes=frozenset({Scope.READ})))
        try:
            assert_problem(client.get("/v1/highlights", params={"job": job}), 404, "job_not_found")
        finally:
            set_caller(ANYONE)

    def test_of_too_many_videos_those_with_the_surest_segments_are_searched(
        self, planted: Planted, settings: Settings
    ) -> None:
        sureness = {"positive": (0.5, 0.9, 0.7, 0.8), "negative": (0.9, 0.1, 0.8, 0.3)}
        jobs = [planted.job(f"{number}.mp4", segment(1, 2), seed=number) for number in range(4)]
        for job, *both in zip(jobs, *sureness.values(), strict=True):
            found = {
                label: LabelFound(segments=1, seconds=1.0, confidence=value)
                for label, value in zip(sureness, both, strict=True)
            }
            planted.store.redis.hset(job_key(planted.store.prefix, job), "found", write_found(found))
        few = settings.model_copy(update={"max_highlight_videos": 2})
        searched = {(): {1, 0}, ("positive",): {1, 3}, ("turning_point",): {2, 0}}
        with TestClient(create_app(few)) as client:
            for kinds, numbers in searched.items():
                query = {"kind": kinds, "created_after": "2026-01-01T00:00:00Z"}
                found = client.get("/v1/highlights", params=query).json()
                assert (found["videos"], found["not_searched"]) == (2, 2)
                assert {one["job"] for one in found["highlights"]} <= {jobs[number] for number in numbers}
            assert {one["job"] for one in client.get("/v1/highlights").json()["highlights"]} == {
                jobs[0],
                jobs[1],
            }
            marks = {"segments": [{"start": 1, "end": 2, "label": "positive"}]}
            assert client.post(f"/v1/jobs/{jobs[3]}/feedback", json=marks).status_code == 201
            by_hand = client.get("/v1/highlights", params={"kind": "negative", "count": 1}).json()
            assert by_hand["videos"] == 2
            best = {one["job"] for one in client.get("/v1/highlights").json()["highlights"]}
            assert jobs[3] in best
            notes = client.get("/v1/highlights", params={"format": "edl"}).headers["sentiloc-notes"]
            assert "2 videos with weaker moments were not searched" in notes
        but_one = settings.model_copy(update={"max_highlight_videos": 3})
        with TestClient(create_app(but_one)) as client:
            notes = client.get("/v1/highlights", params={"format": "edl"}).headers["sentiloc-notes"]
            assert notes == "1; 1 video with weaker moments was not searched"

    def test_named_jobs_of_too_many_hours_are_refused(self, planted: Planted, settings: Settings) -> None:
        jobs = [planted.job("a.mp4", segment(1, 2), seed=number) for number in range(2)]
        for job in jobs:
            planted.store.redis.hset(job_key(planted.store.prefix, job), "duration", "3600")
        few = settings.model_copy(update={"max_highlight_hours": 1.5})
        with TestClient(create_app(few)) as client:
            answer = client.get("/v1/highlights", params={"job": jobs})
            assert_problem(answer, 422, "invalid_request")
            assert "covers 2 hours of video, more than 1.5" in answer.json()["detail"]
            assert client.get("/v1/highlights", params={"job": jobs[0]}).status_code == 200
            found = client.get("/v1/highlights").json()
            assert (found["videos"], found["not_searched"]) == (1, 1)
        none = settings.model_copy(update={"max_highlight_hours": 0.5})
        with TestClient(create_app(none)) as client:
            assert_problem(client.get("/v1/highlights"), 422, "invalid_request")

    def test_an_empty_cut_is_an_error(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("a.mp4")
        assert client.get("/v1/highlights", params={"job": job}).json()["highlights"] == []
        answer = client.get("/v1/highlights", params={"job": job, "format": "mlt"})
        assert_problem(answer, 422, "invalid_request")


class TestCuts:
    def test_clips_become_a_sequence(self, client: TestClient, planted: Planted) -> None:
        first, second = planted.job("clip.mp4", segment(1, 2)), planted.job("clip.mp4", segment(1, 2))
        clips = [
            {"job": first, "start": 1.0, "end": 2.0, "label": "positive", "confidence": 0.9},
            {"job": second, "start": 3.0, "end": 3.48},
        ]
        answer = client.post("/v1/cuts", json={"format": "otio", "clips": clips})
        read = oti.adapters.read_from_string(answer.text, "otio_json")
        spans = [
            (clip.source_range.start_time.value, clip.source_range.duration.value)
            for clip in read.video_tracks()[0]
        ]
        assert spans == [(25, 25), (75, 12)]
        assert answer.headers["sentiloc-notes"].startswith("1; Two videos are named clip.mp4")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"format": "aaf"}, "format"),
            ({"clips": []}, "clips"),
            ({"title": "a\nb"}, "title"),
            ({"fps": 17}, "fps"),
            ({"folder": "a\nb"}, "folder"),
        ],
    )
    def test_bad_requests_name_the_fault(
        self, client: TestClient, planted: Planted, change: dict[str, Any], field: str
    ) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        body = {"format": "edl", "clips": [{"job": job, "start": 1, "end": 2}], **change}
        answer = client.post("/v1/cuts", json=body)
        assert_problem(answer, 422, "invalid_request")
        assert field in answer.json()["detail"]

    def test_a_clip_that_its_video_does_not_have(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        body = {"format": "edl", "clips": [{"job": job, "start": 100, "end": 101}]}
        assert_problem(client.post("/v1/cuts", json=body), 422, "invalid_request")

    def test_formats_are_listed(self, client: TestClient) -> None:
        names = [one["name"] for one in client.get("/v1/cuts/formats").json()]
        assert names == ["edl", "fcp7", "fcpxml", "otio", "mlt", "llc"]


class TestReels:
    @pytest.fixture
    def made(self, client: TestClient, planted: Planted, video: bytes) -> Iterator[dict[str, Any]]:
        job = planted.job("clip.mp4", segment(1, 2), data=video)
        clips = [{"job": job, "start": start, "end": start + 1.0} for start in (4.0, 1.0)]
        answer = client.post("/v1/reels", json={"title": "Best of", "clips": clips, "crossfade": 0.2})
        assert answer.status_code == 202, answer.text
        body = answer.json()
        assert answer.headers["location"] == f"/v1/reels/{body['id']}"
        yield body

    def test_a_reel_is_rendered(
        self, client: TestClient, made: dict[str, Any], run: Callable[[str], JobRecord]
    ) -> None:
        assert (made["state"], made["frames"], made["seconds"], made["video"]) == ("queued", 45, 1.8, None)
        assert run(made["id"]).state is JobState.SUCCEEDED
        done = client.get(f"/v1/reels/{made['id']}").json()
        assert (done["state"], done["progress"]) == ("succeeded", 1.0)
        answer = client.get(done["video"])
        assert answer.headers["content-type"] == "video/mp4"
        with av.open(io.BytesIO(answer.content), "r") as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        shown = [read_time(np.asarray(picture, np.uint8)) for picture in pictures]
        assert len(shown) == 45
        assert [round(seconds * 25) for seconds in (*shown[:20], *shown[25:])] == [
            *range(100, 120),
            *range(30, 50),
        ]
        part = client.get(done["video"], headers={"Range": "bytes=0-99"})
        assert (part.status_code, len(part.content)) == (206, 100)

    def test_it_is_a_job_and_yet_no_video_of_the_list(self, client: TestClient, made: dict[str, Any]) -> None:
        job = client.get(f"/v1/jobs/{made['id']}").json()
        assert (job["kind"], job["source"]["name"]) == ("reel", "Best of.mp4")
        assert job["links"]["result"] == f"/v1/reels/{made['id']}/video"
        assert made["id"] not in {one["id"] for one in client.get("/v1/jobs").json()["jobs"]}
        assert [one["id"] for one in client.get("/v1/reels").json()["reels"]] == [made["id"]]
        assert_problem(client.get(f"/v1/jobs/{made['id']}/result"), 409, "wrong_task")
        assert_problem(client.get(f"/v1/reels/{made['id']}/video"), 409, "result_not_ready")

    def test_its_turn_has_its_length(self, made: dict[str, Any], store: JobStore) -> None:
        cost = float(str(store.redis.hget(f"{store.prefix}job:{made['id']}", "cost")))
        assert cost == pytest.approx(cost_of(made["seconds"]), abs=0.001)

    def test_it_can_be_cancelled_and_deleted(
        self, client: TestClient, made: dict[str, Any], settings: Settings, run: Callable[[str], JobRecord]
    ) -> None:
        assert client.post(f"/v1/jobs/{made['id']}/cancel").json()["state"] == "cancelled"
        assert run(made["id"]).state is JobState.CANCELLED
        assert client.delete(f"/v1/jobs/{made['id']}").status_code == 204
        assert_problem(client.get(f"/v1/reels/{made['id']}"), 404, "job_not_found")

    def test_deleting_it_deletes_its_video(
        self, client: TestClient, made: dict[str, Any], settings: Settings, run: Callable[[str], JobRecord]
    ) -> None:
        run(made["id"])
        (file,) = (settings.data_dir / "results").glob("*.mp4")
        assert client.delete(f"/v1/jobs/{made['id']}").status_code == 204
        assert not file.exists()
        assert not list((settings.data_dir / "reels").iterdir())

    def test_the_same_request_twice_is_one_reel(
        self, client: TestClient, planted: Planted, settings: Settings
    ) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        body = {"clips": [{"job": job, "start": 1, "end": 2}]}
        first, second = (
            client.post("/v1/reels", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2)
        )
        assert first["id"] == second["id"]
        (settings.data_dir / source_key(job)).unlink()
        third = client.post("/v1/reels", json=body, headers={"Idempotency-Key": "k"})
        assert third.json()["id"] == first["id"], "its video may be gone by now"
        other = client.post("/v1/reels", json={**body, "title": "x"}, headers={"Idempotency-Key": "k"})
        assert_problem(other, 422, "idempotency_conflict")

    def test_a_deleted_video_is_refused_at_once(
        self, client: TestClient, planted: Planted, settings: Settings
    ) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        (settings.data_dir / source_key(job)).unlink()
        answer = client.post("/v1/reels", json={"clips": [{"job": job, "start": 1, "end": 2}]})
        assert_problem(answer, 410, "source_missing")

    def test_a_video_that_vanishes_later_fails_the_reel(
        self, client: TestClient, made: dict[str, Any], settings: Settings, run: Callable[[str], JobRecord]
    ) -> None:
        for file in (settings.data_dir / "uploads").glob("*.src"):
            file.unlink()
        record = run(made["id"])
        assert record.state is JobState.FAILED
        assert record.error is not None
        assert record.error.code == "source_missing"

    @pytest.mark.parametrize("limit", [{"max_reel_clips": 1}, {"max_reel_seconds": 1.0}])
    def test_limits(self, planted: Planted, settings: Settings, limit: dict[str, Any]) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        clips = [{"job": job, "start": start, "end": start + 1.0} for start in (4.0, 1.0)]
        with TestClient(create_app(settings.model_copy(update=limit))) as client:
            assert_problem(client.post("/v1/reels", json={"clips": clips}), 422, "invalid_request")

    @pytest.mark.parametrize("value", ['"' + "x" * 4096 + '"', "NaN"])
    def test_metadata_that_no_job_may_have(self, client: TestClient, planted: Planted, value: str) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        body = f'{{"clips": [{{"job": "{job}", "start": 1, "end": 2}}], "metadata": {{"a": {value}}}}}'
        answer = client.post("/v1/reels", content=body)
        assert_problem(answer, 422, "invalid_request")
        assert answer.json()["detail"].startswith("metadata: ")

    def test_a_job_that_is_no_reel(self, client: TestClient, planted: Planted) -> None:
        job = planted.job("clip.mp4", segment(1, 2))
        assert_problem(client.get(f"/v1/reels/{job}"), 404, "job_not_found")
        answer = client.post("/v1/reels", json={"clips": [{"job": "nobody", "start": 1, "end": 2}]})
        assert_problem(answer, 404, "job_not_found")


def test_the_python_client_goes_the_whole_way(
    client: TestClient, planted: Planted, video: bytes, run: Callable[[str], JobRecord]
) -> None:
    job = planted.job("clip.mp4", segment(1, 2), segment(5, 6, "negative"), data=video)
    with Client("http://testserver", transport=client._transport) as remote:
        found = remote.highlights([job], count=5, kind=["positive", "negative"])
        clips = [one.clip() for one in found.highlights]
        assert [clip.label for clip in clips] == ["positive", "negative"]
        assert b"<xmeml" in remote.cut(clips, "fcp7", title="Best of")
        made = remote.create_reel(clips, title="Best of", crossfade=0.0)
        assert made.video is None
        run(made.id)
        done = remote.reel(made.id)
        assert (done.state, remote.wait(made.id).kind) == ("succeeded", "reel")
        assert remote.reel_video(made.id)[4:8] == b"ftyp"


def test_orphans_are_distinguished_from_reels(
    client: TestClient, planted: Planted, video: bytes, settings: Settings, run: Callable[[str], JobRecord]
) -> None:
    from sentiloc.app.housekeeping.retention import Retention

    job = planted.job("clip.mp4", segment(1, 2), data=video)
    answer = client.post("/v1/reels", json={"clips": [{"job": job, "start": 1, "end": 2}]})
    record = run(answer.json()["id"])
    assert record.result_key is not None
    stray = Path(settings.data_dir / record.result_key.replace(".1.mp4", ".2.mp4"))
    stray.write_bytes(b"left by a lost attempt")
    Retention(settings, planted.store, planted.storage).delete_orphans(-1.0)
    assert (settings.data_dir / record.result_key).exists()
    assert not stray.exists()


class TestShare:
    def test_a_link_shows_only_its_result(
        self, client: TestClient, planted: Planted, settings: Settings, video: bytes
    ) -> None:
        job = planted.job("clip.mp4", segment(1, 2), data=video)
        link = client.post(f"/v1/jobs/{job}/share", params={"seconds": 3600}).json()
        locked = settings.model_copy(update={"api_keys": "on", "embed_ancestors": ["https://edit.example"]})
        with TestClient(create_app(locked)) as stranger:
            assert stranger.get(f"/v1/jobs/{job}").status_code == 401
            shown = stranger.get(link["path"]).json()
            assert (shown["name"], shown["kind"]) == ("clip.mp4", "localize")
            assert [(one["start"], one["label"]) for one in shown["segments"]] == [(1, "positive")]
            assert stranger.get(shown["video"]).content == video
            page = stranger.get(link["embed"])
            policy = page.headers["content-security-policy"]
            assert policy.endswith("frame-ancestors 'self' https://edit.example")
            assert stranger.post(link["path"]).status_code == 405

    def test_a_link_is_signed_and_can_be_withdrawn(self, client: TestClient, planted: Planted) -> None:
        job, other = planted.job("a.mp4", segment(1, 2)), planted.job("b.mp4", segment(1, 2))
        token = client.post(f"/v1/jobs/{job}/share").json()["token"]
        client.post(f"/v1/jobs/{other}/share")
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        _, until, mac = text.split(".")
        for forged in (f"{other}.{until}.{mac}", f"{job}.{int(until) + 1}.{mac}", f"{job}.{until}.", "x"):
            made = base64.urlsafe_b64encode(forged.encode()).decode().rstrip("=")
            assert_problem(client.get(f"/v1/shared/{made}"), 404, "not_found")
        assert client.get(f"/v1/shared/{token}").status_code == 200
        assert client.delete(f"/v1/jobs/{job}/share").status_code == 204
        assert_problem(client.get(f"/v1/shared/{token}"), 404, "not_found")

    def test_a_job_that_is_deleted_meanwhile_gets_no_link(
        self, client: TestClient, planted: Planted, store: JobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor a new record, which nobody would delete."""
        job = planted.job("a.mp4", segment(1, 2))

        def delete_first(_record: JobRecord) -> None:
            store.delete_many([job])

        monkeypatch.setattr("sentiloc.app.routes.reels.share.require_stored", delete_first)
        assert_problem(client.post(f"/v1/jobs/{job}/share"), 404, "job_not_found")
        assert not store.redis.exists(job_key(store.prefix, job))

    def test_a_link_expires(
        self, client: TestClient, planted: Planted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = planted.job("a.mp4", segment(1, 2))
        token = client.post(f"/v1/jobs/{job}/share", params={"seconds": 60}).json()["token"]
        later = time.time() + 61
        monkeypatch.setattr("sentiloc.app.jobs.sharing.time.time", lambda: later)
        assert_problem(client.get(f"/v1/shared/{token}"), 404, "not_found")
