"""While the object store is down, what it holds is unavailable (503), not gone (410)."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.jobs.record import NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.places import Place
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import result_key, source_key
from sentiloc.app.storage.s3_objects import open_object
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import assert_problem
from tests.support.jobs import claim
from tests.support.listeners import listening
from tests.support.s3_server import give_credentials


def finished_job(store: JobStore) -> str:
    job_id = new_job_id()
    new = NewJob(id=job_id, source_key=source_key(job_id), source_name="a.mp4", source_bytes=1, model="m")
    claimed = claim(store, store.submit(new).id, "one", 30.0)
    assert claimed is not None
    assert store.succeed(claimed.lease, result_key(job_id, 1), ["positive"], thumbnails=1)
    return job_id


@pytest.mark.parametrize("path", ["result", "curve", "video", "thumbnails/0", "result?format=edl"])
def test_a_store_that_is_down_is_a_503_with_a_time_to_try_again(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    give_credentials(monkeypatch)
    # Nothing listens on the discard port.
    down = {"storage_url": "s3://bucket/x", "storage_endpoint": "http://127.0.0.1:9"}
    with TestClient(create_app(settings.model_copy(update=down)), raise_server_exceptions=False) as client:
        answer = client.get(f"/jobs/{finished_job(store)}/{path}", follow_redirects=False)
        assert_problem(answer, 503, "storage_unavailable")
        assert int(answer.headers["retry-after"]) > 0


def test_a_store_that_redirects_is_down(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy does that wants https. The client of the store does not end by itself then."""
    give_credentials(monkeypatch)
    moved = b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with listening(moved) as server:
        down = settings.model_copy(
            update={"storage_url": "s3://bucket/x", "storage_endpoint": f"http://127.0.0.1:{server.port}"}
        )
        with TestClient(create_app(down), raise_server_exceptions=False) as client:
            answer = client.get(f"/jobs/{finished_job(store)}/result")
            assert_problem(answer, 503, "storage_unavailable")
            assert "SENTILOC_STORAGE_ENDPOINT" in answer.json()["detail"]
        with pytest.raises(SentilocError) as raised, open_object(Place("footage", "a.mp4"), down):
            pass
        assert raised.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_deleted_result_is_a_410(client: TestClient, store: JobStore) -> None:
    job_id = finished_job(store)
    assert_problem(client.get(f"/jobs/{job_id}/result"), 410, "source_missing")
    assert_problem(client.get(f"/jobs/{job_id}/thumbnails/0"), 404, "thumbnail_not_found")
