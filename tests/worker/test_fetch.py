"""Fetching a job's video from its URL: real servers that behave, redirect, lie, drip and hang."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.fetch import FETCHING_UNTIL, _Fetch, fetch_source
from tests.support.listeners import listening
from tests.support.services import PATIENCE, wait_for

KEY = "uploads/abcdefgh.src"
VIDEO = bytes(range(256)) * 4000
Answer = bytes | Callable[[socket.socket], None]


def ok(*headers: bytes, body: bytes = VIDEO) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *headers, b"", body))


def record_of(port: int) -> JobRecord:
    return JobRecord(
        id="abcdefgh",
        state=JobState.DECODING,
        created_at=0.0,
        updated_at=0.0,
        source_key=KEY,
        source_name="a.mp4",
        source_bytes=0,
        model="m",
        options=JobOptions(),
        source_url=f"http://127.0.0.1:{port}/a.mp4",
    )


def settings_of(folder: Path, **changes: object) -> Settings:
    quick = {"outbound_allow": ["127.0.0.0/8"], "max_upload_bytes": 2_000_000, "upload_idle_seconds": 5.0}
    return Settings(data_dir=folder).model_copy(update={**quick, **changes})


def fetch(folder: Path, answer: Answer, **changes: object) -> int:
    with listening(answer) as server:
        settings = settings_of(folder, **changes)
        return fetch_source(record_of(server.port), LocalStorage(folder), settings, lambda stage, done: None)


def failure(folder: Path, answer: Answer, **changes: object) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        fetch(folder, answer, **changes)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    return caught.value.code


def test_the_bytes_arrive(tmp_path: Path) -> None:
    assert fetch(tmp_path, ok(b"Content-Length: %d" % len(VIDEO))) == len(VIDEO)
    assert LocalStorage(tmp_path).read(KEY) == VIDEO


def test_a_body_without_a_length_ends_with_the_connection(tmp_path: Path) -> None:
    assert fetch(tmp_path, ok(b"Connection: close")) == len(VIDEO)


def test_too_large_videos_are_not_kept(tmp_path: Path) -> None:
    assert failure(tmp_path, ok(b"Content-Length: 3000000000")) is ErrorCode.UPLOAD_TOO_LARGE
    endless = ok(b"Connection: close", body=bytes(3_000_000))
    assert failure(tmp_path, endless) is ErrorCode.UPLOAD_TOO_LARGE


def test_a_body_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    assert failure(tmp_path, ok(b"Content-Length: %d" % (len(VIDEO) + 1))) is ErrorCode.URL_UNREACHABLE


@pytest.mark.parametrize("status", [b"301 Moved", b"404 Not Found", b"206 Partial Content", b"500 Oh"])
def test_other_answers_are_no_video(tmp_path: Path, status: bytes) -> None:
    with listening(ok()) as inner:
        head = b"HTTP/1.1 %b\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 5\r\n\r\nvideo"
        assert failure(tmp_path, head % (status, inner.port)) is ErrorCode.URL_UNREACHABLE
        assert inner.connections == 0


def test_an_empty_body_and_garbage_are_typed(tmp_path: Path) -> None:
    assert failure(tmp_path, ok(b"Content-Length: 0", body=b"")) is ErrorCode.EMPTY_FILE
    assert failure(tmp_path, b"this is no HTTP at all\r\n\r\n") is ErrorCode.URL_UNREACHABLE
    assert failure(tmp_path, b"") is ErrorCode.URL_UNREACHABLE


def test_loopback_is_called_only_if_allowed(tmp_path: Path) -> None:
    assert failure(tmp_path, ok(), outbound_allow=[]) is ErrorCode.URL_FORBIDDEN


def _drip(stream: socket.socket) -> None:
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    stop = threading.Event()
    while not stop.wait(0.02):
        stream.sendall(b"x")


def test_a_body_that_drips_is_left(tmp_path: Path) -> None:
    pace = {"slow_body_seconds": 0.3, "slow_body_bytes_per_second": 1000}
    assert failure(tmp_path, _drip, **pace) is ErrorCode.URL_UNREACHABLE
    assert failure(tmp_path, _drip, fetch_seconds=0.5) is ErrorCode.URL_UNREACHABLE


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Connection: close"])
def test_a_video_may_have_all_the_bytes_that_are_allowed(tmp_path: Path, head: bytes) -> None:
    assert fetch(tmp_path, ok(head, body=bytes(1000)), max_upload_bytes=1000) == 1000
    assert LocalStorage(tmp_path).size(KEY) == 1000
    LocalStorage(tmp_path).delete(KEY)
    assert failure(tmp_path, ok(head, body=bytes(1000)), max_upload_bytes=999) is ErrorCode.UPLOAD_TOO_LARGE


def test_a_refusal_says_whether_it_is_a_redirect(tmp_path: Path) -> None:
    said = []
    for status in (204, 300, 399, 400):
        with pytest.raises(SentilocError, match=f"answered with status {status}") as caught:
            fetch(tmp_path, b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        said.append("redirects are not followed" in caught.value.detail)
    assert said == [False, True, True, False]


def test_an_object_is_held_to_the_limits_of_a_download(tmp_path: Path) -> None:
    def fetching(**changes: object) -> _Fetch:
        settings = settings_of(tmp_path, **changes)
        return _Fetch(record_of(1), LocalStorage(tmp_path), settings, Outbound(), lambda: False)

    def code(fetch: _Fetch, length: int) -> ErrorCode:
        chunks = iter([b"abc", b"de"])
        with pytest.raises(SentilocError) as caught:
            list(fetch._of_object(length, chunks))
        assert next(chunks, None) is not None
        return caught.value.code

    whole = fetching(max_upload_bytes=5)
    shares = [whole.share for _ in whole._of_object(5, iter([b"abc", b"de"]))]
    assert shares == [0.6, 1.0]
    assert list(fetching()._of_object(0, iter([]))) == []
    assert code(fetching(max_upload_bytes=5), 6) is ErrorCode.UPLOAD_TOO_LARGE
    assert code(fetching(fetch_seconds=-1.0), 5) is ErrorCode.URL_UNREACHABLE
    stopped = fetching()
    stopped.stop.set()
    assert code(stopped, 5) is ErrorCode.URL_UNREACHABLE


def test_a_body_that_becomes_slow_is_left_and_a_steady_one_is_not(tmp_path: Path) -> None:
    def steady(stream: socket.socket, pieces: int = 8) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n")
        for _ in range(pieces):
            stream.sendall(bytes(1000))
            threading.Event().wait(0.02)

    def tires(stream: socket.socket) -> None:
        steady(stream, 7)
        while True:
            stream.sendall(b"x")
            threading.Event().wait(0.02)

    pace = {"slow_body_seconds": 0.1, "slow_body_bytes_per_second": 1000}
    assert fetch(tmp_path / "steady", steady, **pace) == 8000
    with pytest.raises(SentilocError, match="the server sends too slowly"):
        fetch(tmp_path / "tires", tires, **pace)


def test_a_job_that_is_cancelled_keeps_nothing_that_arrives_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may have the job by then, and its file must stay."""
    monkeypatch.setattr("sentiloc.worker.jobs.fetch._POLL_SECONDS", 0.01)
    cancelled, seen = threading.Event(), list[float]()

    def halt(stream: socket.socket) -> None:
        stream.sendall(ok(b"Content-Length: %d" % len(VIDEO))[:-500_000])
        cancelled.wait(PATIENCE)
        stream.sendall(VIDEO[-500_000:])

    def report(stage: str, done: float) -> None:
        seen.append(done)
        if done > 0.02:
            raise SentilocError(ErrorCode.CANCELLED, "stop")

    with listening(halt) as server, pytest.raises(SentilocError):
        fetch_source(record_of(server.port), LocalStorage(tmp_path), settings_of(tmp_path), report)
    cancelled.set()
    wait_for(lambda: all(thread.name != "fetch" for thread in threading.enumerate()))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert seen == sorted(seen)
    assert seen[-1] < FETCHING_UNTIL


def test_a_job_that_is_cancelled_does_not_wait_for_its_server(tmp_path: Path) -> None:
    asked, finished = threading.Event(), threading.Event()

    def hang(stream: socket.socket) -> None:
        asked.set()
        finished.wait(PATIENCE)

    def report(stage: str, done: float) -> None:
        assert stage == "fetching"
        if asked.is_set():
            raise SentilocError(ErrorCode.CANCELLED, "stop")

    with listening(hang) as server, pytest.raises(SentilocError) as caught:
        fetch_source(record_of(server.port), LocalStorage(tmp_path), settings_of(tmp_path), report)
    assert caught.value.code is ErrorCode.CANCELLED
    assert not finished.is_set()
    finished.set()
