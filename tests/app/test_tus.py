"""Resumable uploads with tus 1.0.0: chunks, interruptions, two writers, wrong headers, one job at the end."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from httpx import Response

from sentiloc.app.http.body import FLUSH_BYTES
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings
from sentiloc.app.uploads.jobs import UploadJobs
from sentiloc.app.uploads.problems import UploadGone, UploadUsed
from sentiloc.app.uploads.record import UploadRecord, upload_key
from sentiloc.app.uploads.store import INCOMING, UploadBusyError
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import VIDEO, assert_problem, storage_deletes_nothing
from tests.support.services import PATIENCE, wait_for

Client = httpx.Client | TestClient
VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = {**VERSION, "Content-Type": "application/offset+octet-stream"}
HALF = len(VIDEO) // 2
LARGE = VIDEO * (3 * FLUSH_BYTES // len(VIDEO))


def metadata(**pairs: str) -> str:
    return ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in pairs.items())


def create(client: Client, length: int = len(VIDEO), /, **headers: str) -> Response:
    named = {"Upload-Metadata": metadata(filename="clip.mp4"), **headers}
    response: Response = client.post("/uploads", headers={**VERSION, "Upload-Length": str(length), **named})
    return response


def begin(client: Client, **headers: str) -> str:
    response = create(client, **headers)
    assert response.status_code == 201, response.text
    return str(response.headers["location"])


def send(client: Client, path: str, offset: int, data: Any, **headers: str) -> Response:
    response: Response = client.patch(
        path, content=data, headers={**PIECE, "Upload-Offset": str(offset), **headers}
    )
    return response


def offset(client: Client, path: str) -> int:
    response = client.head(path, headers=VERSION)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    return int(response.headers["upload-offset"])


def localize(client: Client, path: str, **options: Any) -> Response:
    body = {"upload": path.rpartition("/")[2], **({"options": options} if options else {})}
    response: Response = client.post("/localize", json=body)
    return response


def services(client: TestClient) -> Services:
    found = client.app.state.services  # type: ignore[attr-defined]
    assert isinstance(found, Services)
    return found


def test_the_server_lists_its_abilities(client: TestClient, settings: Settings) -> None:
    headers = client.options("/uploads").headers
    assert headers["tus-version"] == headers["tus-resumable"] == "1.0.0"
    assert headers["tus-max-size"] == str(settings.max_upload_bytes)
    assert {"creation", "expiration", "termination", "checksum"} <= {*headers["tus-extension"].split(",")}


def test_pieces_become_one_job(client: TestClient, settings: Settings, store: JobStore) -> None:
    path = begin(client)
    assert_problem(localize(client, path), 409, "upload_unfinished")
    first = send(client, path, 0, VIDEO[:HALF])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(HALF))
    assert "upload-expires" in first.headers
    assert "sentiloc-job" not in send(client, path, HALF, VIDEO[HALF:]).headers
    assert (offset(client, path), store.queued()) == (len(VIDEO), [])
    assert client.get(path).json()["state"] == "complete"

    accepted = localize(client, path, labels=["positive"])
    assert accepted.status_code == 202, accepted.text
    job = accepted.json()
    assert (job["source"]["name"], job["source"]["bytes"]) == ("clip.mp4", len(VIDEO))
    assert job["options"]["labels"] == ["positive"]
    again = localize(client, path, labels=["positive"])
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (job["id"], "true")
    assert_problem(localize(client, path), 409, "upload_used")
    assert store.queued() == [job["id"]]
    assert client.head(path, headers=VERSION).headers["sentiloc-job"] == job["links"]["self"]
    assert client.get(path).json()["job"] == job["links"]["self"]
    assert client.get(f"{job['links']['self']}/video").content == VIDEO
    assert list((settings.data_dir / INCOMING).iterdir()) == []


def test_a_job_can_begin_by_itself(client: TestClient, store: JobStore) -> None:
    wanted = metadata(filename="a.mp4", localize=json.dumps({"threshold": 0.7}))
    path = begin(client, **{"Upload-Metadata": wanted})
    last = send(client, path, 0, VIDEO)
    job = client.get(last.headers["sentiloc-job"]).json()
    assert (job["state"], job["options"]["threshold"]) == ("queued", 0.7)
    assert store.queued() == [job["id"]]
    assert client.head(path, headers=VERSION).headers["upload-metadata"] == wanted
    bad = metadata(localize='{"threshold": 7}')
    assert_problem(create(client, **{"Upload-Metadata": bad}), 422, "invalid_request")


def test_a_job_that_began_by_itself_is_stated_only_when_replicas_hold_it(settings: Settings) -> None:
    alone = settings.model_copy(update={"redis_wait_replicas": 1})
    with TestClient(create_app(alone)) as client:
        path = begin(client, **{"Upload-Metadata": metadata(localize="{}")})
        assert_problem(send(client, path, 0, VIDEO), 503, "redis_unavailable")
        assert client.head(path, headers=VERSION).status_code == 503
        assert_problem(localize(client, path), 503, "redis_unavailable")


def test_creation_may_bring_the_first_piece(client: TestClient, store: JobStore) -> None:
    headers = {**PIECE, "Upload-Length": str(len(VIDEO))}
    response = client.post("/uploads", content=VIDEO[:100], headers=headers)
    assert (response.status_code, response.headers["upload-offset"]) == (201, "100")
    wanted = {**headers, "Upload-Metadata": "localize"}
    whole = client.post("/uploads", content=VIDEO, headers=wanted)
    assert store.queued() == [whole.headers["sentiloc-job"].rpartition("/")[2]]


def test_the_length_may_come_later(client: TestClient) -> None:
    response = client.post("/uploads", headers={**VERSION, "Upload-Defer-Length": "1"})
    path = response.headers["location"]
    assert client.head(path, headers=VERSION).headers["upload-defer-length"] == "1"
    send(client, path, 0, VIDEO[:HALF])
    assert_problem(
        send(client, path, HALF, b"", **{"Upload-Length": str(HALF - 1)}), 400, "invalid_tus_header"
    )
    done = send(client, path, HALF, VIDEO[HALF:], **{"Upload-Length": str(len(VIDEO))})
    assert done.status_code == 204
    assert client.get(path).json()["state"] == "complete"


def test_a_restarted_server_continues(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        path = begin(client)
        send(client, path, 0, VIDEO[:HALF])
    with TestClient(create_app(settings)) as client:
        assert offset(client, path) == HALF
        assert send(client, path, HALF, VIDEO[HALF:]).status_code == 204
        assert localize(client, path).status_code == 202


@pytest.fixture
def live(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as client:
        yield client


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """The application behind real sockets, so that a body arrives while the test continues."""
    app = create_app(settings.model_copy(update={"upload_idle_seconds": 60.0, "max_upload_bytes": 10**7}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = wait_for(lambda: server.started and server.servers[0].sockets[0].getsockname()[1])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        yield client
    server.should_exit = True
    thread.join(PATIENCE)


def video_of(client: Client, path: str) -> bytes:
    return bytes(client.get(f"/jobs/{localize(client, path).json()['id']}/video").content)


def go_on(client: httpx.Client, path: str) -> bool:
    """Send the missing bytes; True once the server has everything."""
    at = offset(client, path)
    return send(client, path, at, LARGE[at:]).status_code == 204


def test_bytes_before_an_interruption_are_kept(live: httpx.Client) -> None:
    path = str(create(live, len(LARGE)).headers["location"])

    def broken() -> Iterator[bytes]:
        yield LARGE[: 2 * FLUSH_BYTES]
        wait_for(lambda: offset(live, path) >= FLUSH_BYTES)
        raise OSError

    with pytest.raises(OSError):
        send(live, path, 0, broken())
    assert FLUSH_BYTES <= offset(live, path) < len(LARGE)
    wait_for(lambda: go_on(live, path))
    assert video_of(live, path) == LARGE


def test_two_writers_do_not_mix(live: httpx.Client) -> None:
    path = str(create(live, len(LARGE)).headers["location"])
    release = threading.Event()
    answers: list[Response] = []

    def slow() -> Iterator[bytes]:
        yield LARGE[: 2 * FLUSH_BYTES]
        release.wait(2 * PATIENCE)
        yield LARGE[2 * FLUSH_BYTES :]

    def send_slowly() -> None:
        with suppress(httpx.HTTPError):
            answers.append(send(live, path, 0, slow()))

    sender = threading.Thread(target=send_slowly)
    sender.start()
    wait_for(lambda: offset(live, path) >= FLUSH_BYTES)
    other = send(live, path, 0, b"x" * len(LARGE))
    assert other.status_code in (409, 423), other.text
    # A request that has sent nothing for a while is replaced.
    wait_for(lambda: go_on(live, path))
    release.set()
    sender.join(PATIENCE)
    assert [answer.status_code for answer in answers] in ([], [423])
    assert video_of(live, path) == LARGE


def test_a_job_waits_until_the_last_byte_is_recorded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begin(client)
    send(client, path, 0, VIDEO[:HALF])
    stored = services(client).uploads
    record = stored.find(path.rpartition("/")[2])
    assert record is not None
    released = threading.Event()
    # The writer has the last byte but still holds the lock, as while its answer is sent.
    with stored.lock(record) as file:
        file.write(VIDEO[HALF:])
        monkeypatch.setattr("sentiloc.app.uploads.jobs._COMPLETION_SECONDS", 0.1)
        refused = localize(client, path)
        assert_problem(refused, 423, "upload_busy")
        assert refused.headers["retry-after"] == "1"
        monkeypatch.setattr("sentiloc.app.uploads.jobs._COMPLETION_SECONDS", PATIENCE)
        answers: list[Response] = []

        def ask() -> None:
            answers.append(localize(client, path))
            released.set()

        asking = threading.Thread(target=ask)
        asking.start()
        assert not released.wait(0.2)
    asking.join()
    assert answers[0].status_code == 202, answers[0].text


def test_an_upload_that_is_written_to_is_busy(client: TestClient) -> None:
    path = begin(client)
    store, record = services(client).uploads, services(client).uploads.find(path.rpartition("/")[2])
    assert record is not None
    with store.lock(record):
        busy = send(client, path, 0, b"x" * len(VIDEO))
        assert_problem(busy, 423, "upload_busy")
        assert busy.headers["retry-after"] == "1"
        assert client.delete(path, headers=VERSION).status_code == 423
    assert send(client, path, 0, VIDEO).status_code == 204
    assert_problem(send(client, path, 0, VIDEO), 409, "offset_mismatch")


def test_a_wrong_checksum_throws_the_piece_away(client: TestClient) -> None:
    def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
        digest = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
        return {"Upload-Checksum": f"{algorithm} {digest}"}

    path = begin(client)
    assert send(client, path, 0, VIDEO[:HALF], **checksum(VIDEO[:HALF])).status_code == 204
    assert_problem(send(client, path, HALF, VIDEO[HALF:], **checksum(b"x")), 460, "checksum_mismatch")
    assert offset(client, path) == HALF
    assert_problem(
        send(client, path, HALF, VIDEO[HALF:], **{"Upload-Checksum": "crc32 AAAA"}), 400, "invalid_tus_header"
    )
    assert send(client, path, HALF, VIDEO[HALF:], **checksum(VIDEO[HALF:], "sha256")).status_code == 204


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, "Input/output error")


def test_a_piece_with_a_checksum_on_a_failing_disk_is_a_503(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"Upload-Checksum": f"sha1 {base64.b64encode(hashlib.sha1(b'x').digest()).decode()}"}
    large = settings.model_copy(update={"max_upload_bytes": len(LARGE)})
    with TestClient(create_app(large), raise_server_exceptions=False) as client:
        path = begin(client, **{"Upload-Length": str(len(LARGE))})
        send(client, path, 0, LARGE[:100])
        with monkeypatch.context() as patched:
            patched.setattr("sentiloc.app.uploads.writer.os.ftruncate", fail)
            answers = [send(client, path, 100, LARGE[100:200], **wrong)]
            # The piece fails while it is written, and then cannot be undone.
            patched.setattr("sentiloc.app.uploads.writer.require_reserve", fail)
            answers.append(send(client, path, 100, LARGE[100:], **wrong))
        for answer in answers:
            assert_problem(answer, 503, "storage_unavailable")
        assert offset(client, path) == 100
        assert send(client, path, 100, LARGE[100:]).status_code == 204


def test_an_upload_whose_disk_fails_has_no_offset(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, path = services(client).uploads, begin(client)
    record = uploads.find(path.rpartition("/")[2])
    assert record is not None
    real, broken = Path.stat, settings.data_dir / INCOMING / record.id

    def stat(place: Path, **options: Any) -> os.stat_result:
        return fail() if place == broken else real(place, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stat)
        assert client.head(path, headers=VERSION).status_code == 503
        assert_problem(send(client, path, 0, VIDEO), 503, "storage_unavailable")
        with pytest.raises(SentilocError) as caught, uploads.lock(record):
            pytest.fail("it was locked")
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert send(client, path, 0, VIDEO).status_code == 204


def test_bytes_that_no_checksum_covered_do_not_survive_a_kill(client: TestClient, settings: Settings) -> None:
    path = begin(client)
    send(client, path, 0, VIDEO[:100])
    upload_id = path.rpartition("/")[2]
    services(client).uploads.set_verified(upload_id, 100)
    with (settings.data_dir / INCOMING / upload_id).open("ab") as file:
        file.write(b"torn")
    assert offset(client, path) == 100
    assert send(client, path, 100, VIDEO[100:]).status_code == 204
    assert client.get(f"/jobs/{localize(client, path).json()['id']}/video").content == VIDEO


def test_too_much_is_refused_and_leaves_the_upload_as_it_was(client: TestClient, settings: Settings) -> None:
    assert_problem(create(client, settings.max_upload_bytes + 1), 413, "upload_too_large")
    assert_problem(create(client, 0), 422, "empty_file")
    path = begin(client)
    send(client, path, 0, VIDEO[:100])
    assert_problem(send(client, path, 100, VIDEO), 413, "upload_too_large")
    assert offset(client, path) == 100
    deferred = client.post("/uploads", headers={**VERSION, "Upload-Defer-Length": "1"}).headers["location"]
    assert_problem(send(client, deferred, 0, bytes(settings.max_upload_bytes + 1)), 413, "upload_too_large")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412, "unsupported_tus_version"),
        ({"Upload-Length": "-1"}, 400, "invalid_tus_header"),
        ({"Upload-Length": "1e3"}, 400, "invalid_tus_header"),
        ({"Upload-Defer-Length": "1"}, 400, "invalid_tus_header"),
        ({"Upload-Concat": "partial"}, 400, "invalid_tus_header"),
        ({"Upload-Concat": "final;/uploads/a /uploads/b"}, 400, "invalid_tus_header"),
        ({"Upload-Metadata": "a b c"}, 400, "invalid_tus_header"),
        ({"Upload-Metadata": "a YQ==,a YQ=="}, 400, "invalid_tus_header"),
        ({"Upload-Metadata": "filename !!"}, 400, "invalid_tus_header"),
    ],
)
def test_wrong_headers_are_refused(
    client: TestClient, headers: dict[str, str], status: int, code: str
) -> None:
    assert_problem(create(client, **headers), status, code)


def test_pieces_need_their_headers(client: TestClient) -> None:
    path = begin(client)
    assert client.head(path).status_code == 412
    assert_problem(client.patch(path, content=b"x", headers=VERSION), 415, "not_a_piece")
    assert_problem(client.patch(path, content=b"x", headers=PIECE), 400, "invalid_tus_header")
    assert_problem(send(client, path, 5, b"x"), 409, "offset_mismatch")
    assert_problem(send(client, "/uploads/unknown0", 0, b"x"), 404, "upload_not_found")
    post = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(path, content=VIDEO, headers=post).status_code == 204
    refused = client.post(path, headers=VERSION)
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST"


def test_an_upload_can_be_ended(client: TestClient, settings: Settings) -> None:
    path, done = begin(client), begin(client)
    send(client, path, 0, VIDEO[:100])
    send(client, done, 0, VIDEO)
    for each in (path, done):
        assert client.delete(each, headers=VERSION).status_code == 204
        assert client.head(each, headers=VERSION).status_code == 410
        assert_problem(localize(client, each), 410, "upload_gone")
    assert [
        file for file in settings.data_dir.rglob("*") if file.is_file() and "redis" not in str(file)
    ] == []
    used = begin(client)
    send(client, used, 0, VIDEO)
    job = localize(client, used).json()["links"]["self"]
    assert_problem(client.delete(used, headers=VERSION), 409, "upload_used")
    client.delete(job)
    client.delete(job)
    assert_problem(localize(client, used), 410, "upload_gone")


def test_time_runs_out(settings: Settings) -> None:
    soon = settings.model_copy(update={"upload_expiry_seconds": 0.5})
    with TestClient(create_app(soon)) as client:
        paths = begin(client), begin(client)
        send(client, paths[0], 0, VIDEO[:100])
        send(client, paths[1], 0, VIDEO)
        wait_for(lambda: client.get(paths[1]).status_code == 410)
        assert_problem(send(client, paths[0], 100, VIDEO[100:]), 410, "upload_gone")
        services(client).upload_jobs.sweep()
        assert services(client).uploads.waiting() == []
        assert [*(settings.data_dir / INCOMING).iterdir(), *(settings.data_dir / "uploads").iterdir()] == []


def test_an_upload_that_is_ended_during_an_outage_of_the_storage_is_deleted_later(
    client: TestClient, settings: Settings, store: JobStore
) -> None:
    path = begin(client)
    send(client, path, 0, VIDEO)
    with storage_deletes_nothing():
        assert_problem(client.delete(path, headers=VERSION), 503, "storage_unavailable")
    assert_problem(client.get(path), 410, "upload_gone")
    # Not at once, so that a file that can never be deleted does not stop the sweep of the others.
    assert services(client).uploads.expired() == []
    (upload_id,) = services(client).uploads.waiting()
    store.redis.zadd(f"{store.prefix}uploads", {upload_id: 0}, xx=True)
    services(client).upload_jobs.sweep()
    assert list((settings.data_dir / "uploads").iterdir()) == []
    assert services(client).uploads.waiting() == []
    assert 0 < int(store.redis.ttl(upload_key(store.prefix, path.rpartition("/")[2]))) <= 86_400


def test_a_used_upload_does_not_expire(client: TestClient, store: JobStore) -> None:
    path = begin(client)
    send(client, path, 0, VIDEO)
    job = localize(client, path).json()
    store.redis.hset(upload_key(store.prefix, job["id"]), "expires_at", "1")
    assert client.get(path).json()["job"] == job["links"]["self"]


def test_an_ended_upload_is_not_listed_again_by_its_last_request(client: TestClient) -> None:
    uploads = services(client).uploads
    record = uploads.find(begin(client).rpartition("/")[2])
    assert record is not None
    assert uploads.end(record)
    with pytest.raises(UploadGone):
        uploads.touch(record)
    assert uploads.waiting() == []


def test_an_upload_that_is_ended_while_it_is_completed_stays_gone(client: TestClient) -> None:
    """Such as a presigned one, which no lock protects: it and its video must not return."""
    uploads, storage = services(client).uploads, services(client).storage
    record = uploads.find(begin(client).rpartition("/")[2])
    assert record is not None
    assert uploads.end(record)
    # The other request moves the video after it was deleted, and only then records that it is complete.
    with storage.writer(record.source_key) as writer:
        writer.write(VIDEO)
        writer.commit()
    with pytest.raises(UploadGone):
        uploads.complete(record)
    assert storage.size(record.source_key) is None
    assert_problem(localize(client, f"/uploads/{record.id}"), 410, "upload_gone")


def test_an_upload_that_gets_its_job_while_it_is_ended_elsewhere_is_used(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A server without the bytes ends the upload when the one that has them has just created its job."""
    path = begin(client)
    elsewhere = settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("other")})
    with TestClient(create_app(elsewhere)) as other:
        uploads = services(other).uploads
        end = uploads.end

        def end_late(record: UploadRecord, *, only_expired: bool = False) -> bool:
            send(client, path, 0, VIDEO)
            assert localize(client, path).status_code == 202
            return end(record, only_expired=only_expired)

        uploads.end = end_late  # type: ignore[method-assign]
        assert_problem(other.delete(path, headers=VERSION), 409, "upload_used")
    assert video_of(client, path) == VIDEO


