"""Answers that are not the service's own, or lead elsewhere: redirects, pages to log in, wrong addresses."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentiloc.app.jobs.record import NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.app.storage.factory import make_storage
from sentiloc.client import (
    BatchItem,
    Client,
    ConnectionFailedError,
    NotFoundError,
    Retry,
    ServerError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    calls,
)
from sentiloc.client.events import EventLines
from tests.client.scripted import Answer, Handler, answer, events, hang_up, scripted
from tests.client.test_clients import JOB, QUICK, event, kind
from tests.support.jobs import claim
from tests.support.proxies import installed, redirecting
from tests.support.quick_service import QuickService
from tests.support.s3_server import KINDS, s3_server, s3_settings
from tests.support.services import private_redis

__all__ = ["kind"]

HTML = "<!doctype html><title>Log in</title>"
LOGIN = answer(200, HTML, "text/html; charset=utf-8")
GONE = answer(404, "<h1>404 Not Found</h1>", "text/html")
MP4 = b"\0\0\0\x18ftypmp42 and more"
CALLS: dict[str, Callable[[Client], Any]] = {
    "delete": lambda client: client.delete("abc"),
    "delete_batch": lambda client: client.delete_batch("abc"),
    "delete_webhook": lambda client: client.delete_webhook("abc"),
    "revoke_key": lambda client: client.revoke_key("abc"),
    "status": lambda client: client.status("abc"),
    "wait": lambda client: client.wait("abc"),
    "watch": lambda client: list(client.watch("abc")),
    "result": lambda client: client.result("abc"),
    "render": lambda client: client.render("abc", "edl"),
    "cut": lambda client: client.cut([], "edl"),
    "reel_video": lambda client: client.reel_video("abc"),
    "batch_results": lambda client: client.batch_results("abc"),
    "batch_result_lines": lambda client: client.batch_result_lines("abc"),
    "export_batch": lambda client: client.export_batch("abc", "vtt"),
    "submit_resumable": lambda client: client.submit_resumable(io.BytesIO(b"video")),
    "formats": lambda client: client.formats(),
    "ready": lambda client: client.ready(),
}


@pytest.fixture(scope="module")
def redirected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not installed("nginx"):
        pytest.skip("nginx is not installed")
    with redirecting(tmp_path_factory.mktemp("nginx"), "https://media.example") as url:
        yield url


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickService]:
    folder = tmp_path_factory.mktemp("service")
    with private_redis(folder) as redis:
        settings = Settings(redis_url=redis.url, redis_prefix="u:", data_dir=folder, api_keys="off")
        with QuickService(settings) as running:
            yield running


@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_of_a_proxy_is_no_success(kind: type[Client], redirected: str, call: str) -> None:
    with (
        kind(f"{redirected}/sentiloc", api_key="k1", retry=QUICK) as client,
        pytest.raises(
            UnexpectedAnswerError, match=r"301, a redirect to https://media\.example/sentiloc/(v1/|readyz)"
        ),
    ):
        CALLS[call](client)


@pytest.mark.parametrize("call", CALLS)
def test_a_page_to_log_in_is_no_success(kind: type[Client], call: str) -> None:
    with scripted(LOGIN) as server, kind(server.url, retry=QUICK) as client:
        with pytest.raises(UnexpectedAnswerError, match=server.url):
            CALLS[call](client)
        assert len(server.requests) == 1


def test_a_redirect_is_named_without_its_secrets(kind: type[Client]) -> None:
    script = answer(302, None, Location="https://me:pass@sso.example/in?token=s#t")
    with scripted(script) as server, kind(server.url, retry=QUICK) as client:
        with pytest.raises(UnexpectedAnswerError) as caught:
            client.status("abc")
        assert f"{server.url}/v1/jobs/abc answered 302, a redirect to https://sso.example/in." in str(
            caught.value
        )


def test_a_store_that_cannot_be_reached_is_named_without_the_signature(kind: type[Client]) -> None:
    with scripted(hang_up) as store, scripted(linked(store.url)) as server:
        with kind(server.url, retry=QUICK) as client, pytest.raises(ConnectionFailedError) as caught:
            client.reel_video("abc")
        assert f"no answer from {store.url}/bucket/reel.mp4: " in str(caught.value)
    with scripted(hang_up) as server:
        place = server.url.replace("//", "//me:secret@")
        with kind(place, retry=QUICK) as client, pytest.raises(ConnectionFailedError) as caught:
            client.status("abc")
        assert f"no answer from {server.url}/v1/jobs/abc: " in str(caught.value)


@pytest.mark.parametrize("charset", ["hex", "idna", "undefined", "none"])
def test_lines_are_utf_8_whatever_the_charset(kind: type[Client], charset: str) -> None:
    line = answer(200, '{"position": 0}\n', f"application/x-ndjson; charset={charset}")
    with scripted(line, line) as server, kind(server.url, retry=QUICK) as client:
        assert client.batch_result_lines("abc") == '{"position": 0}\n'
        with pytest.raises(UnexpectedAnswerError):
            client.batch_results("abc")


def test_an_offset_of_thousands_of_digits(kind: type[Client]) -> None:
    created = answer(201, None, Location="/v1/uploads/abc")
    patched = answer(204, None, **{"Upload-Offset": "1" * 5000})
    with (
        scripted(created, patched) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError),
    ):
        client.submit_resumable(io.BytesIO(b"video"))


@pytest.mark.parametrize("stored", ["0", "6"])
def test_an_upload_ends_if_the_server_stores_nothing(kind: type[Client], stored: str) -> None:
    created = answer(201, None, Location="/v1/uploads/abc")
    patched = answer(204, None, **{"Upload-Offset": stored})
    with (
        scripted(created, patched) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError, match=f"the bytes 0 to 5 were sent, and .* is at byte {stored}"),
    ):
        client.submit_resumable(io.BytesIO(b"video"))
    assert len(server.requests) == 2


@pytest.mark.parametrize("offset", [-1, 6])
def test_an_upload_is_not_resumed_at_an_offset_that_is_none(kind: type[Client], offset: int) -> None:
    with (
        scripted(answer(200, {"offset": offset, "length": 5})) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError, match=f"is at byte {offset} of 5"),
    ):
        client.submit_resumable(io.BytesIO(b"video"), upload="abc")
    assert len(server.requests) == 1


DRIPS_SECONDS = 30.0
BOMB = gzip.compress(b'{"a": "' + b"x" * 100_000)


def unpacked(handler: Handler) -> None:
    handler.send_response(200)
    for name, value in (("Content-Type", "application/json"), ("Content-Encoding", "gzip")):
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(BOMB)))
    handler.end_headers()
    handler.wfile.write(BOMB)


@pytest.mark.parametrize(
    "script",
    [answer(200, {**JOB, "x": "x" * 100_000}), answer(400, "x" * 100_000, "text/plain"), unpacked],
    ids=["job", "problem", "bomb"],
)
def test_an_answer_cannot_fill_the_memory(
    kind: type[Client], monkeypatch: pytest.MonkeyPatch, script: Answer
) -> None:
    monkeypatch.setattr("sentiloc.client.reading.LARGEST", 50_000)
    with scripted(script) as server, kind(server.url, retry=QUICK) as client:
        with pytest.raises(UnexpectedAnswerError, match=f"{server.url}/v1/jobs/abc answered with more than"):
            client.status("abc")
        assert len(server.requests) == 1


@pytest.mark.parametrize("call", ["render", "cut", "reel_video", "batch_result_lines", "export_batch"])
def test_a_file_may_be_large(kind: type[Client], monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr("sentiloc.client.reading.LARGEST", 50_000)
    script = answer(200, "x" * 100_000, "application/octet-stream")
    with scripted(script) as server, kind(server.url, retry=QUICK) as client:
        assert len(CALLS[call](client)) == 100_000


def dripping(handler: Handler) -> None:
    """A byte now and then, for ever: each comes in time."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with suppress(OSError):
        for _ in range(round(DRIPS_SECONDS / 0.05)):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    handler.close_connection = True


