"""Read curves, send corrections, and export corrections as training data."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import ANYONE, Caller, Scope, set_caller
from sentiloc.app.housekeeping.corrections import OldCorrections
from sentiloc.app.jobs.feedback import (
    MAX_ENTRIES,
    Added,
    CorrectPoint,
    Feedback,
    FeedbackStore,
    KeptFeedback,
    training_files,
)
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.model.fsenet.datasets import Problems, read_annotations
from sentiloc.model.results.cut import GivenSegment, given_segments
from sentiloc.model.results.result import parse_result
from sentiloc.model.segments import Segment
from tests.app.asking import assert_problem, finish, upload
from tests.support.commands import counted

SEGMENTS = [{"start": 1.0, "end": 2.5, "label": "negative"}, {"start": 3.2, "end": 9.6, "label": "positive"}]
POINTS = [{"time": 4.0, "label": "positive"}]


@pytest.fixture
def job(client: TestClient, store: JobStore, settings: Settings) -> str:
    """Path of a job with a result."""
    path = str(upload(client).json()["links"]["self"])
    finish(store, path.removeprefix("/jobs/"), settings, json.dumps(EXAMPLE_RESULT).encode())
    return path


def test_the_curve_is_the_result_s_as_json_and_as_a_table(client: TestClient, job: str) -> None:
    curve = EXAMPLE_RESULT["curve"]
    answer = client.get(f"{job}/curve")
    assert answer.json() == curve
    assert client.get(f"{job}/curve", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    table = client.get(f"{job}/curve", params={"format": "csv"})
    assert table.text == client.get(f"{job}/curve", headers={"Accept": "text/csv"}).text
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [float(row["positive"]) for row in rows] == curve["positive"]
    assert [(float(row["start"]), float(row["end"])) for row in rows] == [
        (0, 0.64),
        (0.64, 1.28),
        (1.28, 1.92),
    ]
    assert [row["face_present"] for row in rows] == ["0", "1", "1"]
    assert_problem(client.get(f"{job}/curve", params={"format": "xml"}), 422, "invalid_request")


def test_without_a_result_there_is_neither_curve_nor_feedback(client: TestClient) -> None:
    path = upload(client).json()["links"]["self"]
    assert_problem(client.get(f"{path}/curve"), 409, "result_not_ready")
    assert_problem(client.post(f"{path}/feedback", json={"points": POINTS}), 409, "result_not_ready")
    assert_problem(client.post("/jobs/unknown/feedback", json={"points": POINTS}), 404, "job_not_found")


def test_feedback_is_kept_and_listed(client: TestClient, job: str) -> None:
    first = client.post(f"{job}/feedback", json={"segments": SEGMENTS, "note": "é"})
    assert first.status_code == 201
    client.post(f"{job}/feedback", json={"points": POINTS})
    listed = client.get(f"{job}/feedback").json()["feedback"]
    assert listed[0] == first.json()
    assert [row["feedback"]["points"] for row in listed] == [None, POINTS]


def test_a_result_is_fetched_with_the_latest_corrections(client: TestClient, job: str) -> None:
    path = f"{job}/result"
    model_says = client.get(path).json()
    assert client.get(path, params={"corrected": True}).json() == model_says
    client.post(f"{job}/feedback", json={"segments": SEGMENTS})
    client.post(f"{job}/feedback", json={"points": POINTS})
    corrected = client.get(path, params={"corrected": True}).json()
    spans = [{name: row[name] for name in ("start", "end", "label")} for row in corrected["segments"]]
    assert spans == SEGMENTS
    assert corrected["curve"] == model_says["curve"]
    assert client.get(path).json() == model_says
    edl = client.get(path, params={"corrected": True, "format": "edl"}).text
    assert edl.count("|M:") == len(SEGMENTS)


def test_the_corrections_with_one_label_are_fetched(client: TestClient, job: str) -> None:
    client.post(f"{job}/feedback", json={"segments": SEGMENTS})
    wanted = SEGMENTS[0]["label"]
    assert any(row["label"] != wanted for row in SEGMENTS)
    found = client.get(f"{job}/result", params={"corrected": True, "labels": wanted}).json()
    assert found["options"]["labels"] == [wanted]
    assert [row["start"] for row in found["segments"]] == [
        row["start"] for row in SEGMENTS if row["label"] == wanted
    ]


def test_only_changed_segments_are_a_person_s(client: TestClient, job: str) -> None:
    own = EXAMPLE_RESULT["segments"][0]
    untouched = {name: own[name] for name in ("start", "end", "label")}
    client.post(f"{job}/feedback", json={"segments": [SEGMENTS[0], untouched]})
    path = f"{job}/result"
    found = client.get(path, params={"corrected": True}).json()["segments"]
    assert [(row["source"], row["confidence"]) for row in found] == [
        ("person", 1.0),
        ("model", own["confidence"]),
    ]
    for name in ("edl", "fcp7", "fcpxml", "vtt", "srt", "audacity", "eaf", "premiere"):
        text = client.get(path, params={"corrected": True, "format": name}).text
        assert "by hand" in text, name
        assert "100%" not in text, name
    rows = list(
        csv.DictReader(io.StringIO(client.get(path, params={"corrected": True, "format": "csv"}).text))
    )
    assert [(row["source"], row["confidence"]) for row in rows] == [("person", ""), ("model", "0.8300")]


def test_the_second_of_two_editors_gets_a_conflict(client: TestClient, job: str) -> None:
    tag = client.get(f"{job}/feedback").headers["etag"]
    mine = client.post(f"{job}/feedback", json={"points": POINTS}, headers={"If-Match": tag})
    assert mine.status_code == 201
    late = client.post(f"{job}/feedback", json={"segments": SEGMENTS}, headers={"If-Match": tag})
    assert_problem(late, 412, "feedback_outdated")
    assert_problem(client.delete(f"{job}/feedback", headers={"If-Match": tag}), 412, "feedback_outdated")
    again = client.get(f"{job}/feedback").headers["etag"]
    assert again == mine.headers["etag"]
    kept = client.post(f"{job}/feedback", json={"segments": SEGMENTS}, headers={"If-Match": again})
    assert kept.status_code == 201


@pytest.mark.parametrize("tag", ['"nan"', "W/NaN", '"inf"', '"x"'])
def test_a_tag_that_the_service_never_made_replaces_nothing(client: TestClient, job: str, tag: str) -> None:
    client.post(f"{job}/feedback", json={"points": POINTS})
    late = client.post(f"{job}/feedback", json={"segments": SEGMENTS}, headers={"If-Match": tag})
    assert_problem(late, 412, "feedback_outdated")
    assert_problem(client.delete(f"{job}/feedback", headers={"If-Match": tag}), 412, "feedback_outdated")


@pytest.mark.parametrize("fps", [24.0, 25.0, 30000 / 1001, 60.0])
def test_points_on_frames_are_exported_as_these_frames(fps: float) -> None:
    frames = range(2000)
    # The page rounds the times of frames to milliseconds.
    points = [CorrectPoint(time=round(frame / fps, 3), label="positive") for frame in frames]
    kept = KeptFeedback(job_id="a", at=1.0, fps=fps, duration=100.0, feedback=Feedback(points=points))
    rows = csv.DictReader(io.StringIO(training_files([kept])["point_gaussian/point_labels.csv"]))
    assert [int(row["point"]) for row in rows] == list(frames)


def test_withdrawn_feedback_is_gone(client: TestClient, job: str) -> None:
    client.post(f"{job}/feedback", json={"segments": SEGMENTS})
    assert client.delete(f"{job}/feedback").status_code == 204
    assert client.get(f"{job}/feedback").json() == {"feedback": []}
    path = f"{job}/result"
    assert client.get(path, params={"corrected": True}).json() == client.get(path).json()


def corrected(client: TestClient, job: str) -> Any:
    """What the job and its entry in the list state about its correction."""
    (listed,) = client.get("/jobs").json()["jobs"]
    shown = client.get(job).json()["corrected"]
    assert listed["corrected"] == shown
    return shown and shown["labels"]


def listed(client: TestClient, corrected: bool) -> int:
    """How many jobs are listed that a person has corrected, or has not."""
    return len(client.get("/jobs", params={"corrected": corrected}).json()["jobs"])


def test_a_job_states_what_it_was_corrected_to(client: TestClient, job: str) -> None:
    assert corrected(client, job) is None
    before = client.get(job).headers["etag"]
    assert [listed(client, one) for one in (True, False)] == [0, 1]
    client.post(f"{job}/feedback", json={"segments": SEGMENTS})
    assert [listed(client, one) for one in (True, False)] == [1, 0]
    expected = {"negative": {"segments": 1, "seconds": 1.5}, "positive": {"segments": 1, "seconds": 6.4}}
    assert corrected(client, job) == expected
    assert client.get(job).headers["etag"] != before
    # Points leave the segments of the last correction as they are.
    client.post(f"{job}/feedback", json={"points": POINTS})
    assert corrected(client, job) == expected
    client.post(f"{job}/feedback", json={"segments": []})
    assert corrected(client, job) == {}
    client.delete(f"{job}/feedback")
    assert corrected(client, job) is None


def test_corrections_of_an_earlier_version_are_stated(
    client: TestClient, job: str, store: JobStore, redis: Redis
) -> None:
    old = OldCorrections(FeedbackStore(redis, store.prefix))
    key = job_key(store.prefix, job.removeprefix("/jobs/"))
    client.post(f"{job}/feedback", json={"segments": SEGMENTS})
    client.post(f"{job}/feedback", json={"points": POINTS})
    stated = redis.hget(key, "corrected")
    # Earlier versions kept corrections beside the job only.
    redis.hdel(key, "corrected")
    assert [listed(client, one) for one in (True, False)] == [0, 1]
    assert old.step() == 1
    assert redis.hget(key, "corrected") == stated
    assert [listed(client, one) for one in (True, False)] == [1, 0]
    redis.hdel(key, "corrected")
    assert old.step() == 0, "all jobs were looked at"


@pytest.mark.parametrize("meanwhile", ["withdrawn", "deleted", "saved again", "points only"])
def test_no_correction_is_stated_that_does_not_hold(
    client: TestClient, job: str, store: JobStore, redis: Redis, meanwhile: str
) -> None:
    feedback, job_id = FeedbackStore(redis, store.prefix), job.removeprefix("/jobs/")
    key = job_key(store.prefix, job_id)
    client.post(
        f"{job}/feedback", json={"points": POINTS} if meanwhile == "points only" else {"segments": []}
    )
    redis.hdel(key, "corrected")
    ((one, latest),) = feedback.unstated(0, 100)[1].items()
    if meanwhile == "withdrawn":
        # The list is left, as if it had been read before.
        redis.zrem(f"{store.prefix}feedback", job_id)
    elif meanwhile == "deleted":
        redis.delete(key)
    elif meanwhile == "saved again":
        client.post(f"{job}/feedback", json={"points": POINTS})
    assert not feedback.state(one, latest)
    assert not redis.hexists(key, "corrected")


BAD: list[Any] = [
    {},
    {"note": "x"},
    {"segments": [{"start": 2, "end": 1, "label": "positive"}]},
    {"segments": [{"start": -1, "end": 1, "label": "positive"}]},
    {"segments": [{"start": 1, "end": 9.7, "label": "positive"}]},
    {"points": [{"time": 10, "label": "positive"}]},
    {"points": [{"time": 1, "label": "happy"}]},
    {"points": [{"time": 1, "label": "positive", "x": 1}]},
    {"points": POINTS * 2001},
    [],
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_bad_feedback_is_refused(client: TestClient, job: str, body: object) -> None:
    assert_problem(client.post(f"{job}/feedback", json=body), 422, "invalid_request")
    assert client.get(f"{job}/feedback").json() == {"feedback": []}


def test_feedback_is_bounded(client: TestClient, job: str) -> None:
    huge = client.post(f"{job}/feedback", content=b'{"note": "' + b"x" * 300_000 + b'"}')
    assert_problem(huge, 413, "body_too_large")
    for _ in range(MAX_ENTRIES):
        assert client.post(f"{job}/feedback", json={"points": POINTS}).status_code == 201
    assert_problem(client.post(f"{job}/feedback", json={"points": POINTS}), 409, "feedback_full")


def test_training_reads_the_export(client: TestClient, job: str, tmp_path: Path) -> None:
    name = job.removeprefix("/jobs/")
    client.post(f"{job}/feedback", json={"segments": []})
    client.post(f"{job}/feedback", json={"segments": SEGMENTS, "points": POINTS})
    export = client.get("/feedback/export")
    assert export.headers["content-type"] == "application/zip"
    zipfile.ZipFile(io.BytesIO(export.content)).extractall(tmp_path / "data")
    problems = Problems()
    read = read_annotations(tmp_path / "data", None, problems)
    problems.check()
    found = [(label.start, label.end, label.class_index) for label in read.segments[name]]
    assert found == [(1.0, 2.5, 0), (3.2, 9.6, 1)]
    assert read.points[name] == ((int(4.0 * 29.97), 1),)
    assert (read.fps[name], read.durations[name]) == (29.97, 9.6)
    assert (tmp_path / "data" / "split_train.txt").read_text(encoding="utf-8").split() == [name]


def test_a_deleted_job_takes_its_feedback_along(client: TestClient, job: str, store: JobStore) -> None:
    client.post(f"{job}/feedback", json={"points": POINTS})
    client.delete(job)
    left = [str(key).removeprefix(store.prefix) for key in store.redis.scan_iter(f"{store.prefix}*")]
    assert not [key for key in left if "feedback" in key]


def test_feedback_on_a_job_that_is_deleted_meanwhile_is_not_found(
    client: TestClient, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = FeedbackStore.add

    def add_late(store: FeedbackStore, kept: KeptFeedback, seen: float | None = None) -> Added:
        assert client.delete(job).status_code == 204
        return add(store, kept, seen)

    monkeypatch.setattr(FeedbackStore, "add", add_late)
    assert_problem(client.post(f"{job}/feedback", json={"points": POINTS}), 404, "job_not_found")


def test_an_export_does_not_read_the_feedback_of_others(redis: Redis, store: JobStore) -> None:
    feedback = FeedbackStore(redis, store.prefix)
    jobs = [
        store.submit(
            NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=7, model="m", key_id=owner)
        ).id
        for owner in ("mine", *["other"] * 20, "mine")
    ]
    for number, job_id in enumerate(reversed(jobs)):
        given = Feedback(points=[CorrectPoint(time=1.0, label="positive")])
        kept = KeptFeedback(job_id=job_id, at=1000.0 + number, fps=25.0, duration=9.0, feedback=given)
        assert feedback.add(kept) is Added.KEPT
    set_caller(Caller(key_id="mine", scopes=frozenset({Scope.READ})))
    try:
        with counted(redis, "lindex", "hget") as asked:
            found = [kept.job_id for kept in feedback.latest()]
    finally:
        set_caller(ANYONE)
    assert found == [jobs[-1], jobs[0]]
    assert asked == [2]
    assert [kept.job_id for kept in feedback.latest()] == jobs[::-1]


def test_a_corrected_result_reads_the_last_correction_only(
    client: TestClient, job: str, redis: Redis
) -> None:
    for segments in ([], SEGMENTS[:1], SEGMENTS):
        assert client.post(f"{job}/feedback", json={"segments": segments}).status_code == 201
    assert client.post(f"{job}/feedback", json={"points": POINTS}).status_code == 201
    with counted(redis, "lindex") as single, counted(redis, "lrange") as all_at_once:
        found = client.get(f"{job}/result", params={"corrected": True}).json()["segments"]
    assert [one["start"] for one in found] == [one["start"] for one in SEGMENTS]
    # The points came last, so the entry before them counts.
    assert (single, all_at_once) == ([2], [0])


def test_correcting_many_segments_does_not_compare_every_pair() -> None:
    own = [
        Segment(start=float(n), end=n + 0.5, label="positive", confidence=0.7, peak=n + 0.2)
        for n in range(4000)
    ]
    curve = parse_result(EXAMPLE_RESULT).curve
    given = [
        GivenSegment(start=n + 0.001, end=n + 0.5 + n % 2, label="positive", confidence=None)
        for n in range(4000)
    ]
    began = time.process_time()
    found = given_segments(curve, 5000.0, given, own)
    # Trying all pairs takes twenty times as long.
    assert time.process_time() - began < 1.0
    assert [one.source for one in found[:4]] == ["model", "person", "model", "person"]
