"""One suite for both storages: files are written atomically, and keys cannot lead outside."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.breaker import StoreUnreachableError
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.client.scripted import answer, scripted
from tests.support.full_disk import fill, small_volume
from tests.support.s3_server import KINDS, give_credentials, s3_server, s3_settings

KEY = "uploads/abcdefgh.src"


@pytest.fixture(scope="module", params=KINDS)
def s3_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with s3_server(request.param) as url:
        yield url


@pytest.fixture(scope="module", params=["local", *KINDS])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """`local`, or the address of an S3 server."""
    if request.param == "local":
        yield "local"
        return
    with s3_server(request.param) as url:
        yield url


@pytest.fixture
def storage(place: str, tmp_path: Path) -> Storage:
    if place == "local":
        return make_storage(Settings(data_dir=tmp_path))
    return make_storage(s3_settings(place, tmp_path))


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def put(storage: Storage, key: str, data: bytes) -> None:
    with storage.writer(key) as writer:
        writer.write(data)
        writer.commit()


def test_a_file_is_seen_only_once_it_is_whole(storage: Storage, tmp_path: Path) -> None:
    with storage.writer(KEY) as writer:
        writer.write(b"one")
        with pytest.raises(SentilocError):
            storage.read(KEY)
        assert storage.size(KEY) is None
        writer.write(b"two")
        writer.commit()
    assert storage.read(KEY) == b"onetwo"
    assert storage.size(KEY) == 6
    with storage.local_path(KEY) as path:
        assert path.read_bytes() == b"onetwo"
    storage.delete(KEY)
    storage.delete(KEY)
    assert storage.size(KEY) is None
    assert files(tmp_path) == []


def test_an_abandoned_file_is_removed(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), storage.writer(KEY) as writer:
        writer.write(b"half")
        raise RuntimeError
    assert files(tmp_path) == []
    assert storage.size(KEY) is None


def test_two_writers_of_one_key_do_not_mix(storage: Storage) -> None:
    with storage.writer(KEY) as first, storage.writer(KEY) as second:
        first.write(b"first")
        second.write(b"second")
        first.commit()
        second.commit()
    assert storage.read(KEY) == b"second"


def test_a_missing_file_is_typed(storage: Storage) -> None:
    for ask in (storage.read, lambda key: storage.local_path(key).__enter__()):
        with pytest.raises(SentilocError) as caught:
            ask(KEY)
        assert caught.value.code is ErrorCode.SOURCE_MISSING


@pytest.mark.parametrize(
    "key",
    ["../x", "uploads/../../etc/passwd", "/etc/passwd", "uploads/a/b", "other/abcdefgh", "uploads/", ""],
)
def test_other_keys_are_refused(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        storage.delete(key)
    with pytest.raises(ValueError, match="not a storage key"):
        storage.writer(key).__enter__()


def test_a_complete_file_is_taken_over(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "incoming"
    path.write_bytes(b"video")
    storage.adopt(path, KEY)
    assert not path.exists()
    assert storage.read(KEY) == b"video"
    with pytest.raises(FileNotFoundError):
        storage.adopt(path, KEY)


def test_files_are_listed_by_age(storage: Storage) -> None:
    put(storage, KEY, b"x")
    put(storage, "results/abcdefgh.1.json", b"x")
    assert list(storage.older_than("uploads", 3600)) == []
    assert list(storage.older_than("uploads", -3600)) == [KEY]
    assert list(storage.older_than("results", -3600)) == ["results/abcdefgh.1.json"]


def test_links_for_direct_downloads(storage: Storage) -> None:
    put(storage, KEY, bytes(range(256)))
    link = storage.link(KEY)
    if isinstance(storage, LocalStorage):
        assert link is None
        return
    assert link is not None
    assert httpx.get(link, headers={"Range": "bytes=2-4"}).content == bytes((2, 3, 4))


def test_an_object_store_that_does_not_answer_is_typed(s3_url: str, tmp_path: Path) -> None:
    storage = make_storage(s3_settings("http://127.0.0.1:9", tmp_path))
    with pytest.raises(SentilocError) as caught:
        storage.read(KEY)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


@pytest.mark.parametrize("url", ["bucket/prefix", "https://bucket", "s3://"])
def test_a_storage_url_must_name_a_bucket(url: str) -> None:
    with pytest.raises(ValidationError, match="s3://bucket/key"):
        Settings(storage_url=url)


def test_only_old_unfinished_files_are_swept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.writer(KEY) as writer:
        writer.write(b"done")
        writer.commit()
    old, new = (f"abcdefgh.src.{letter * 8}.part" for letter in "ab")
    foreign = ["film.mp4.part", "holidays.mp4"]
    for name in (old, new, *foreign):
        (tmp_path / "uploads" / name).write_bytes(b"half")
    (tmp_path / "uploads" / f"folder01.src.{'c' * 8}.part").mkdir()
    past = time.time() - 1000
    for name in (old, "abcdefgh.src", *foreign):
        os.utime(tmp_path / "uploads" / name, (past, past))
    assert list(storage.older_than("uploads", 500)) == [KEY]
    assert storage.sweep(500) == 1
    assert files(tmp_path) == ["abcdefgh.src", new, *foreign]


HOLD_A_COPY = """
import os, sys, time
from pathlib import Path
from sentiloc.app.settings import Settings
from sentiloc.app.storage.factory import make_storage
storage = make_storage(Settings.model_validate_json(sys.argv[1]))
with storage.local_path(sys.argv[2]):
    print("here", flush=True)
    time.sleep(600)