def test_an_upload_that_has_got_its_job_keeps_it(client: TestClient, store: JobStore) -> None:
    path = begin(client)
    record = services(client).uploads.find(path.rpartition("/")[2])
    assert record is not None
    send(client, path, 0, VIDEO)
    localize(client, path)
    # A request that read the record before.
    services(client).uploads.complete(record)
    assert store.redis.hget(upload_key(store.prefix, record.id), "state") == "used"


def test_a_file_that_is_moved_while_it_is_opened_is_not_written_to(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = services(client).uploads
    record = uploads.find(begin(client).rpartition("/")[2])
    assert record is not None
    real, path = fcntl.flock, settings.data_dir / INCOMING / record.id

    def move_and_lock(file: Any, operation: int) -> None:
        path.rename(path.with_name("moved"))
        real(file, operation)

    monkeypatch.setattr("sentiloc.app.uploads.store.fcntl.flock", move_and_lock)
    with pytest.raises(UploadBusyError), uploads.lock(record):
        pytest.fail("it was locked")


def test_an_upload_whose_bytes_are_gone_is_not_complete(client: TestClient, settings: Settings) -> None:
    uploads = services(client).uploads
    record = uploads.find(begin(client).rpartition("/")[2])
    assert record is not None
    (settings.data_dir / INCOMING / record.id).unlink()
    with pytest.raises(SentilocError, match="no longer stored"):
        uploads.complete(record)


def test_a_crash_before_the_job_is_made_good(client: TestClient, settings: Settings, store: JobStore) -> None:
    left = begin(client, **{"Upload-Metadata": metadata(localize="{}")})
    moved = begin(client)
    folder = settings.data_dir / INCOMING
    (folder / left.rpartition("/")[2]).write_bytes(VIDEO)
    upload_id = moved.rpartition("/")[2]
    (settings.data_dir / "uploads").mkdir(exist_ok=True)
    (folder / upload_id).unlink()
    (settings.data_dir / "uploads" / f"{upload_id}.src").write_bytes(VIDEO)
    services(client).upload_jobs.sweep()
    assert store.queued() == [left.rpartition("/")[2]]
    assert offset(client, moved) == len(VIDEO)
    assert localize(client, moved).status_code == 202


@pytest.mark.parametrize("problem", [SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "away"), UploadUsed()])
def test_a_job_that_cannot_begin_now_hides_no_offset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    path = begin(client, **{"Upload-Metadata": metadata(localize="{}")})

    def refuse(*_: object) -> None:
        raise problem

    with monkeypatch.context() as away:
        away.setattr(UploadJobs, "localize", refuse)
        assert send(client, path, 0, VIDEO).status_code == 204
        assert offset(client, path) == len(VIDEO)
        assert client.get(path).json()["job"] is None
    assert client.get(path).json()["job"]


