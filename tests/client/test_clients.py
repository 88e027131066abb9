"""Both clients with faulty answers: retries, resumption, uploads, and errors with instructions."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Awaitable, Callable
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import formatdate
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar, cast

import httpx
import pytest

from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from sentiloc.client import (
    ApiError,
    AsyncClient,
    AuthenticationError,
    Client,
    ClientError,
    ConnectionFailedError,
    Feedback,
    InvalidRequestError,
    Job,
    JobFailedError,
    JobOptions,
    JobState,
    NotFoundError,
    RateLimitedError,
    ResultNotReadyError,
    Retry,
    ServerError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from sentiloc.client.errors import Code
from sentiloc.client.events import EventLines
from sentiloc.client.retries import Attempts, parse_retry_after
from tests.client.scripted import Answer, answer, events, hang_up, problem, scripted

T = TypeVar("T")
QUICK = Retry(attempts=4, first_wait=0.01, longest_wait=2.0)
JOB = json.loads(json.dumps(EXAMPLE_QUEUED))
BUSY = problem(503, "redis_unavailable", Retry_After="0")


def job(state: str, **changes: Any) -> dict[str, Any]:
    return {**JOB, "state": state, **changes}


class Blocking:
    """The asynchronous client with a blocking interface, so that one test covers both."""

    def __init__(self, server: str, **options: Any) -> None:
        self._server, self._options = server, options

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        """Each call has a client of its own."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            async def run() -> Any:
                async with AsyncClient(self._server, **self._options) as client:
                    found = getattr(client, name)(*arguments, **options)
                    if hasattr(found, "__aiter__"):
                        return [item async for item in found]
                    return await cast("Awaitable[Any]", found)

            return asyncio.run(run())

        return call


@pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> type[Client]:
    return cast("type[Client]", request.param)


def test_transient_failures_are_retried(kind: type[Client]) -> None:
    script = (BUSY, problem(429, "rate_limited", Retry_After="0"), hang_up, answer(200, job("decoding")))
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        assert client.status("abc").state is JobState.DECODING
    assert len(server.requests) == 4


def test_it_gives_up_with_what_the_server_said(kind: type[Client]) -> None:
    with scripted(BUSY) as server, kind(server.url, retry=QUICK) as client:
        with pytest.raises(ServerError) as caught:
            client.status("abc")
        assert (caught.value.code, caught.value.status) == (Code.REDIS_UNAVAILABLE, 503)
    assert len(server.requests) == QUICK.attempts


def test_a_wait_that_is_too_long_is_the_callers_to_decide(kind: type[Client]) -> None:
    script = problem(429, "quota_exceeded", Retry_After="86400")
    with (
        scripted(script) as server,
        kind(server.url, retry=QUICK) as client,
        pytest.raises(RateLimitedError) as caught,
    ):
        client.status("abc")
    assert caught.value.retry_after == 86_400
    assert len(server.requests) == 1


def test_a_deletion_that_leaves_jobs_explains_how_to_continue(kind: type[Client]) -> None:
    about = {"title": "T", "status": 503, "detail": "D", "code": "storage_unavailable"}
    told = {**about, "deleted": 3, "next_cursor": "abc"}
    script = answer(503, told, "application/problem+json", Retry_After="0")
    with scripted(script) as server, kind(server.url, retry=QUICK) as client:
        with pytest.raises(ServerError) as caught:
            client.delete_jobs(label="positive")
        # The next answer would not count these three.
        assert len(server.requests) == 1
    assert caught.value.problem == told


def test_what_may_have_been_done_is_not_done_again(kind: type[Client]) -> None:
    feedback = Feedback(segments=())
    for script, error in ((hang_up, ConnectionFailedError), (BUSY, ServerError)):
        with scripted(script) as server, kind(server.url, retry=QUICK) as client, pytest.raises(error):
            client.give_feedback("abc", feedback)
        assert len(server.requests) == 1


