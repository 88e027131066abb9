"""Uploads directly to the object store: a presigned form, then a job for the uploaded video."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.storage.keys import incoming_key, source_key
from sentiloc.cli.verbs import root
from sentiloc.client import Client, JobOptions
from tests.app.asking import VIDEO, assert_problem
from tests.support.s3_server import KINDS, s3_server, s3_settings

VERSION = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module", params=KINDS)
def s3_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with s3_server(request.param) as url:
        yield url


@pytest.fixture
def stored_away(settings: Settings, s3_url: str, tmp_path: Path) -> Iterator[TestClient]:
    place = s3_settings(s3_url, tmp_path)
    changes = {"storage_url": place.storage_url, "storage_endpoint": place.storage_endpoint}
    with TestClient(create_app(settings.model_copy(update=changes)), follow_redirects=False) as client:
        yield client


def test_without_an_object_store_there_is_no_form(client: TestClient) -> None:
    assert_problem(client.post("/uploads/presign", json={}), 409, "not_presigned")
    assert client.get("/limits").json()["presigned_uploads"] is False


def test_a_body_that_cannot_be_read_is_refused(client: TestClient) -> None:
    assert_problem(client.post("/uploads/presign", content=b"\xff"), 422, "invalid_request")
    assert_problem(client.post("/uploads/presign", json={"name": ""}), 422, "invalid_request")
    assert_problem(client.post("/uploads/presign", json={"name": "a" * 5000}), 413, "body_too_large")


def test_a_presigned_upload_becomes_one_job(stored_away: TestClient, store: JobStore) -> None:
    assert stored_away.get("/limits").json()["presigned_uploads"] is True
    form = stored_away.post("/uploads/presign", json={"name": "a.mp4"})
    assert form.status_code == 201, form.text
    upload_id = form.json()["id"]
    assert_problem(stored_away.post("/localize", json={"upload": upload_id}), 409, "upload_unfinished")
    sent = httpx.post(form.json()["url"], data=form.json()["fields"], files={"file": ("a.mp4", VIDEO)})
    assert sent.status_code == 204, sent.text

    job = stored_away.post("/localize", json={"upload": upload_id})
    assert job.status_code == 202, job.text
    assert (job.json()["source"]["name"], job.json()["source"]["bytes"]) == ("a.mp4", len(VIDEO))
    again = stored_away.post("/localize", json={"upload": upload_id})
    assert again.json()["id"] == job.json()["id"]
    assert store.queued() == [job.json()["id"]]
    video = stored_away.get(f"/jobs/{upload_id}/video")
    assert video.status_code == 307
    assert httpx.get(video.headers["location"]).content == VIDEO
    for _ in range(2):
        stored_away.delete(f"/jobs/{upload_id}")
    assert httpx.get(video.headers["location"]).status_code == 404


def test_a_presigned_video_counts_when_its_job_is_made_and_goes_without_room(
    settings: Settings, s3_url: str, tmp_path: Path, store: JobStore
) -> None:
    """Nobody knows its length before."""
    limits = {"api_keys": "on", "max_stored_bytes_per_key": len(VIDEO)}
    place = s3_settings(s3_url, tmp_path)
    places = {"storage_url": place.storage_url, "storage_endpoint": place.storage_endpoint}
    changed = settings.model_copy(update={**places, **limits})
    key = KeyStore(store.redis, settings.redis_prefix).create("a", list(Scope), rate_per_minute=0)
    headers = {"Authorization": f"Bearer {key.text}"}
    with TestClient(create_app(changed), headers=headers) as client:
        forms = [client.post("/uploads/presign", json={}).json() for _ in range(2)]
        for form in forms:
            assert httpx.post(form["url"], data=form["fields"], files={"file": VIDEO}).status_code == 204
        job = client.post("/localize/upload", json={"upload": forms[0]["id"]})
        assert job.status_code == 202, job.text
        refused = client.post("/localize/upload", json={"upload": forms[1]["id"]})
        assert_problem(refused, 429, "storage_quota_exceeded")
        assert client.get("/key").json()["stored_bytes"] == len(VIDEO)
        assert_problem(client.get(f"/uploads/{forms[1]['id']}"), 410, "upload_gone")
        storage = make_storage(changed)
        assert [storage.size(key_of(forms[1]["id"])) for key_of in (source_key, incoming_key)] == [None, None]


def test_a_request_and_the_sweep_settle_one_upload_at_once(
    stored_away: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    services: Services = stored_away.app.state.services  # type: ignore[attr-defined]
    form = stored_away.post("/uploads/presign", json={"name": "a.mp4"}).json()
    assert httpx.post(form["url"], data=form["fields"], files={"file": VIDEO}).status_code == 204
    move = services.storage.move

    def move_late(key: str, target: str) -> bool:
        # The sweep comes between the look for the video and its move.
        monkeypatch.setattr(services.storage, "move", move)
        services.upload_jobs.sweep()
        return move(key, target)

    monkeypatch.setattr(services.storage, "move", move_late)
    job = stored_away.post("/localize", json={"upload": form["id"]})
    assert job.status_code == 202, job.text
    assert job.json()["source"]["bytes"] == len(VIDEO)


def test_an_upload_that_is_ended_while_its_video_is_moved_leaves_none(
    stored_away: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    services: Services = stored_away.app.state.services  # type: ignore[attr-defined]
    form = stored_away.post("/uploads/presign", json={}).json()
    send(form, VIDEO)
    delete, move = services.storage.delete, services.storage.move

    def delete_early(key: str) -> None:
        # The upload is ended, but the bytes that the form wrote are still there when the other request copies them.
        if key.endswith(".src"):
            delete(key)

    def move_late(key: str, target: str) -> bool:
        monkeypatch.setattr(services.storage, "move", move)
        monkeypatch.setattr(services.storage, "delete", delete_early)
        assert stored_away.delete(f"/uploads/{form['id']}", headers=VERSION).status_code == 204
        monkeypatch.setattr(services.storage, "delete", delete)
        return move(key, target)

    monkeypatch.setattr(services.storage, "move", move_late)
    assert_problem(stored_away.post("/localize", json={"upload": form["id"]}), 410, "upload_gone")
    assert list(services.storage.older_than("uploads", -60)) == []


def test_pieces_end_in_the_object_store(stored_away: TestClient, tmp_path: Path) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    created = stored_away.post(
        "/uploads",
        content=VIDEO,
        headers={**headers, "Upload-Length": str(len(VIDEO)), "Upload-Metadata": "localize"},
    )
    path = created.headers["sentiloc-job"]
    assert httpx.get(stored_away.get(f"{path}/video").headers["location"]).content == VIDEO
    form = stored_away.post("/localize", files={"video": ("a.mp4", VIDEO)})
    assert form.status_code == 202
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_the_client_sends_past_the_api(stored_away: TestClient, store: JobStore) -> None:
    with Client("http://testserver", transport=stored_away._transport) as client:
        job = client.submit_presigned(io.BytesIO(VIDEO), JobOptions(threshold=0.5), name="b.mp4")
    assert (job.source.name, job.source.bytes, job.options.threshold) == ("b.mp4", len(VIDEO), 0.5)
    assert job.id in store.queued()


def test_forms_and_links_name_the_address_of_clients(s3_url: str, tmp_path: Path) -> None:
    place = s3_settings(s3_url, tmp_path)
    storage = make_storage(place.model_copy(update={"storage_public_endpoint": "https://media.example:9000"}))
    form = storage.presign("uploads/abcdefgh.src", 1000, 60)
    assert form is not None
    assert form.url.startswith("https://media.example:9000/")
    assert str(storage.link("uploads/abcdefgh.src")).startswith("https://media.example:9000/")
    assert storage.link_origin == "https://media.example:9000"


@pytest.mark.parametrize("path", ["/", "/web/highlights.html"])
def test_the_page_may_fetch_videos_from_the_store_alone(
    stored_away: TestClient, client: TestClient, s3_url: str, path: str
) -> None:
    usual, wider = (one.get(path).headers["Content-Security-Policy"] for one in (client, stored_away))
    assert "media-src 'self' blob:; connect-src 'self';" in usual
    assert f"media-src 'self' {s3_url} blob:; connect-src 'self' {s3_url};" in wider
    assert wider.count(s3_url) == 2


def test_the_bucket_is_made_once(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTILOC_STORAGE_URL", "s3://made-by-the-command/videos")
    monkeypatch.setenv("SENTILOC_STORAGE_ENDPOINT", s3_url)
    # The compose file passes unset variables as empty ones.
    monkeypatch.setenv("SENTILOC_STORAGE_PUBLIC_ENDPOINT", "")
    said = [CliRunner().invoke(root, ["create-bucket"]) for _ in range(2)]
    get_settings.cache_clear()
    assert [one.exit_code for one in said] == [0, 0], said
    assert [one.stdout.rpartition(": ")[2].strip() for one in said] == ["created", "already exists"]


def send(form: dict[str, Any], data: bytes) -> None:
    sent = httpx.post(form["url"], data=form["fields"], files={"file": ("a.mp4", data)})
    assert sent.status_code == 204, sent.text


def test_a_form_cannot_replace_the_video_of_a_job(stored_away: TestClient) -> None:
    form = stored_away.post("/uploads/presign", json={}).json()
    send(form, VIDEO)
    assert stored_away.post("/localize", json={"upload": form["id"]}).status_code == 202
    send(form, b"another video")
    video = stored_away.get(f"/jobs/{form['id']}/video")
    assert httpx.get(video.headers["location"]).content == VIDEO


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_presigned_upload_can_be_ended(stored_away: TestClient, is_sent: bool) -> None:
    services: Services = stored_away.app.state.services  # type: ignore[attr-defined]
    form = stored_away.post("/uploads/presign", json={}).json()
    if is_sent:
        send(form, VIDEO)
    ended = stored_away.delete(f"/uploads/{form['id']}", headers={"Tus-Resumable": "1.0.0"})
    assert ended.status_code == 204, ended.text
    assert services.uploads.waiting() == []
    assert list(services.storage.older_than("uploads", -60)) == []
    assert_problem(stored_away.post("/localize", json={"upload": form["id"]}), 410, "upload_gone")


def test_bytes_sent_after_the_job_are_swept(stored_away: TestClient) -> None:
    services: Services = stored_away.app.state.services  # type: ignore[attr-defined]
    form = stored_away.post("/uploads/presign", json={}).json()
    send(form, VIDEO)
    assert stored_away.post("/localize", json={"upload": form["id"]}).status_code == 202
    send(form, b"late")
    retention = Retention(services.settings, services.store, services.storage)
    retention.delete_orphaned_videos(-60)
    assert list(services.storage.older_than("uploads", -60)) == [source_key(form["id"])]