def test_options_of_a_newer_release_are_left_to_it(
    client: TestClient, settings: Settings, store: JobStore
) -> None:
    newer, own = (begin(client, **{"Upload-Metadata": metadata(localize="{}")}) for _ in range(2))
    upload_id = newer.rpartition("/")[2]
    store.redis.hset(upload_key(store.prefix, upload_id), "options", '{"not_yet_known": 1}')
    for path in (newer, own):
        (settings.data_dir / INCOMING / path.rpartition("/")[2]).write_bytes(VIDEO)
    services(client).upload_jobs.sweep()
    assert store.queued() == [own.rpartition("/")[2]]
    assert client.get(newer).json()["job"] is None


def test_files_without_a_record_go(client: TestClient, settings: Settings) -> None:
    begin(client)
    stray, foreign = (settings.data_dir / INCOMING / name for name in ("s" * 22, "holiday.mp4"))
    for path in (stray, foreign):
        path.write_bytes(b"x")
    (settings.data_dir / INCOMING / ("f" * 22)).mkdir()
    past = time.time() - settings.upload_expiry_seconds - 10
    for path in (settings.data_dir / INCOMING).iterdir():
        os.utime(path, (past, past))
    services(client).upload_jobs.sweep()
    assert len(list(Path(settings.data_dir / INCOMING).iterdir())) == 3
    assert (stray.exists(), foreign.exists()) == (False, True)


