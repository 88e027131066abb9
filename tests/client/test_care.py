"""What the client takes care of by itself: whole uploads, nothing twice, time limits, keys."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, cast

import pytest

from sentiloc.cli.remote.batch import read_items
from sentiloc.client import (
    ApiError,
    AsyncClient,
    BatchTimeoutError,
    Client,
    ClientError,
    ConnectionFailedError,
    InvalidKeyError,
    Retry,
    ServerError,
    TimeRange,
    WaitTimeoutError,
    WrongVideoError,
    retries,
)
from tests.app.asking import VIDEO
from tests.client.scripted import Answer, Handler, answer, events, hang_up, problem, scripted
from tests.client.test_clients import BUSY, JOB, QUICK, event, job, kind, parts
from tests.client.test_unexpected import service
from tests.support.quick_service import QuickService

__all__ = ["kind", "service"]

BATCH: dict[str, Any] = {
    "id": "b1",
    "name": None,
    "state": "running",
    "progress": 0.5,
    "total": 2,
    "counts": dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled", "deleted"), 0),
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": None,
}


def test_an_upload_of_another_video_is_not_continued(kind: type[Client], service: QuickService) -> None:
    begun: list[str] = []

    def stop(upload: str) -> None:
        begun.append(upload)
        raise KeyboardInterrupt

    with kind(service.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.submit_resumable(io.BytesIO(VIDEO), on_begin=stop)
        for other in (VIDEO[:-1], VIDEO + b"more"):
            with pytest.raises(WrongVideoError, match=f"{len(VIDEO)} bytes; this video has {len(other)}"):
                client.submit_resumable(io.BytesIO(other), upload=begun[0])
        assert client.submit_resumable(io.BytesIO(VIDEO), upload=begun[0]).id == begun[0]


class Halting(io.BytesIO):
    """A file that returns less than it is asked for, as unbuffered and remote files do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size if size is not None and size >= 0 else 3))


def test_a_file_may_be_read_in_small_parts(kind: type[Client]) -> None:
    told: list[int] = []
    with scripted(answer(202, JOB)) as server, kind(server.url, retry=QUICK) as client:
        client.submit(Halting(b"a whole video"), progress=lambda sent, _: told.append(sent))
    form = parts(server.requests[0].headers, server.requests[0].body)
    assert form["video"].get_payload(decode=True) == b"a whole video"
    assert told == [0, 3, 6, 9, 12, 13]


