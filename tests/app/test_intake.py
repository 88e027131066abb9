"""A job is created once and its video kept even if Redis's answer is lost; unclaimed videos are deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.housekeeping.reaper import Reaper
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from tests.app.asking import VIDEO, assert_problem, upload
from tests.support.lost_answers import LossyProxy
from tests.support.services import PrivateRedis


@pytest.fixture
def proxy(redis_server: PrivateRedis) -> Iterator[LossyProxy]:
    proxy = LossyProxy(redis_server.url.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def through_proxy(settings: Settings, proxy: LossyProxy) -> Iterator[TestClient]:
    behind = settings.model_copy(update={"redis_url": proxy.url})
    with TestClient(create_app(behind), raise_server_exceptions=False) as client:
        yield client


def test_a_lost_answer_is_looked_up(through_proxy: TestClient, proxy: LossyProxy, store: JobStore) -> None:
    first = upload(through_proxy).json()["id"]  # From then on Redis knows the script by its hash.
    proxy.lose_every(b"EVALSHA")
    response = upload(through_proxy)
    assert proxy.lost >= 2
    assert response.status_code == 202, response.text
    assert store.queued() == [first, response.json()["id"]]


def test_a_video_in_doubt_is_kept(
    through_proxy: TestClient, proxy: LossyProxy, store: JobStore, settings: Settings
) -> None:
    upload(through_proxy)
    # The check for workers still gets an answer; the write of the new record does not.
    proxy.lose_every(b"EVALSHA", b"job:")
    assert_problem(upload(through_proxy), 503, "redis_unavailable")
    _, job_id = store.queued()
    record = store.get(job_id)
    assert record is not None
    assert LocalStorage(settings.data_dir).read(record.source_key) == VIDEO


def test_unclaimed_files_are_removed_in_time(client: TestClient, store: JobStore, settings: Settings) -> None:
    claimed = upload(client).json()["id"]
    folder = settings.data_dir / "uploads"
    for name in ("nobodys0.src", "fresh000.src", "otherform"):
        (folder / name).write_bytes(b"x")
    for name in (f"{claimed}.src", "nobodys0.src", "otherform"):
        _age(folder / name)
    storage = LocalStorage(settings.data_dir)
    Reaper(settings, store, storage, Dispatcher(settings, store.redis)).delete_orphans()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        (f"{claimed}.src", "fresh000.src", "otherform")
    )


def test_a_copy_of_an_old_video_is_left_to_its_new_job(
    client: TestClient, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep comes when the copy exists and its job is not yet recorded."""
    first = upload(client).json()["id"]
    _age(settings.data_dir / "uploads" / f"{first}.src")
    reaper = Reaper(settings, store, LocalStorage(settings.data_dir), Dispatcher(settings, store.redis))
    copy = LocalStorage.copy

    def copy_and_sweep(storage: LocalStorage, key: str, target: str) -> bool:
        done = copy(storage, key, target)
        reaper.delete_orphans()
        return done

    monkeypatch.setattr(LocalStorage, "copy", copy_and_sweep)
    again = client.post(f"/jobs/{first}/rerun")
    assert again.status_code == 202, again.text
    assert client.get(f"/jobs/{again.json()['id']}/video").content == VIDEO


def _age(path: Path) -> None:
    past = time.time() - 7200
    os.utime(path, (past, past))
