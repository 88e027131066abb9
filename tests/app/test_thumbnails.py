"""Pictures of segments over HTTP: named by the result, gone with it."""

from __future__ import annotations

import json
import time
from base64 import b64encode

from fastapi.testclient import TestClient

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import result_key, thumbnail_key
from sentiloc.app.storage.local import LocalStorage
from tests.app.asking import assert_problem, upload
from tests.support.jobs import claim

PICTURE = b"\xff\xd8 a picture \xff\xd9"


def test_pictures_come_with_the_result(client: TestClient, store: JobStore, settings: Settings) -> None:
    job_id = upload(client).json()["id"]
    assert_problem(client.get(f"/jobs/{job_id}/thumbnails/0"), 409, "result_not_ready")
    record = claim(store, job_id, "worker", 30.0)
    assert record is not None
    files = {
        result_key(job_id, 1): json.dumps(EXAMPLE_RESULT).encode(),
        thumbnail_key(job_id, 1, 0): PICTURE,
    }
    for key, data in files.items():
        with LocalStorage(settings.data_dir).writer(key) as writer:
            writer.write(data)
            writer.commit()
    assert store.succeed(record.lease, result_key(job_id, 1), thumbnails=1)
    path = f"/jobs/{job_id}/thumbnails/0"
    assert client.get(f"/jobs/{job_id}/result").json()["thumbnails"] == [path]
    report = client.get(f"/jobs/{job_id}/result", params={"format": "html"}).text
    assert f"data:image/jpeg;base64,{b64encode(PICTURE).decode()}" in report
    none = client.get(f"/jobs/{job_id}/result", params={"labels": "negative"}).json()
    assert none["thumbnails"] == none["segments"] == []
    picture = client.get(path)
    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/jpeg")
    assert client.get(path, headers={"If-None-Match": picture.headers["etag"]}).status_code == 304
    assert_problem(client.get(f"/jobs/{job_id}/thumbnails/1"), 404, "thumbnail_not_found")
    assert_problem(client.get(f"/jobs/{job_id}/thumbnails/-1"), 422, "invalid_request")
    assert_problem(client.get("/jobs/unknown/thumbnails/0"), 404, "job_not_found")
    store.redis.hset(
        job_key(store.prefix, job_id), "results_until", repr(time.time() - 1)
    )  # its time has passed
    assert_problem(client.get(path), 410, "result_expired")
    client.delete(f"/jobs/{job_id}")
    assert not [file for file in settings.data_dir.rglob("*") if file.is_file()]


def test_a_report_whose_picture_is_gone_has_the_rest(
    client: TestClient, store: JobStore, settings: Settings
) -> None:
    job_id = upload(client).json()["id"]
    record = claim(store, job_id, "worker", 30.0)
    assert record is not None
    with LocalStorage(settings.data_dir).writer(result_key(job_id, 1)) as writer:
        writer.write(json.dumps(EXAMPLE_RESULT).encode())
        writer.commit()
    assert store.succeed(record.lease, result_key(job_id, 1), thumbnails=1)
    answer = client.get(f"/jobs/{job_id}/result", params={"format": "html"})
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert "Best moments" in answer.text
