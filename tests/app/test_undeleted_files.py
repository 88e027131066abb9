"""Files that the storage does not delete: those of another user, a read-only disk, and a store that is down."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.housekeeping.erasure import Eraser, Receipt
from sentiloc.app.housekeeping.reaper import Reaper
from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.record import NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.storage.keys import result_key, source_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.app.uploads.store import INCOMING
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import VIDEO, assert_problem, upload
from tests.client.scripted import Handler, ScriptedServer, answer, scripted
from tests.support.full_disk import small_volume
from tests.support.s3_server import give_credentials

PATIENCE = "sentiloc.app.storage.failures._PATIENCE_SECONDS"
MOST_DELETED = "sentiloc.app.routes.jobs.listing._MOST_DELETED"
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


def ended(store: JobStore, count: int, key_id: str | None = None) -> list[str]:
    """Cancelled jobs, the oldest first."""
    ids = [new_job_id() for _ in range(count)]
    for job_id in ids:
        key = source_key(job_id)
        store.submit(
            NewJob(id=job_id, key_id=key_id, source_key=key, source_name="a.mp4", source_bytes=1, model="m")
        )
    store.cancel_many(ids)
    return ids


def hold(settings: Settings, job_ids: list[str]) -> list[Path]:
    """Make the videos of these jobs impossible to delete, for root as well: folders lie in their places."""
    places = [settings.data_dir / source_key(job_id) for job_id in job_ids]
    for place in places:
        place.mkdir(parents=True)
    return places


def left(store: JobStore, job_ids: list[str]) -> list[str]:
    return [job_id for job_id in job_ids if store.get(job_id) is not None]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A volume that the operating system has made read-only, as it does after an error of the disk."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """An object store that refuses everything."""
    give_credentials(monkeypatch)
    monkeypatch.setattr(PATIENCE, 0.5)
    refuse = answer(503, "<Error><Code>ServiceUnavailable</Code></Error>", "application/xml")

    def refuse_slowly(handler: Handler) -> None:
        time.sleep(0.15)
        refuse(handler)

    with scripted(refuse_slowly) as server:
        yield server


def asked_about(server: ScriptedServer, job_ids: list[str]) -> int:
    """The number of requests that name one of the jobs."""
    return sum(any(job_id in request.path for job_id in job_ids) for request in server.requests)


def count_deletions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that the object store is asked to delete from now on."""
    from sentiloc.app.storage.s3 import S3Storage

    keys: list[str] = []
    delete = S3Storage.delete

    def counted(storage: S3Storage, key: str) -> None:
        keys.append(key)
        delete(storage, key)

    monkeypatch.setattr(S3Storage, "delete", counted)
    return keys