def test_nobody_listens(kind: type[Client]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with kind(address, retry=QUICK) as client, pytest.raises(ConnectionFailedError, match=address):
            client.limits()


@pytest.mark.parametrize("server", ["http://[", "ftp://127.0.0.1:1"])
def test_no_address(kind: type[Client], server: str) -> None:
    with pytest.raises(ConnectionFailedError), kind(server, retry=QUICK) as client:
        client.limits()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (problem(401, "unauthorized"), AuthenticationError),
        (problem(404, "job_not_found"), NotFoundError),
        (problem(409, "result_not_ready"), ResultNotReadyError),
        (problem(409, "corrupt_media"), ApiError),
        (problem(422, "invalid_request"), InvalidRequestError),
        (problem(500, "a_code_of_the_future"), ServerError),
        (answer(404, "<h1>nginx</h1>", "text/html"), UnexpectedAnswerError),
        (answer(200, "<h1>hello</h1>", "text/html"), UnexpectedAnswerError),
        (answer(200, {"id": "abc"}), UnexpectedAnswerError),
        (answer(200, job("paused")), UnexpectedAnswerError),
        (answer(301, None, Location="http://127.0.0.1:9/"), UnexpectedAnswerError),
    ],
)
def test_errors_have_a_class(kind: type[Client], script: Answer, error: type[ClientError]) -> None:
    with scripted(script) as server, kind(server.url, retry=QUICK) as client, pytest.raises(error):
        client.status("abc")
    assert len(server.requests) == 1


def test_the_key_is_sent(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200, JOB)) as server:
        with kind(server.url, api_key="k1") as client:
            client.status("abc")
        monkeypatch.setenv("SENTILOC_API_KEY", "k2")
        monkeypatch.setenv("SENTILOC_SERVER", server.url)
        with kind(cast("str", None)) as client:
            client.status("../abc?x")
    assert server.sent("Authorization") == ["Bearer k1", "Bearer k2"]
    assert server.requests[-1].path == "/v1/jobs/..%2Fabc%3Fx"