def test_an_answer_cannot_take_for_ever(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.client.reading._SECONDS", 0.2)
    begun = time.monotonic()
    with scripted(dripping, answer(200, JOB)) as server, kind(server.url, retry=QUICK) as client:
        assert client.status("abc").id == JOB["id"]
        assert time.monotonic() - begun < DRIPS_SECONDS


def test_a_wait_ends_in_time_whatever_the_answer_does(
    kind: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.client.retries._LAST_SECONDS", 0.2)
    begun = time.monotonic()
    with (
        scripted(answer(200, {**JOB, "state": "queued"}, Retry_After="0.5"), dripping) as server,
        kind(server.url, retry=QUICK) as client,
    ):
        with pytest.raises(WaitTimeoutError):
            client.wait("abc", timeout=0.9)
        assert time.monotonic() - begun < DRIPS_SECONDS
        assert len(server.requests) == 2


def test_nothing_has_changed_only_since_an_answer(kind: type[Client]) -> None:
    with (
        scripted(answer(304)) as server,
        kind(server.url) as client,
        pytest.raises(UnexpectedAnswerError, match="304"),
    ):
        client.wait("abc")


@pytest.mark.parametrize("store_kind", KINDS)
def test_a_reel_is_read_from_the_object_store(kind: type[Client], store_kind: str, tmp_path: Path) -> None:
    with s3_server(store_kind) as s3, private_redis(tmp_path / "redis") as redis:
        given = {"redis_url": redis.url, "redis_prefix": "s:", "api_keys": "off"}
        settings = s3_settings(s3, tmp_path / "data").model_copy(update=given)
        with connect(settings) as connection:
            reel = rendered(JobStore(connection, settings.redis_prefix), settings)
        with QuickService(settings) as running, kind(running.url, api_key="k1") as client:
            assert client.reel_video(reel) == MP4


def rendered(store: JobStore, settings: Settings) -> str:
    """A reel that a worker has rendered."""
    new = NewJob(source_key="", source_name="Best.mp4", source_bytes=0, model="m", reel="{}")
    made = claim(store, store.submit(new).id, "worker", 30.0)
    assert made is not None
    key = f"results/{made.id}.1.mp4"
    with make_storage(settings).writer(key) as writer:
        writer.write(MP4)
        writer.commit()
    assert store.succeed(made.lease, key)
    return made.id


def linked(url: str) -> Answer:
    return answer(307, None, Location=f"{url}/bucket/reel.mp4?X-Amz-Signature=a%2Fb")


def test_the_store_gets_no_key_and_is_asked_again(kind: type[Client]) -> None:
    busy = answer(503, "<Error><Code>SlowDown</Code></Error>", "application/xml")
    with (
        scripted(busy, hang_up, answer(200, MP4.decode(), "video/mp4")) as store,
        scripted(linked(store.url)) as server,
        kind(server.url, api_key="k1", retry=QUICK) as client,
    ):
        assert client.reel_video("abc") == MP4
    assert store.sent("Authorization") == [None] * 3
    assert {request.path for request in store.requests} == {"/bucket/reel.mp4?X-Amz-Signature=a%2Fb"}
    assert server.sent("Authorization") == ["Bearer k1"]


def test_the_stores_reason_for_refusing_a_reel_is_reported(kind: type[Client]) -> None:
    refusal = answer(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml")
    moved = answer(301, "<Error><Code>PermanentRedirect</Code></Error>", "application/xml")
    for said, reason in (
        (refusal, "store answered 403: AccessDenied"),
        (moved, "store answered 301: PermanentRedirect"),
        (linked("http://other.example"), "a redirect to http://other.example/bucket/reel.mp4$"),
        (answer(304), "no reason given"),
    ):
        with (
            scripted(said) as store,
            scripted(linked(store.url)) as server,
            kind(server.url, retry=QUICK) as client,
            pytest.raises(UnexpectedAnswerError, match=reason),
        ):
            client.reel_video("abc")
        assert len(store.requests) == 1


@pytest.mark.parametrize("place", ["http://x:abc/", "http://[::z]"])
@pytest.mark.parametrize("status", [300, 404])
def test_a_refusal_of_the_store_may_name_a_place_that_is_no_url(
    kind: type[Client], place: str, status: int
) -> None:
    with (
        scripted(answer(status, Location=place)) as store,
        scripted(linked(store.url)) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError, match=f"store answered {status}: no reason given$"),
    ):
        client.reel_video("abc")
    assert len(store.requests) == 1


@pytest.mark.parametrize("call", ["status", "watch", "reel_video", "submit_resumable"])
@pytest.mark.parametrize("status", [300, 302, 307])
def test_a_redirect_to_a_place_that_is_no_url_is_not_tried_again(
    kind: type[Client], call: str, status: int
) -> None:
    with scripted(answer(status, Location="http://[::z]")) as server:
        with kind(server.url, retry=QUICK) as client, pytest.raises(UnexpectedAnswerError, match=server.url):
            CALLS[call](client)
        assert len(server.requests) == 1


def test_a_redirect_to_the_same_path_is_no_store(kind: type[Client]) -> None:
    script = answer(307, None, Location="https://media.example/v1/reels/abc/video")
    with (
        scripted(script) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError, match="307, a redirect to https://media"),
    ):
        client.reel_video("abc")


def test_an_html_report_is_a_file(kind: type[Client]) -> None:
    script = answer(200, HTML, "text/html", Content_Disposition='attachment; filename="holiday.html"')
    with scripted(script) as server, kind(server.url) as client:
        assert client.render("abc", "html") == HTML.encode()


@pytest.mark.parametrize("call", ["delete", "delete_batch", "delete_webhook"])
def test_only_the_service_can_say_that_something_is_gone(
    kind: type[Client], service: QuickService, call: str
) -> None:
    with kind(service.url) as client:
        CALLS[call](client)
    with kind(f"{service.url}/wrong") as client, pytest.raises(NotFoundError):
        CALLS[call](client)
    with scripted(GONE) as server, kind(server.url) as client, pytest.raises(UnexpectedAnswerError):
        CALLS[call](client)


def test_texts_may_have_any_line_end(kind: type[Client], service: QuickService) -> None:
    note = {"note": "first\u2028second\u0085third"}
    with kind(service.url) as client:
        batch = client.submit_batch([BatchItem(url="https://media.example/a.mp4", metadata=note)])
        client.wait_batch(batch.id)
        assert [line.state for line in client.batch_results(batch.id)] == ["succeeded"]
        client.delete_batch(batch.id)


@pytest.mark.parametrize(
    "line", ['{"index": 0}', '{"index":', "[]", '{"index":0,"job_id":"a","state":"new"}']
)
def test_lines_that_are_not_understood(kind: type[Client], line: str) -> None:
    script = answer(200, f"{line}\n", "application/x-ndjson")
    with scripted(script) as server, kind(server.url) as client, pytest.raises(UnexpectedAnswerError):
        client.batch_results("abc")


def test_a_proxy_without_a_server_is_not_a_server_that_is_not_ready(kind: type[Client]) -> None:
    body = {"ready": False, "redis": True, "workers": [], "reasons": ["No worker is alive."]}
    with scripted(answer(503, body), answer(503, HTML, "text/html")) as server, kind(server.url) as client:
        assert client.ready().reasons == ("No worker is alive.",)
        with pytest.raises(ServerError):
            client.ready()


def test_an_answer_that_cannot_be_unpacked(kind: type[Client]) -> None:
    for script, call in (
        (answer(200, JOB, Content_Encoding="gzip"), CALLS["status"]),
        (answer(200, "data: {}\n\n", "text/event-stream", Content_Encoding="gzip"), CALLS["watch"]),
    ):
        with (
            scripted(script) as server,
            kind(server.url, retry=QUICK) as client,
            pytest.raises(UnexpectedAnswerError),
        ):
            call(client)
        assert len(server.requests) == 1


def count_as_at_once(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for name in ("synchronous", "asynchronous"):
        monkeypatch.setattr(f"sentiloc.client.{name}.transport._AT_ONCE_SECONDS", seconds)


def test_streams_that_end_at_once_are_given_up(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine, "at once" may take a while.
    count_as_at_once(monkeypatch, 60.0)
    # As the service begins every stream.
    with (
        scripted(events("retry: 10")) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(ConnectionFailedError, match="ends at once"),
    ):
        list(client.watch("abc"))
    assert len(server.requests) == QUICK.attempts


def test_streams_that_end_later_are_resumed(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    count_as_at_once(monkeypatch, 0.0)
    script, once = (events("retry: 10"), events(event(1, "final", "succeeded"))), Retry(attempts=1)
    with scripted(*script) as server, kind(server.url, retry=once) as client:
        assert [one.kind for one in client.watch("abc")] == ["final"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("data", ["[]", "3", '"text"'])
def test_events_that_are_no_objects(kind: type[Client], data: str) -> None:
    with (
        scripted(events(f"data: {data}")) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError),
    ):
        list(client.watch("abc"))


NESTED = "[" * 200_000
STRANGE: dict[str, tuple[str, tuple[Answer, ...]]] = {
    "nested JSON": ("status", (answer(200, NESTED),)),
    "nested problem": ("status", (answer(400, NESTED, "application/problem+json"),)),
    "nested line": ("batch_results", (answer(200, NESTED, "application/x-ndjson"),)),
    "nested event": ("watch", (events(f"data: {NESTED}"),)),
    "large number": ("status", (answer(200, {**JOB, "progress": 10**400}),)),
    "host": ("status", (answer(302, Location="http://xn--a/"),)),
    "script": ("render", (answer(307, Location="javascript:alert(1)"),)),
    "script for events": ("watch", (answer(307, Location="javascript:alert(1)"),)),
    "encoding": (
        "render",
        (answer(307, Location="/a"), answer(403, "<?xml version='1.0' encoding='hex'?><a/>", "text/xml")),
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_strange_answers_are_unexpected_answers(kind: type[Client], case: str) -> None:
    call, script = STRANGE[case]
    with (
        scripted(*script) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(UnexpectedAnswerError) as caught,
    ):
        CALLS[call](client)
    assert len(str(caught.value)) < 500


def test_a_date_that_no_clock_has_is_no_wait(kind: type[Client]) -> None:
    late = answer(503, Retry_After="Fri, 31 Dec 99999999999 1:1:1")
    with scripted(late, answer(200, JOB)) as server, kind(server.url, retry=QUICK) as client:
        assert client.status("abc").id == JOB["id"]


@pytest.mark.parametrize("given", ["9" * 5000, "99999999999999999999"])
def test_a_stream_cannot_ask_for_an_endless_wait(given: str) -> None:
    lines = EventLines()
    for line in (f"retry: {given}", "id: \u2603", "data: " + '{"state": "succeeded"}', ""):
        lines.feed(line)
    # An id that no header can hold is not sent back.
    assert (lines.wait, lines.begin().get("Last-Event-ID")) == (60.0, None)


def test_a_poll_cannot_ask_for_an_endless_wait() -> None:
    response = httpx.Response(200, json=JOB, headers={"Retry-After": "inf"})
    assert calls.poll("abc", "").parse(response).wait == 60.0