@pytest.mark.parametrize("path", ["/jobs?all=true", "/owners/me/data"])
def test_a_deletion_of_many_gives_up_while_the_storage_is_down(
    settings: Settings, store: JobStore, down: ScriptedServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # More jobs would come behind those of the request.
    monkeypatch.setattr(MOST_DELETED, 5)
    where = {"storage_url": "s3://bucket/x", "storage_endpoint": down.url}
    with TestClient(create_app(settings.model_copy(update=where)), raise_server_exceptions=False) as client:
        jobs = ended(store, 12)
        response = client.delete(path)
    assert_problem(response, 503, "storage_unavailable")
    # Each try of a job takes two requests.
    assert 2 <= asked_about(down, jobs) <= 4
    assert left(store, jobs) == jobs
    assert "next_cursor" not in response.json()


@pytest.mark.parametrize("path", ["/jobs?all=true", "/owners/me/data"])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_deletion_of_many_ends_at_once_if_the_store_cannot_be_reached(
    settings: Settings,
    store: JobStore,
    down: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    is_known: bool,
) -> None:
    """Each request fails at once then: the outage is known, or the connection is refused."""
    monkeypatch.setattr(MOST_DELETED, 5)
    monkeypatch.setattr(PATIENCE, 600.0)
    monkeypatch.setattr("sentiloc.app.storage.breaker._REST_SECONDS", 600.0)
    tried = count_deletions(monkeypatch)
    # Nothing listens on the discard port.
    where = {
        "storage_url": "s3://bucket/x",
        "storage_endpoint": down.url if is_known else "http://127.0.0.1:9",
    }
    app = create_app(settings.model_copy(update=where))
    with TestClient(app, raise_server_exceptions=False) as client:
        jobs = ended(store, 12)
        if is_known:
            app.state.services.storage._breaker.failed(float("-inf"))
        response = client.delete(path)
    assert_problem(response, 503, "storage_unavailable")
    assert (len(tried), asked_about(down, jobs), left(store, jobs)) == (1, 0, jobs)
    assert "next_cursor" not in response.json()


def test_many_files_of_another_user_stop_no_deletion(
    client: TestClient, store: JobStore, settings: Settings
) -> None:
    # More than a part of a deletion and more than a page of an erasure, and the newest come first.
    others, stuck = ended(store, 3), ended(store, 210)
    places = hold(settings, stuck)
    response = client.delete("/jobs?all=true")
    assert_problem(response, 503, "storage_unavailable")
    assert (response.json()["deleted"], left(store, others), left(store, stuck)) == (3, [], stuck)
    for place in places:
        place.rmdir()
    assert client.delete("/jobs?all=true").json()["deleted"] == 210


def test_a_deletion_goes_on_behind_the_jobs_that_stay(
    client: TestClient, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MOST_DELETED, 3)
    others, stuck = ended(store, 4), ended(store, 3)
    hold(settings, stuck)
    for _ in range(2):
        response = client.delete("/jobs?all=true")
        assert_problem(response, 503, "storage_unavailable")
        assert response.json()["deleted"] == 0
        assert int(response.headers["retry-after"]) > 0
    cursor = response.json()["next_cursor"]
    counts = []
    while cursor is not None:
        page = client.delete("/jobs", params={"all": True, "cursor": cursor}).json()
        counts.append(page["deleted"])
        cursor = page["next_cursor"]
    assert (sum(counts), left(store, others), left(store, stuck)) == (4, [], stuck)


def test_an_erasure_goes_beyond_a_page_of_jobs_that_stay(
    client: TestClient, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.housekeeping.erasure._PAGE", 2)
    eraser = Services.from_settings(settings).eraser
    stuck, others = ended(store, 3, "owner"), ended(store, 5, "owner")
    stuck += ended(store, 1, "owner")
    others += ended(store, 2, "owner")
    places = hold(settings, stuck)
    receipt = Receipt("owner")
    with pytest.raises(SentilocError) as caught:
        eraser.erase(receipt)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert (left(store, others), left(store, stuck)) == ([], stuck)
    assert (receipt.jobs, receipt.complete) == (7, False)
    for place in places:
        place.rmdir()
    again = Receipt("owner")
    eraser.erase(again)
    assert (again.jobs, again.complete) == (4, True)


def test_jobs_that_come_and_go_during_an_erasure_are_erased(
    store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.housekeeping.erasure._PAGE", 2)
    eraser: Eraser = Services.from_settings(settings).eraser
    stuck, others = ended(store, 4, "owner"), ended(store, 6, "owner")
    hold(settings, stuck)
    tried: list[str] = []
    delete = LocalStorage.delete

    def meanwhile(storage: LocalStorage, key: str) -> None:
        tried.append(key)
        if key == source_key(stuck[3]) and tried.count(key) == 1:
            # Somebody else deletes a job that was passed over, and sends another one.
            store.delete_many([stuck[0]])
            others.extend(ended(store, 1, "owner"))
        delete(storage, key)

    monkeypatch.setattr(LocalStorage, "delete", meanwhile)
    for _ in range(2):
        with pytest.raises(SentilocError):
            eraser.erase(Receipt("owner"))
    assert len(others) == 7
    assert (left(store, others), left(store, stuck)) == ([], stuck[1:])


def test_an_upload_that_stays_stops_no_other_upload(client: TestClient, settings: Settings) -> None:
    whole = {**TUS, **CHUNK, "Upload-Length": str(len(VIDEO))}
    places = [client.post("/uploads", headers=whole, content=VIDEO).headers["location"] for _ in range(3)]
    first, *others = [place.rpartition("/")[2] for place in places]
    (settings.data_dir / source_key(first)).unlink()
    (held,) = hold(settings, [first])
    assert_problem(client.delete("/owners/me/data"), 503, "storage_unavailable")
    assert not any((settings.data_dir / source_key(other)).exists() for other in others)
    held.rmdir()
    receipt = client.delete("/owners/me/data").json()
    assert (receipt["complete"], receipt["uploads"]) == (True, 1)


def test_each_try_of_an_erasure_has_a_line_in_the_audit_log(
    store: JobStore, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    with TestClient(create_app(settings.model_copy(update={"audit_log": log}))) as client:
        stuck, others = ended(store, 1), ended(store, 2)
        (place,) = hold(settings, stuck)
        assert_problem(client.delete("/owners/me/data"), 503, "storage_unavailable")
        place.rmdir()
        assert client.delete("/owners/me/data").json()["complete"]
    assert left(store, stuck + others) == []
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    found = [(line["what"], line["jobs"]) for line in lines if line["what"].endswith("an owner's data")]
    assert found == [("tried to erase an owner's data", 2), ("erased an owner's data", 1)]


def test_a_file_that_cannot_be_deleted_is_a_503_whose_cause_is_logged(
    client: TestClient, store: JobStore, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (stuck,) = ended(store, 1)
    (place,) = hold(settings, [stuck])
    with caplog.at_level(logging.WARNING):
        response = client.delete(f"/jobs/{stuck}")
    assert_problem(response, 503, "storage_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert str(place) not in response.text
    assert any(str(place) in record.getMessage() for record in caplog.records)


def test_a_read_only_disk_is_typed(tmp_path: Path) -> None:
    key, other = "uploads/abcdefgh.src", "uploads/ijklmnop.src"

    def write(storage: LocalStorage) -> None:
        with storage.writer(other) as writer:
            writer.write(b"x")
            writer.commit()

    actions: list[Callable[[LocalStorage], Any]] = [
        write,
        lambda storage: storage.adopt(tmp_path / "small" / "file", other),
        lambda storage: storage.move(key, other),
        lambda storage: storage.copy(key, other),
        lambda storage: storage.delete(key),
        lambda storage: storage.sweep(-3600),
    ]
    with small_volume(tmp_path / "small", 2) as folder:
        storage = LocalStorage(folder, 0)
        for name in (key, f"uploads/abcdefgh.src.{'a' * 8}.part", "file"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x")
        with read_only(folder):
            for action in actions:
                with pytest.raises(SentilocError) as caught:
                    action(storage)
                assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
            assert storage.read(key) == b"x"
        for action in actions:
            action(storage)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_that_refuses_a_deletion_is_typed(
    client: TestClient, store: JobStore, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """Nothing was to be stored, so it is no 507."""
    (job_id,) = ended(store, 1)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(fault, "refused")

    monkeypatch.setattr(Path, "unlink", refuse)
    answers = [client.delete("/jobs?all=true"), client.delete(f"/jobs/{job_id}")]
    monkeypatch.undo()
    for response in answers:
        assert_problem(response, 503, "storage_unavailable")


def test_a_file_that_cannot_be_read_is_typed(tmp_path: Path) -> None:
    (tmp_path / "uploads" / "abcdefgh.src").mkdir(parents=True)
    with pytest.raises(SentilocError) as caught:
        LocalStorage(tmp_path).read("uploads/abcdefgh.src")
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_uploads_to_a_read_only_disk_are_refused_and_go_on_afterwards(
    settings: Settings, tmp_path: Path
) -> None:
    length = {"Upload-Length": str(len(VIDEO))}
    with small_volume(tmp_path / "small", 8) as folder:
        here = settings.model_copy(update={"data_dir": folder, "upload_reserve_bytes": 0})
        with TestClient(create_app(here), raise_server_exceptions=False) as client:
            begun = client.post("/uploads", headers={**TUS, **length}).headers["location"]
            with read_only(folder):
                assert_problem(upload(client), 503, "storage_unavailable")
                for method, path, headers in (
                    ("POST", "/uploads", length),
                    ("PATCH", begun, CHUNK),
                    ("DELETE", begun, {}),
                ):
                    content = VIDEO if method == "PATCH" else None
                    refused = client.request(method, path, headers={**TUS, **headers}, content=content)
                    assert_problem(refused, 503, "storage_unavailable")
            assert upload(client).status_code == 202
            assert list(folder.rglob("*.part")) == []


def due(store: JobStore, what: str, job_ids: list[str]) -> None:
    """Let a part of these jobs expire, in this order."""
    store.redis.zadd(f"{store.prefix}kept:{what}", {job_id: at for at, job_id in enumerate(job_ids, 1)})


def test_files_that_stay_stop_no_retention(store: JobStore, settings: Settings) -> None:
    retention = Retention(settings, store, LocalStorage(settings.data_dir))
    stuck, others, kept = ended(store, 3), ended(store, 2), ended(store, 1)
    places = hold(settings, stuck)
    video = settings.data_dir / source_key(kept[0])
    video.write_bytes(VIDEO)
    due(store, "records", stuck + others)
    due(store, "uploads", stuck + kept)
    for _ in range(2):
        # What stays is not tried again at once.
        with pytest.raises(SentilocError) if video.exists() else nullcontext():
            retention.sweep()
        assert (left(store, others), left(store, stuck), video.exists()) == ([], stuck, False)
    for place in places:
        place.rmdir()
    due(store, "records", stuck)
    retention.sweep()
    assert left(store, stuck) == []


def test_a_sweep_ends_at_once_if_the_store_cannot_be_reached(
    settings: Settings, store: JobStore, down: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = count_deletions(monkeypatch)
    where = {"storage_url": "s3://bucket/x", "storage_endpoint": "http://127.0.0.1:9"}
    away = settings.model_copy(update=where)
    jobs = ended(store, 3)
    due(store, "records", jobs)
    due(store, "uploads", jobs)
    with pytest.raises(SentilocError):
        Retention(away, store, make_storage(away)).sweep()
    assert tried == [source_key(jobs[0])]


def keep(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Make these files impossible to delete, for root as well."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path in paths:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)


def old(folder: Path, *names: str) -> list[Path]:
    """Files that were written long ago, in the order in which the folder lists them."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    return sorted(paths, key=list(paths[0].parent.glob("*")).index)


def test_an_orphan_that_stays_stops_no_other(
    store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(settings.data_dir)
    reaper = Reaper(settings, store, storage, Dispatcher(settings, store.redis))
    reaper.delete_orphans()
    stuck, *videos = old(settings.data_dir, *(source_key(new_job_id()) for _ in range(3)))
    (result,) = old(settings.data_dir, result_key(new_job_id(), 1))
    keep(monkeypatch, stuck)
    with pytest.raises(SentilocError) as caught:
        reaper.delete_orphans()
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert [path for path in (stuck, *videos, result) if path.exists()] == [stuck]


def test_an_upload_that_stays_stops_no_sweep_of_uploads(
    client: TestClient, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    length = {**TUS, "Upload-Length": str(len(VIDEO))}
    begun = [client.post("/uploads", headers=length).headers["location"] for _ in range(2)]
    expired = [settings.data_dir / INCOMING / place.rpartition("/")[2] for place in begun]
    # Its last byte arrived just before the server stopped.
    localized = {**length, "Upload-Metadata": "localize e30="}
    waiting = client.post("/uploads", headers=localized).headers["location"].rpartition("/")[2]
    (settings.data_dir / INCOMING / waiting).write_bytes(VIDEO)
    strays = old(settings.data_dir / INCOMING, "s" * 22, "t" * 22)
    for at, path in enumerate(expired, 1):
        store.redis.zadd(f"{store.prefix}uploads", {path.name: at})
    keep(monkeypatch, expired[0], strays[0])
    with pytest.raises(SentilocError) as caught:
        services.upload_jobs.sweep()
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert [path for path in expired + strays if path.exists()] == [expired[0], strays[0]]
    assert store.queued() == [waiting]


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_an_unfinished_file_that_stays_stops_no_other(
    settings: Settings, down: ScriptedServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    parts = [f"uploads/abcdefgh.src.{letter * 8}.part" for letter in "ab"]
    storage: Storage = LocalStorage(settings.data_dir)
    folders = [old(settings.data_dir, *parts)]
    if kind == "s3":
        where = {"storage_url": "s3://bucket/x", "storage_endpoint": down.url}
        storage, staging = make_storage(settings.model_copy(update=where)), settings.data_dir / "staging"
        copies = [f"copies/{letter * 16}{end}" for letter in "ab" for end in ("", ".copy")]
        keys = [source_key(letter * 8) for letter in "ab"]
        folders = [old(staging, *names) for names in (parts, copies, keys)]
    keep(monkeypatch, *(paths[0] for paths in folders))
    with pytest.raises(SentilocError) as caught:
        storage.sweep(60)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert [path for paths in folders for path in paths if path.exists()] == [paths[0] for paths in folders]