def test_there_is_an_end_to_open_uploads(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_open_uploads": 1}))) as client:
        begin(client)
        assert_problem(create(client), 503, "too_many_uploads")


def test_another_origin_may_use_it(settings: Settings) -> None:
    origin = "https://edit.example"
    with TestClient(create_app(settings.model_copy(update={"cors_origins": [origin]}))) as client:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "tus-resumable,upload-offset,content-type",
        }
        preflight = client.options("/uploads/abcdefgh", headers=asked)
        assert preflight.status_code == 200
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        answer = create(client, Origin=origin)
        assert {"Upload-Offset", "Location", "Sentiloc-Job"} <= {
            name.strip() for name in answer.headers["access-control-expose-headers"].split(",")
        }


def test_an_upload_does_not_expire_while_its_bytes_flow(settings: Settings, store: JobStore) -> None:
    """One long PATCH: the expiry is extended while bytes arrive, not only at the end."""
    record = f"{store.prefix}upload:"

    def expiry(path: str) -> float:
        return float(str(store.redis.hget(f"{record}{path.rpartition('/')[2]}", "expires_at")))

    def slowly(path: str) -> Iterator[bytes]:
        before = expiry(path)
        for position in range(len(VIDEO)):
            yield VIDEO[position : position + 1]
            if expiry(path) > before:
                yield VIDEO[position + 1 :]
                return
            time.sleep(0.1)

    with serving(settings.model_copy(update={"upload_expiry_seconds": 6.0})) as client:
        path = begin(client)
        sent = send(client, path, 0, slowly(path))
        assert sent.status_code == 204, sent.text
        assert video_of(client, path) == VIDEO