def parts(headers: Message, body: bytes) -> dict[str, Message]:
    """A multipart form, read by the standard library."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    return {str(part.get_param("name", header="content-disposition")): part for part in form.get_payload()}  # type: ignore[union-attr, misc]


def test_a_retried_upload_is_whole_and_has_the_same_key(kind: type[Client], tmp_path: Path) -> None:
    video = tmp_path / 'a "b".mp4'
    video.write_bytes(bytes(range(256)) * 3000)
    told: list[tuple[int, int]] = []
    script = (hang_up, BUSY, answer(202, JOB))
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        options = JobOptions(threshold=0.25, metadata={"reel": 3})
        assert client.submit(video, options, progress=lambda *at: told.append(at)).id == JOB["id"]
    assert len(server.requests) == 3
    assert len(set(server.sent("Idempotency-Key"))) == 1
    for request in server.requests:
        form = parts(request.headers, request.body)
        assert form["video"].get_payload(decode=True) == video.read_bytes()
        assert form["video"].get_filename() == "a %22b%22.mp4"
        sent = json.loads(cast("bytes", form["options"].get_payload(decode=True)))
        assert sent == {"threshold": 0.25, "priority": "interactive", "metadata": {"reel": 3}}
    size = video.stat().st_size
    assert told.count((0, size)) == told.count((size, size)) == 3
    assert all(total == size for _, total in told)


def test_an_open_file_is_sent_from_where_it_stands(kind: type[Client]) -> None:
    file = io.BytesIO(b"headvideo")
    file.seek(4)
    with scripted(hang_up, answer(202, JOB)) as server, kind(server.url, retry=QUICK) as client:
        client.submit(file, name="ü.mp4", idempotency_key="mine")
        file.seek(4)
        client.submit(file)
    assert server.sent("Idempotency-Key")[:2] == ["mine", "mine"]
    assert server.sent("Idempotency-Key")[2] not in ("mine", None)
    for request in server.requests:
        assert parts(request.headers, request.body)["video"].get_payload(decode=True) == b"video"


def test_a_piece_that_breaks_off_goes_on_where_the_server_is(kind: type[Client]) -> None:
    told: list[tuple[int, int]] = []
    script = (
        answer(201, Location="/v1/uploads/u1", Upload_Offset="0"),
        answer(204, Upload_Offset="4"),
        hang_up,
        BUSY,
        answer(200, {"offset": 6}),
        problem(423, "upload_busy"),
        answer(200, {"offset": 6}),
        answer(204, Upload_Offset="9"),
        answer(202, JOB),
    )
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        options, begun = JobOptions(threshold=0.5), list[str]()
        file = io.BytesIO(b"headvideo byt")
        file.seek(4)
        made = client.submit_resumable(
            file,
            options,
            name="ü.mp4",
            piece_bytes=4,
            progress=lambda *at: told.append(at),
            on_begin=begun.append,
        )
    assert (made.id, begun) == (JOB["id"], ["u1"])
    sent = [(request.headers["Upload-Offset"], request.body) for request in server.requests[1:8]]
    assert sent[:2] == [("0", b"vide"), ("4", b"o by")]
    assert sent[4] == sent[6] == ("6", b"byt")
    assert server.requests[0].headers["Upload-Metadata"] == "filename w7wubXA0"
    assert json.loads(server.requests[-1].body)["upload"] == "u1"
    assert told[-1] == (9, 9)


def test_an_upload_that_cannot_go_on_ends(kind: type[Client]) -> None:
    begun = answer(201, Location="/v1/uploads/u1")
    for script, error in (
        ((begun, problem(410, "upload_gone")), ApiError),
        ((begun, hang_up, answer(200, {"offset": 0}), hang_up, answer(200)), UnexpectedAnswerError),
        ((begun, hang_up, problem(404, "upload_not_found")), NotFoundError),
        ((answer(201),), UnexpectedAnswerError),
    ):
        with scripted(*script) as server, kind(server.url, retry=QUICK) as client, pytest.raises(error):
            client.submit_resumable(io.BytesIO(b"video"))


def test_a_form_for_the_store_is_sent_there_without_the_key(kind: type[Client]) -> None:
    with scripted(hang_up, answer(204)) as store:
        form = {"id": "u1", "url": f"{store.url}/bucket", "fields": {"key": "k", "policy": "p"}}
        given = answer(201, {**form, "expires_at": "2026-01-31T13:00:00Z"})
        with (
            scripted(given, answer(202, JOB)) as server,
            kind(server.url, api_key="k1", retry=QUICK) as client,
        ):
            assert client.submit_presigned(io.BytesIO(b"video"), name="a.mp4").id == JOB["id"]
    assert store.sent("Authorization") == [None, None]
    assert server.sent("Authorization") == ["Bearer k1", "Bearer k1"]
    form_sent = parts(store.requests[-1].headers, store.requests[-1].body)
    assert list(form_sent) == ["key", "policy", "file"]
    assert form_sent["file"].get_payload(decode=True) == b"video"


@pytest.mark.parametrize(("status", "code"), [(400, "EntityTooLarge"), (307, "TemporaryRedirect")])
def test_a_refusal_of_the_store_is_reported(kind: type[Client], status: int, code: str) -> None:
    refusal = answer(status, f"<Error><Code>{code}</Code></Error>", "application/xml")
    with scripted(refusal) as store:
        form = {"id": "u1", "url": store.url, "fields": {}, "expires_at": "2026-01-31T13:00:00Z"}
        with (
            scripted(answer(201, form)) as server,
            kind(server.url, retry=QUICK) as client,
            pytest.raises(UnexpectedAnswerError, match=code),
        ):
            client.submit_presigned(io.BytesIO(b"video"))


def test_waiting_asks_for_changes_only(kind: type[Client]) -> None:
    seen: list[Job] = []
    script = (
        answer(200, job("queued"), ETag='"1"', Retry_After="0"),
        answer(304, ETag='"1"', Retry_After="0"),
        answer(200, job("failed", error={"code": "poison", "detail": "No."}), ETag='"2"'),
    )
    with scripted(*script) as server, kind(server.url) as client:
        done = client.wait("abc", on_change=seen.append)
    assert [one.state for one in seen] == ["queued", "failed"]
    assert server.sent("If-None-Match") == [None, '"1"', '"1"']
    assert JobFailedError(done).code == Code.POISON


def test_waiting_ends_in_time(kind: type[Client]) -> None:
    script = answer(200, job("queued"), Retry_After="5")
    with (
        scripted(script) as server,
        kind(server.url) as client,
        pytest.raises(WaitTimeoutError) as caught,
    ):
        client.wait("abc", timeout=0.01)
    assert caught.value.job.state is JobState.QUEUED


def event(number: int, name: str, state: str = "extracting") -> str:
    data = {"state": state, "stage": None, "progress": 0.5, "attempt": 1, "at": 1.5, "eta_seconds": None}
    return f"id: {number}-0\nevent: {name}\ndata: {json.dumps(data)}"


def test_events_go_on_where_they_broke_off(kind: type[Client]) -> None:
    script = (
        events(
            "retry: 10", event(1, "state"), ": still here", 'event: position\ndata: {"queue_position": 2}'
        ),
        hang_up,
        BUSY,
        events(event(2, "progress"), event(3, "final", "succeeded"), event(4, "never")),
    )
    with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
        found = list(client.watch("abc"))
    assert [(one.kind, one.id) for one in found] == [
        *(("state", "1-0"), ("position", None), ("progress", "2-0"), ("final", "3-0")),
    ]
    assert found[1].queue_position == 2
    assert found[-1].state is JobState.SUCCEEDED
    assert server.sent("Last-Event-ID") == [None, "1-0", "1-0", "1-0"]


def test_events_that_are_over_or_of_no_job(kind: type[Client]) -> None:
    with scripted(answer(204), problem(404, "job_not_found")) as server, kind(server.url) as client:
        assert list(client.watch("abc", after="7-0")) == []
        assert server.sent("Last-Event-ID") == ["7-0"]
        with pytest.raises(NotFoundError):
            list(client.watch("abc"))


def test_lines_of_events() -> None:
    lines = EventLines()
    fed = ["event: half", 'data: {"progress":', "data:0.5}", "id:9", "unknown", ":", "", "", "retry: x"]
    found = [event for event in map(lines.feed, fed) if event is not None]
    assert [(event.kind, event.progress, event.id) for event in found] == [("half", 0.5, "9")]
    assert (lines.last_id, lines.wait, lines.ended) == ("9", 2.0, False)
    lines.feed("event: cut off")
    assert lines.begin()["Last-Event-ID"] == "9"
    # An event without data is none, and its kind is not that of the next one.
    assert [lines.feed(line) for line in ("event: final", "", "retry: 1500", "note: 9000", "data: {}")] == [
        None
    ] * 5
    event = lines.feed("")
    assert event is not None
    assert (event.kind, lines.last_id, lines.wait, lines.ended) == ("message", "9", 1.5, False)
    with pytest.raises(UnexpectedAnswerError):
        [lines.feed(line) for line in ("data: no", "")]


def test_deleting_cancels_first_and_tolerates_an_absent_job(kind: type[Client]) -> None:
    for script in ((answer(200, job("cancelled")), answer(204)), (hang_up, problem(404, "job_not_found"))):
        with scripted(*script) as server, kind(server.url, retry=QUICK) as client:
            client.delete("abc")
        assert len(server.requests) == 2


@pytest.mark.parametrize("call", ["delete", "delete_batch", "delete_webhook"])
def test_what_is_deleted_is_not_deleted_again(kind: type[Client], call: str) -> None:
    with scripted(answer(204)) as server, kind(server.url, retry=QUICK) as client:
        getattr(client, call)("abc")
    assert len(server.requests) == 1


def test_a_list_is_read_page_by_page(kind: type[Client]) -> None:
    script = (
        answer(200, {"jobs": [JOB, JOB], "next_cursor": "next"}),
        answer(200, {"jobs": [], "next_cursor": "last"}),
        answer(200, {"jobs": [JOB], "next_cursor": None}),
    )
    with scripted(*script) as server, kind(server.url) as client:
        assert (
            len(list(client.list_jobs(state=(JobState.QUEUED, JobState.FAILED), metadata={"reel": "3"}))) == 3
        )
    paths = [request.path for request in server.requests]
    assert paths[0] == "/v1/jobs?state=queued&state=failed&metadata=reel%3D3&limit=100"
    assert [path.partition("cursor=")[2] for path in paths] == ["", "next", "last"]


def test_an_attempt_gets_the_seconds_that_are_left() -> None:
    def seconds(ends_in: float | None, usual: httpx.Timeout) -> dict[str, float | None]:
        ends_at = None if ends_in is None else monotonic() + ends_in
        return Attempts(Retry(), repeatable=True, ends_at=ends_at).timeout(usual).as_dict()

    usual = httpx.Timeout(30.0, read=None, connect=3.0)
    assert seconds(None, usual) == usual.as_dict()
    few = seconds(20.0, usual)
    assert few["connect"] == 3.0
    assert all(19.0 < (few[name] or 0.0) <= 20.0 for name in ("read", "write", "pool"))
    assert seconds(-1.0, usual) == {"connect": 3.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def test_no_attempt_begins_after_the_limit_of_time() -> None:
    asked = httpx.Request("GET", "http://a.example/")
    patient = Retry(first_wait=100.0, longest_wait=100.0)
    lost, busy = httpx.ReadTimeout("", request=asked), httpx.Response(503, request=asked)
    attempts = Attempts(patient, repeatable=True, ends_at=monotonic() + 20.0)
    for wait in (attempts.after_error(lost), attempts.after(busy)):
        assert wait is not None and 19.0 < wait <= 20.0
    over = Attempts(patient, repeatable=True, ends_at=monotonic() - 1.0)
    with pytest.raises(ConnectionFailedError):
        over.after_error(lost)
    with pytest.raises(ServerError):
        over.after(busy)


@pytest.mark.parametrize(
    ("error", "repeatable", "once"),
    [
        *((kind, False, False) for kind in (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)),
        *((kind, True, False) for kind in (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)),
        *((kind, False, True) for kind in (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)),
        *((kind, True, True) for kind in (httpx.UnsupportedProtocol, httpx.LocalProtocolError)),
    ],
)
def test_a_request_is_sent_again_only_if_that_cannot_act_twice(
    error: type[httpx.TransportError], repeatable: bool, once: bool
) -> None:
    attempts = Attempts(Retry(attempts=3), repeatable=repeatable)
    lost = error("x", request=httpx.Request("POST", "http://a.example/"))
    waits: list[float] = []
    with pytest.raises(ConnectionFailedError):
        while len(waits) < 9:
            waits.append(attempts.after_error(lost))
    assert len(waits) == (0 if once else 2)


def test_retry_after() -> None:
    assert parse_retry_after("2.5") == 2.5
    assert parse_retry_after(formatdate(0, usegmt=True)) == 0.0
    assert parse_retry_after("soon", 7.0) == parse_retry_after(None, 7.0) == 7.0
    waits = [Retry(first_wait=1.0, longest_wait=5.0).wait(attempt) for attempt in (1, 2, 3, 9)]
    assert all(
        low <= wait <= high
        for wait, (low, high) in zip(waits, [(0.5, 1), (1, 2), (2, 4), (2.5, 5)], strict=True)
    )
