"""A job is created once and its video kept even if Redis's answer is lost; unclaimed videos are deleted."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
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
from tests.support.services import PrivateRedis


class DeafProxy:
    """Forwards everything to Redis; the answers to commands in `deaf` are lost together with the connection."""

    def __init__(self, target: str) -> None:
        self.deaf: tuple[bytes, ...] = ()
        self.lost = 0
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._target)
            mute = threading.Event()
            threading.Thread(target=self._answer, args=(server, client, mute), daemon=True).start()
            while data := client.recv(1 << 20):
                if any(name in data for name in self.deaf):
                    mute.set()
                    self.lost += 1
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if mute.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def proxy(redis_server: PrivateRedis) -> Iterator[DeafProxy]:
    proxy = DeafProxy(redis_server.url.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def through_proxy(settings: Settings, proxy: DeafProxy) -> Iterator[TestClient]:
    behind = settings.model_copy(update={"redis_url": proxy.url})
    with TestClient(create_app(behind), raise_server_exceptions=False) as client:
        yield client


def test_a_lost_answer_is_looked_up(through_proxy: TestClient, proxy: DeafProxy, store: JobStore) -> None:
    first = upload(through_proxy).json()["id"]  # From then on Redis knows the script by its hash.
    proxy.deaf = (b"EVALSHA",)
    response = upload(through_proxy)
    assert proxy.lost >= 2
    assert response.status_code == 202, response.text
    assert store.queued() == [first, response.json()["id"]]


def test_a_video_in_doubt_is_kept(
    through_proxy: TestClient, proxy: DeafProxy, store: JobStore, settings: Settings
) -> None:
    upload(through_proxy)
    # The check for workers still gets an answer; the write of the new record does not.
    proxy.deaf = (b"EVALSHA", b"job:")
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


def _age(path: Path) -> None:
    past = time.time() - 7200
    os.utime(path, (past, past))