def test_a_sweep_spares_an_upload_whose_bytes_arrive_meanwhile(
    client: TestClient, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has listed the upload as expired; before its turn comes, a chunk resets the expiry."""
    path, uploads = begin(client), services(client).uploads
    record = uploads.find(path.rpartition("/")[2])
    assert record is not None
    store.redis.zadd(f"{store.prefix}uploads", {record.id: 1})
    assert uploads.expired() == [record.id]
    find = uploads.find

    def find_late(upload_id: str) -> UploadRecord | None:
        monkeypatch.setattr(uploads, "find", find)
        assert send(client, path, 0, VIDEO[:HALF]).status_code == 204
        return find(upload_id)

    monkeypatch.setattr(uploads, "find", find_late)
    services(client).upload_jobs.sweep()
    assert offset(client, path) == HALF


def test_the_length_that_was_sent_counts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests state a length. The one that completes the upload decides, whatever the other has recorded."""
    path, uploads = begin(client), services(client).uploads
    record, complete = uploads.find(path.rpartition("/")[2]), uploads.complete
    assert record is not None

    def complete_late(upload: UploadRecord) -> UploadRecord:
        uploads.set_length(record, HALF)
        return complete(upload)

    monkeypatch.setattr(uploads, "complete", complete_late)
    assert send(client, path, 0, VIDEO).status_code == 204
    assert localize(client, path).json()["source"]["bytes"] == len(VIDEO)


def test_an_upload_that_is_erased_while_its_bytes_flow_is_gone(client: TestClient, store: JobStore) -> None:
    """And its record stays deleted: a new one would have no owner and never expire."""
    path = begin(client)
    record = f"{store.prefix}upload:{path.rpartition('/')[2]}"

    def body() -> Iterator[bytes]:
        yield VIDEO[:HALF]
        store.redis.delete(record)
        yield VIDEO[HALF:]

    assert_problem(send(client, path, 0, body()), 410, "upload_gone")
    assert not store.redis.exists(record)
    assert_problem(client.get(path), 404, "upload_not_found")


def test_another_api_process_never_states_a_false_offset(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = begin(client)
    send(client, path, 0, VIDEO[:HALF])
    elsewhere = settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("other")})
    with TestClient(create_app(elsewhere)) as other:
        assert other.head(path, headers=VERSION).status_code == 409
        assert_problem(other.get(path), 409, "upload_elsewhere")
        assert_problem(send(other, path, HALF, VIDEO[HALF:]), 409, "upload_elsewhere")
        assert_problem(localize(other, path), 409, "upload_elsewhere")
    assert offset(client, path) == HALF
    assert send(client, path, HALF, VIDEO[HALF:]).status_code == 204
    ended = begin(client)
    with TestClient(create_app(elsewhere)) as other:
        assert other.delete(ended, headers=VERSION).status_code == 204
    assert client.head(ended, headers=VERSION).status_code == 410