@contextmanager
def refusing() -> Iterator[str]:
    """A server that ends each connection after the first bytes of a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def is_open(path: Path) -> bool:
    return any(link.exists() and link.samefile(path) for link in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("awaits", [False, True])
def test_a_failed_upload_leaves_no_file_open(tmp_path: Path, awaits: bool) -> None:
    video = tmp_path / "a.mp4"
    with video.open("wb") as file:
        file.truncate(64 << 20)

    async def send(url: str) -> bool:
        async with AsyncClient(url, retry=QUICK) as client:
            try:
                await client.submit(video)
            except ConnectionFailedError:
                return is_open(video)
        raise AssertionError

    with refusing() as url:
        if awaits:
            assert not asyncio.run(send(url))
            return
        with Client(url, retry=QUICK) as client:
            try:
                client.submit(video)
            except ConnectionFailedError:
                assert not is_open(video)


def test_a_delivery_is_not_asked_for_twice(kind: type[Client]) -> None:
    for script, error in ((hang_up, ConnectionFailedError), (BUSY, ServerError)):
        with scripted(script) as server, kind(server.url, retry=QUICK) as client, pytest.raises(error):
            client.deliver_again("abc")
        assert len(server.requests) == 1


def test_options_of_a_rerun_are_sent_as_those_of_a_job(kind: type[Client]) -> None:
    with scripted(answer(202, JOB)) as server, kind(server.url) as client:
        client.rerun("abc", time_range=TimeRange(start=1.0, end=2.0), labels=("positive",))
    sent = json.loads(server.requests[0].body)["options"]
    assert sent == {"time_range": {"start": 1.0, "end": 2.0}, "labels": ["positive"]}


def test_a_file_of_urls_may_have_any_line_end_in_its_texts() -> None:
    lines = ["https://media.example/a.mp4", '{"url": "https://media.example/b.mp4", "name": "x\u2028y"}', ""]
    assert [item.name for item in read_items("\r\n".join(lines))] == [None, "x\u2028y"]


def test_a_heartbeat_shows_that_the_server_is_well(kind: type[Client]) -> None:
    beat = answer(200, "retry: 10\n\n: still here\n\n", "text/event-stream", Connection="close")
    script = [hang_up, hang_up, hang_up, beat] * 2
    script = [*script, events(event(1, "final", "succeeded"))]
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        assert [one.kind for one in client.watch("abc")] == ["final"]
    assert len(server.requests) == 9


def test_waiting_uses_the_time_that_it_has(kind: type[Client]) -> None:
    script = (answer(200, job("queued"), Retry_After="60"), answer(200, job("succeeded")))
    with scripted(*script) as server, kind(server.url) as client:
        assert client.wait("abc", timeout=0.2).state == "succeeded"
    script = (answer(200, BATCH), answer(200, {**BATCH, "state": "finished"}))
    with scripted(*script) as server, kind(server.url) as client:
        assert client.wait_batch("b1", timeout=0.2).state == "finished"


def test_the_time_limit_of_a_batch_is_an_error_of_the_client(kind: type[Client]) -> None:
    with scripted(answer(200, BATCH)) as server, kind(server.url) as client:
        with pytest.raises(BatchTimeoutError, match="50%") as caught:
            client.wait_batch("b1", timeout=0.01)
        # Programs that catch the built-in error, which it was before, still do.
        assert isinstance(caught.value, ClientError) and isinstance(caught.value, TimeoutError)


def test_a_key_with_a_line_end(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200, JOB)) as server:
        monkeypatch.setenv("SENTILOC_API_KEY", "k1\n")
        with kind(server.url) as client:
            client.status("abc")
    assert server.sent("Authorization") == ["Bearer k1"]
    for key in ("k\n1", "kä"):
        with (
            pytest.raises(InvalidKeyError, match="cannot be sent") as caught,
            kind(server.url, api_key=key) as client,
        ):
            client.status("abc")
        assert key not in str(caught.value)


def test_a_name_on_disk_may_be_of_another_encoding(
    kind: type[Client], service: QuickService, tmp_path: Path
) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    video.write_bytes(VIDEO)
    with kind(service.url) as client:
        for send in (client.submit, client.submit_resumable):
            assert send(video).source.name == "caf\ufffd.mp4"


def test_a_file_without_a_name_is_a_video(kind: type[Client]) -> None:
    with (
        tempfile.SpooledTemporaryFile() as spooled,
        tempfile.TemporaryFile() as numbered,
        scripted(answer(202, JOB)) as server,
        kind(server.url) as client,
    ):
        for file in (spooled, numbered):
            client.submit(cast("BinaryIO", file))
    names = [parts(asked.headers, asked.body)["video"].get_filename() for asked in server.requests]
    assert names == ["video", "video"]


def test_an_outage_may_last_long() -> None:
    assert Retry(attempts=10**6, longest_wait=5.0).wait(10**5) <= 5.0


def test_what_cannot_be_sent_is_not_tried_again(kind: type[Client]) -> None:
    with scripted(answer(202, JOB)) as server, kind(server.url) as client:
        with pytest.raises(ConnectionFailedError, match="Illegal header value"):
            client.submit(io.BytesIO(VIDEO), idempotency_key="a\nb")
        with pytest.raises(ValueError, match="less than 1"):
            client.submit_resumable(io.BytesIO(VIDEO), piece_bytes=0)
    assert server.requests == []


def test_a_piece_waits_as_long_as_the_server_asks(kind: type[Client]) -> None:
    begun = answer(201, Location="/v1/uploads/u1")
    refused = problem(503, "storage_unavailable", Retry_After="0.4")
    script = (begun, refused, answer(200, {"offset": 0}), answer(204, Upload_Offset="5"), answer(202, JOB))
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        started = monotonic()
        client.submit_resumable(io.BytesIO(b"video"))
        assert monotonic() - started >= 0.4
    with scripted(begun, problem(503, "storage_unavailable", Retry_After="60")) as server:
        with kind(server.url, retry=QUICK) as client, pytest.raises(ServerError) as caught:
            client.submit_resumable(io.BytesIO(b"video"))
        assert (caught.value.retry_after, len(server.requests)) == (60.0, 2)


def test_a_password_of_a_proxy_may_be_in_the_address(kind: type[Client]) -> None:
    with (
        scripted(answer(200, JOB)) as server,
        kind(f" {server.url.replace('//', '//me:pass@')}\n", api_key="k1") as client,
    ):
        client.status("abc")
    assert server.sent("Authorization") == ["Basic bWU6cGFzcw=="]
    assert server.sent("X-API-Key") == ["k1"]


def hold(handler: Handler) -> None:
    """No answer for a long time, as of a server that hangs."""
    handler.connection.settimeout(60.0)
    handler.connection.recv(1)


def test_errors_cross_processes(kind: type[Client]) -> None:
    caught: list[ClientError] = []
    script = (answer(200, job("queued")), problem(404, "job_not_found"))
    with scripted(*script) as server, kind(server.url) as client:
        with pytest.raises(WaitTimeoutError) as waited:
            client.wait("abc", timeout=0.0)
        with pytest.raises(ApiError) as refused:
            client.status("abc")
        caught += [waited.value, refused.value]
    with scripted(answer(200, BATCH)) as server, kind(server.url) as client:
        with pytest.raises(BatchTimeoutError) as late:
            client.wait_batch("b1", timeout=0.0)
        caught.append(late.value)
    for error in caught:
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is type(error)
        assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_waiting_ends_in_time_if_the_server_hangs(
    kind: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_LAST_SECONDS", 0.2)
    started = monotonic()
    with scripted(answer(200, job("queued"), Retry_After="0.1"), hold) as server, kind(server.url) as client:
        with pytest.raises(WaitTimeoutError) as caught:
            client.wait("abc", timeout=0.4)
        assert caught.value.job.state == "queued"
        with pytest.raises(ConnectionFailedError):
            client.wait("abc", timeout=0.4)
        with pytest.raises(ConnectionFailedError):
            client.wait_batch("b1", timeout=0.4)
    assert monotonic() - started < 15.0


BUSY_LATER = problem(503, "busy", Retry_After="20")
LIMITED_LATER = problem(429, "rate_limited", Retry_After="20")


@pytest.mark.parametrize("refusal", [BUSY_LATER, LIMITED_LATER], ids=["busy", "rate limited"])
def test_waiting_ends_in_time_if_the_server_is_busy(kind: type[Client], refusal: Answer) -> None:
    script = (answer(200, job("queued"), Retry_After="0.1"), refusal)
    started = monotonic()
    with scripted(*script) as server, kind(server.url) as client, pytest.raises(WaitTimeoutError):
        client.wait("abc", timeout=0.3)
    with (
        scripted(answer(200, BATCH), refusal) as server,
        kind(server.url) as client,
        pytest.raises(BatchTimeoutError, match="50%"),
    ):
        client.wait_batch("b1", timeout=0.3)
    assert monotonic() - started < 15.0