"""


def test_copies_of_killed_processes_are_swept_and_others_are_not(s3_url: str, tmp_path: Path) -> None:
    settings = s3_settings(s3_url, tmp_path)
    storage = make_storage(settings)
    put(storage, KEY, b"x" * 1000)
    command = [sys.executable, "-c", HOLD_A_COPY, settings.model_dump_json(), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder, storage.local_path(KEY) as own:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"here\n"
        assert storage.sweep(3600) == 0
        holder.kill()
        holder.wait()
        assert storage.sweep(3600) == 1
        assert own.read_bytes() == b"x" * 1000
    assert files(tmp_path) == []


def test_a_sweep_leaves_a_copy_that_is_about_to_be_locked(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = s3_settings(s3_url, tmp_path)
    storage, lock = make_storage(settings), fcntl.flock
    put(storage, KEY, b"x" * 1000)

    def lock_late(file: Any, operation: int) -> None:
        monkeypatch.setattr("sentiloc.app.storage.s3.fcntl.flock", lock)
        make_storage(settings).sweep(3600)
        lock(file, operation)

    monkeypatch.setattr("sentiloc.app.storage.s3.fcntl.flock", lock_late)
    with storage.local_path(KEY) as copy:
        assert make_storage(settings).sweep(3600) == 0
        assert copy.read_bytes() == b"x" * 1000
    assert files(tmp_path) == []


def test_only_own_files_are_swept_beside_an_object_store(s3_url: str, tmp_path: Path) -> None:
    settings = s3_settings(s3_url, tmp_path)
    storage = make_storage(settings)
    own = ("copies/0123456789abcdef.copy", "uploads/abcdefgh.src")
    foreign = ("copies/holiday.mp4", "uploads/holidays.mp4")
    for name in (*own, *foreign):
        path = settings.data_dir / "staging" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    (settings.data_dir / "staging/copies/folder").mkdir()
    assert storage.sweep(3600) == 2
    assert files(tmp_path) == ["holiday.mp4", "holidays.mp4"]


def test_a_moved_file_has_its_new_key_only(storage: Storage) -> None:
    put(storage, KEY, b"video")
    assert storage.move(KEY, "uploads/ijklmnop")
    assert not storage.move(KEY, "uploads/ijklmnop")
    assert storage.size(KEY) is None
    assert storage.read("uploads/ijklmnop") == b"video"


def test_a_full_disk_for_copies_is_typed(s3_url: str, tmp_path: Path) -> None:
    settings = s3_settings(s3_url, tmp_path)
    put(make_storage(settings), KEY, b"x" * (1 << 20))
    with small_volume(tmp_path / "small", 2) as folder:
        storage = make_storage(settings.model_copy(update={"data_dir": folder}))
        ballast = fill(folder, leave=1 << 19)
        with pytest.raises(SentilocError) as caught, storage.local_path(KEY):
            pytest.fail("there is no room for it")
        assert caught.value.code is ErrorCode.STORAGE_FULL
        assert list((folder / "staging" / "copies").iterdir()) == []
        ballast.unlink()
        with storage.local_path(KEY) as copy:
            assert copy.stat().st_size == 1 << 20


def test_an_upload_that_the_store_refuses_is_no_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_credentials(monkeypatch)
    refuse = answer(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml")
    with scripted(refuse) as server:
        where = {"storage_url": "s3://bucket/x", "storage_endpoint": server.url}
        storage = make_storage(Settings(data_dir=tmp_path, **where))  # type: ignore[arg-type]
        with pytest.raises(SentilocError) as caught:
            put(storage, KEY, b"x")
    assert (caught.value.code, caught.value.detail) == (
        ErrorCode.STORAGE_UNAVAILABLE,
        "The object store refused the request.",
    )
    assert not isinstance(caught.value, StoreUnreachableError)
    assert files(tmp_path) == []
