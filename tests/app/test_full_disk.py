"""A full volume: no partial files are left, and accepted jobs are still there once there is room."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis, RedisError

from sentiloc.app.main import create_app
from sentiloc.app.routes.service.health import NO_ROOM
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import RESERVE_BYTES, LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import VIDEO
from tests.support.full_disk import fill, small_volume
from tests.support.services import PrivateRedis

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


def test_an_upload_without_room_is_a_507_and_leaves_no_file(settings: Settings, tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 80) as folder:
        full = settings.model_copy(update={"data_dir": folder, "max_upload_bytes": 1 << 20})
        with TestClient(create_app(full)) as client:
            assert client.post("/localize", files={"video": b"x" * 1000}).status_code == 202
            ballast = fill(folder, leave=RESERVE_BYTES - 1)
            for size in (1000, 1 << 19):
                answer = client.post("/localize", files={"video": b"x" * size})
                assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
            assert list(folder.rglob("*.part")) == []
            assert client.get("/jobs").status_code == 200
            ballast.unlink()
            assert client.post("/localize", files={"video": b"x" * 1000}).status_code == 202


def test_a_repeated_form_gets_its_job_without_room(settings: Settings) -> None:
    """Its video is read for its digest only. Another video with the key is a conflict, and needs no room either."""
    form = {"headers": {"Idempotency-Key": "k"}, "files": {"video": ("a.mp4", VIDEO)}}
    with TestClient(create_app(settings)) as client:
        first = client.post("/localize", **form).json()
    full = settings.model_copy(update={"upload_reserve_bytes": 2 * shutil.disk_usage(settings.data_dir).free})
    with TestClient(create_app(full)) as client:
        again = client.post("/localize", **form)
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        other = client.post("/localize", **{**form, "files": {"video": ("a.mp4", VIDEO + b"x")}})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
        assert client.post("/localize", files={"video": VIDEO}).status_code == 507
    assert len(list((settings.data_dir / "uploads").iterdir())) == 1


def test_uploads_leave_a_reserve_of_free_space(settings: Settings) -> None:
    free = shutil.disk_usage(settings.data_dir).free
    for reserve, status in ((0, 202), (2 * free, 507)):
        scarce = settings.model_copy(update={"upload_reserve_bytes": reserve})
        with TestClient(create_app(scarce)) as client:
            assert client.post("/localize", files={"video": VIDEO}).status_code == status
            assert client.get("/readyz").json()["warnings"] == ([] if status == 202 else [NO_ROOM])
            shown = dict(
                re.findall(r"^(sentiloc_\w+_bytes) (.*)$", client.get("/metrics").text, re.MULTILINE)
            )
            assert float(shown["sentiloc_upload_reserve_bytes"]) == reserve
            assert (float(shown["sentiloc_data_free_bytes"]) < reserve) == (status == 507)
            begun = client.post("/uploads", headers={**TUS, "Upload-Length": str(len(VIDEO))})
            sent = client.patch(begun.headers["location"], content=VIDEO, headers={**TUS, **CHUNK})
            assert sent.status_code == (204 if status == 202 else status)
            assert sent.headers.get("upload-offset", "0") == ("0" if status == 507 else str(len(VIDEO)))
    assert list(settings.data_dir.rglob("*.part")) == []


def test_results_may_use_the_reserve(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, 2 * shutil.disk_usage(tmp_path).free)
    with storage.writer("results/abcdefgh.1.json") as writer:
        writer.write(b"{}")
        writer.commit()
    with pytest.raises(SentilocError, match="full"), storage.writer("uploads/abcdefgh.src") as writer:
        writer.write(b"x")


def test_a_result_may_use_the_upload_reserve_and_fails_clearly_beyond_it(tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 2) as folder:
        storage = LocalStorage(folder)
        with storage.writer("results/abcdefgh.1.json") as writer:
            writer.write(b"{}")
            writer.commit()
        fill(folder)
        with pytest.raises(SentilocError) as caught, storage.writer("results/abcdefgh.2.json") as writer:
            writer.write(bytes(100_000))
            writer.commit()
        assert caught.value.code == ErrorCode.STORAGE_FULL
        assert [path.name for path in (folder / "results").iterdir()] == ["abcdefgh.1.json"]


def test_a_job_store_killed_by_a_full_disk_keeps_all_acknowledged_jobs(tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 8) as folder:
        server = PrivateRedis(folder / "redis")
        server.start()
        acknowledged = 0
        with Redis.from_url(server.url, retry=None) as redis:
            fill(folder, leave=200_000)
            with pytest.raises(RedisError):
                while True:
                    redis.rpush("list", bytes(1000))
                    acknowledged += 1
        assert server.process is not None
        server.process.wait(120)
        (folder / "ballast").unlink()
        server.start()
        with Redis.from_url(server.url) as redis:
            assert redis.llen("list") in (acknowledged, acknowledged + 1)
        server.kill()
    assert acknowledged > 10
