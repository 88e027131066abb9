"""Helpers for tests of the HTTP contract: upload, finish a job by hand, expect a problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from sentiloc.app.http.problems import MEDIA_TYPE
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.support.jobs import claim

VIDEO = bytes(range(256)) * 20


def upload(client: TestClient, data: bytes = VIDEO, name: str = "clip.mp4") -> Response:
    response: Response = client.post("/localize", files={"video": (name, data, "video/mp4")})
    return response


def assert_problem(response: Response, status: int, code: str) -> None:
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert body["status"] == status
    assert body["type"] == f"urn:sentiloc:problem:{code}"
    assert body["detail"]
    assert body["title"]


def finish(store: JobStore, job_id: str, settings: Settings, data: bytes) -> JobRecord:
    record = claim(store, job_id, "worker", 30.0)
    assert record is not None
    key = f"results/{job_id}.1.json"
    with LocalStorage(settings.data_dir).writer(key) as writer:
        writer.write(data)
        writer.commit()
    assert store.succeed(record.lease, key)
    return record


@contextmanager
def storage_deletes_nothing(of: str = "") -> Iterator[None]:
    """An outage of the storage, as far as deletions notice it; with `of`, only for files whose key contains it."""
    delete = LocalStorage.delete

    def refuse(storage: LocalStorage, key: str) -> None:
        if of in key:
            raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "The object store does not answer.")
        delete(storage, key)

    with pytest.MonkeyPatch.context() as away:
        away.setattr(LocalStorage, "delete", refuse)
        yield
