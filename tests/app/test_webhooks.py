"""Webhooks against a real receiver: one event id for all attempts, and signatures that pass the documented check."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.batches.store import BatchStore
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.app.signing import SigningSecret, check_webhook_secret, new_webhook_secret
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.outages import Outage
from sentiloc.app.webhooks.endpoints import EndpointStore
from sentiloc.app.webhooks.lanes import Lanes
from sentiloc.app.webhooks.outbox import Entry, Outbox
from sentiloc.app.webhooks.sender import WebhookSender
from sentiloc.app.webhooks.store import (
    Delivery,
    WebhookState,
    WebhookStatus,
    WebhookStore,
    signed_headers,
)
from tests.app.asking import VIDEO, assert_problem
from tests.support.listeners import Listener, listening
from tests.support.services import PATIENCE, ROOT, wait_for

SECRET = new_webhook_secret()


class Receiver:
    """A server that answers with the given statuses in turn, then with 204, and records the requests."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def ids(self) -> set[str]:
        return {headers["webhook-id"] for headers, _ in self.seen}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings for deliveries to loopback with short pauses, sent only by the test."""
    return settings.model_copy(
        update={
            "outbound_allow": ["127.0.0.0/8"],
            "webhook_backoff_seconds": 0.001,
            "webhook_backoff_max_seconds": 0.004,
            "webhook_senders": 0,
        }
    )


@pytest.fixture
def sender(settings: Settings, store: JobStore) -> WebhookSender:
    return make_sender(settings, store)


@pytest.fixture
def check() -> Callable[..., dict[str, Any]]:
    """The receiver's check from `docs/api.md`."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import base64.*?def check_webhook.*?)```", page, re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    found: Callable[..., dict[str, Any]] = names["check_webhook"]
    return found


def make_sender(settings: Settings, store: JobStore) -> WebhookSender:
    redis, prefix = store.redis, store.prefix
    keys, endpoints = KeyStore(redis, prefix), EndpointStore(redis, prefix)
    outbox = Outbox(settings, store, BatchStore(store), endpoints, keys)
    return WebhookSender(settings, WebhookStore(redis, prefix), outbox)


def cancelled_job(store: JobStore, url: str, **more: Any) -> str:
    """An ended job with a webhook."""
    options = JobOptions.model_validate({"webhook": {"url": url, "secret": SECRET, **more}})
    job = store.submit(
        NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m", options=options)
    )
    assert store.cancel(job.id)
    return job.id


def send_until_settled(sender: WebhookSender) -> None:
    """Send due events until none is left."""
    wait_for(lambda: not sender.send_one() and sender._webhooks._redis.zcard(sender._webhooks.due) == 0)


def test_ten_failures_then_one_accepted_event(
    receiver: Receiver, sender: WebhookSender, store: JobStore, client: TestClient, check: Callable[..., Any]
) -> None:
    receiver.statuses = [500, 503, 429, 302, 404, 500, 500, 500, 500, 500]
    job_id = cancelled_job(store, receiver.url)
    send_until_settled(sender)
    assert len(receiver.seen) == 11
    assert receiver.ids() == {f"msg_{job_id}"}
    headers, body = receiver.seen[-1]
    event = check([SECRET], headers, body)
    assert (event["type"], event["data"]["id"]) == ("job.cancelled", job_id)
    assert SECRET not in body.decode()
    log = client.get(f"/jobs/{job_id}/webhooks").json()
    assert (log["state"], log["attempts"], log["next_attempt_at"]) == ("delivered", 11, None)
    assert [one["status"] for one in log["deliveries"]] == [500, 503, 429, 302, 404] + [500] * 5 + [204]


def test_the_documented_check_refuses_wrong_signatures(check: Callable[..., Any]) -> None:
    body = b'{"type": "job.succeeded"}'
    now = int(time.time())
    good = signed_headers([SECRET], "job", now, body)
    assert check([SECRET], good, body) == json.loads(body)
    two = signed_headers([new_webhook_secret(), SECRET], "job", now, body)
    assert check([SECRET], two, body)
    old, early = (signed_headers([SECRET], "job", now + shift, body) for shift in (-400, 400))
    for secret, headers, sent in (
        (SECRET, good, body + b" "),
        (SECRET, {**good, "webhook-id": "msg_other"}, body),
        (SECRET, {**good, "webhook-timestamp": str(now - 1)}, body),
        (SECRET, old, body),
        (SECRET, early, body),
        (new_webhook_secret(), good, body),
        (SECRET, {**good, "webhook-signature": "v1,AAAA"}, body),
    ):
        with pytest.raises(ValueError):
            check([secret], headers, sent)


def test_another_implementation_accepts_it(
    receiver: Receiver, sender: WebhookSender, store: JobStore
) -> None:
    library = pytest.importorskip("standardwebhooks", reason="needs the package standardwebhooks")
    cancelled_job(store, receiver.url)
    send_until_settled(sender)
    headers, body = receiver.seen[0]
    assert library.Webhook(SECRET).verify(body.decode(), headers)["type"] == "job.cancelled"
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(SECRET).verify(body.decode() + " ", headers)


def test_a_pending_event_has_the_time_of_its_next_attempt(
    receiver: Receiver, settings: Settings, store: JobStore
) -> None:
    slow = {"webhook_backoff_seconds": 100.0, "webhook_backoff_max_seconds": 1000.0}
    sender, receiver.statuses = make_sender(settings.model_copy(update=slow), store), [503]
    job_id, began = cancelled_job(store, receiver.url), time.time()
    before = sender._webhooks.status(job_id)
    assert (before.attempts, before.round, before.deliveries) == (0, 0, ())
    assert before.next_at == pytest.approx(began, abs=5.0)
    assert sender.send_one() and not sender.send_one()
    after = sender._webhooks.status(job_id)
    assert (after.state, after.attempts, len(after.deliveries)) == ("pending", 1, 1)
    assert after.next_at is not None and 79.0 < after.next_at - began < 130.0


def test_an_event_is_leased_for_longer_than_its_delivery_may_take(store: JobStore) -> None:
    webhooks = WebhookStore(store.redis, store.prefix, timeout_seconds=1000.0)
    job_id = cancelled_job(store, "http://receiver.example/")
    assert webhooks.claim() == job_id
    assert webhooks.claim() is None
    next_at = webhooks.status(job_id).next_at
    assert next_at is not None and next_at - time.time() > 1900.0


def test_after_redis_s_clock_was_set_back_an_event_waits_no_longer(store: JobStore) -> None:
    """A later due time has the same effect as an earlier clock."""
    webhooks = WebhookStore(store.redis, store.prefix)
    tried, leased, long, old = (cancelled_job(store, "https://example.com/hook") for _ in range(4))
    for job, wait in ((tried, 60.0), (long, 6 * 3600.0), (old, 6 * 3600.0)):
        delivery = Delivery(at=1.0, seconds=0.1, attempt=1, status=503, error=None)
        webhooks.settle(job, webhooks.status(job), WebhookState.PENDING, delivery, wait)
    store.redis.hdel(f"{store.prefix}webhook:{old}", "wait")
    assert webhooks.claim() == leased
    before = store.redis.zrange(webhooks.due, 0, -1, withscores=True)
    assert webhooks.hasten() == 0
    assert store.redis.zrange(webhooks.due, 0, -1, withscores=True) == before
    for job in (tried, leased):
        store.redis.zincrby(webhooks.due, 3600.0, job)
    assert webhooks.hasten() == 2
    assert {webhooks.claim() for _ in range(3)} == {tried, leased, None}


def test_the_service_sends_an_event_that_waits_too_long(
    receiver: Receiver, settings: Settings, store: JobStore
) -> None:
    job = cancelled_job(store, receiver.url)
    store.redis.zincrby(f"{store.prefix}webhooks", 3600.0, job)
    quick = settings.model_copy(update={"webhook_senders": 1, "reaper_interval_seconds": 0.1})
    with TestClient(create_app(quick)):
        wait_for(lambda: receiver.ids() == {f"msg_{job}"})


def test_redelivery_keeps_the_event(
    receiver: Receiver, sender: WebhookSender, store: JobStore, client: TestClient
) -> None:
    job_id = cancelled_job(store, receiver.url)
    send_until_settled(sender)
    again = client.post(f"/jobs/{job_id}/webhooks")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    send_until_settled(sender)
    assert len(receiver.seen) == 2 and len(receiver.ids()) == 1
    assert len(client.get(f"/jobs/{job_id}/webhooks").json()["deliveries"]) == 2


def settled(
    webhooks: WebhookStore, entry: str, before: WebhookStatus, state: WebhookState, attempt: int = 1
) -> None:
    """The end of a delivery, and for a pending event another attempt after a minute."""
    delivery = Delivery(at=1.0, seconds=0.1, attempt=attempt, status=500, error=None)
    webhooks.settle(entry, before, state, delivery, 60.0)


@pytest.mark.parametrize("state", WebhookState)
def test_a_redelivery_that_is_requested_during_a_delivery_is_made(
    store: JobStore, state: WebhookState
) -> None:
    webhooks, job_id = WebhookStore(store.redis, store.prefix), cancelled_job(store, "http://x.example/")
    assert webhooks.claim() == job_id
    before = webhooks.status(job_id)
    assert webhooks.send_again(job_id)
    settled(webhooks, job_id, before, state)
    after = webhooks.status(job_id)
    assert (after.state, after.attempts, after.round, len(after.deliveries)) == ("pending", 0, 1, 1)
    assert webhooks.claim() == job_id


def test_a_job_that_is_deleted_during_a_delivery_leaves_nothing(store: JobStore) -> None:
    webhooks, job_id = WebhookStore(store.redis, store.prefix), cancelled_job(store, "http://x.example/")
    assert webhooks.claim() == job_id
    before = webhooks.status(job_id)
    settled(webhooks, job_id, before, WebhookState.PENDING)
    store.redis.delete(f"{store.prefix}job:{job_id}")
    settled(webhooks, job_id, before, WebhookState.PENDING)
    assert list(store.redis.scan_iter(f"{store.prefix}webhook*")) == []
    assert not webhooks.send_again(job_id)
    assert list(store.redis.scan_iter(f"{store.prefix}webhook*")) == []


def test_what_is_known_of_a_registered_webhook_s_deliveries_is_kept_for_a_month(store: JobStore) -> None:
    """That of a job's own webhook is kept as long as the job."""
    redis, prefix = store.redis, store.prefix
    webhooks = WebhookStore(redis, prefix)
    hook = EndpointStore(redis, prefix).create("", "http://x.example/", None, None, "")
    job_id = cancelled_job(store, "http://x.example/")
    entry = f"{job_id}~{hook.id}"
    for name in (job_id, entry):
        settled(webhooks, name, webhooks.status(name), WebhookState.PENDING)
    kept = {
        name: redis.ttl(f"{prefix}{name}")
        for name in (f"webhook:{job_id}", f"webhooklog:{job_id}", f"webhook:{entry}", f"hooklog:{hook.id}")
    }
    assert list(kept.values()) == [
        -1,
        -1,
        pytest.approx(30 * 86_400, abs=60),
        pytest.approx(30 * 86_400, abs=60),
    ]
    assert not redis.exists(f"{prefix}webhooklog:{entry}")
    for name in (job_id, entry):
        settled(webhooks, name, webhooks.status(name), WebhookState.DELIVERED, attempt=2)
    assert redis.exists(f"{prefix}webhook:{job_id}") and not redis.exists(f"{prefix}webhook:{entry}")
    assert redis.zcard(webhooks.due) == 0
    figures = redis.hgetall(f"{prefix}figures")
    assert (figures["webhooks pending"], figures["webhooks delivered"]) == ("2", "2")


def test_it_is_given_up_in_the_end_or_when_the_receiver_is_gone(
    receiver: Receiver, settings: Settings, store: JobStore, client: TestClient
) -> None:
    sender = make_sender(settings.model_copy(update={"webhook_max_attempts": 3}), store)
    receiver.statuses = [500] * 3
    first = cancelled_job(store, receiver.url)
    send_until_settled(sender)
    receiver.statuses = [410]
    second = cancelled_job(store, receiver.url)
    send_until_settled(sender)
    logs = [client.get(f"/jobs/{job_id}/webhooks").json() for job_id in (first, second)]
    assert [(log["state"], log["attempts"]) for log in logs] == [("failed", 3), ("failed", 1)]


def test_a_receiver_that_accepts_without_a_whole_body_is_called_once(
    sender: WebhookSender, store: JobStore, client: TestClient
) -> None:
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok") as hasty:
        job_id = cancelled_job(store, f"http://127.0.0.1:{hasty.port}/")
        send_until_settled(sender)
        assert hasty.connections == 1
    log = client.get(f"/jobs/{job_id}/webhooks").json()
    assert (log["state"], [one["status"] for one in log["deliveries"]]) == ("delivered", [200])


def test_a_private_address_is_never_called(
    receiver: Receiver, settings: Settings, store: JobStore, client: TestClient
) -> None:
    job_id = cancelled_job(store, receiver.url)
    closed = settings.model_copy(update={"outbound_allow": [], "webhook_max_attempts": 1})
    send_until_settled(make_sender(closed, store))
    assert receiver.seen == []
    log = client.get(f"/jobs/{job_id}/webhooks").json()
    assert [(one["status"], one["error"]) for one in log["deliveries"]] == [(None, "url_forbidden")]


def test_only_wanted_events_are_sent(receiver: Receiver, sender: WebhookSender, store: JobStore) -> None:
    cancelled_job(store, receiver.url, events=["job.succeeded"])
    send_until_settled(sender)
    assert receiver.seen == []


def test_a_deleted_job_is_forgotten(sender: WebhookSender, store: JobStore, client: TestClient) -> None:
    job_id = cancelled_job(store, "http://127.0.0.1:9/closed")
    assert sender.send_one()
    assert client.get(f"/jobs/{job_id}/webhooks").json()["deliveries"][0]["error"] == "url_unreachable"
    client.delete(f"/jobs/{job_id}")
    assert not [
        key for key in store.redis.scan_iter(f"{store.prefix}*") if job_id in key or "webhooks" in key
    ]


def test_the_wait_doubles_and_the_receiver_may_extend_it(settings: Settings, store: JobStore) -> None:
    slow = settings.model_copy(
        update={"webhook_backoff_seconds": 10.0, "webhook_backoff_max_seconds": 1000.0}
    )
    sender = make_sender(slow, store)
    waits = [sender.wait_seconds(attempt, {}) for attempt in (1, 2, 3, 20, 5000)]
    for wait, middle in zip(waits, (10, 20, 40, 1000, 1000), strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
    assert sender.wait_seconds(1, {"retry-after": "300"}) == 300
    assert sender.wait_seconds(1, {"retry-after": "999999"}) == 1000
    assert sender.wait_seconds(1, {"retry-after": "soon"}) <= 12


def post(client: TestClient, webhook: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    data = {"options": json.dumps({"webhook": webhook})}
    return client.post("/localize", files={"video": ("a.mp4", VIDEO)}, data=data, headers=headers)


def test_unsendable_events_are_refused_at_once(client: TestClient) -> None:
    url = "https://edit.example/hook"
    assert_problem(post(client, {"url": "http://10.0.0.1/x", "secret": SECRET}), 422, "url_forbidden")
    assert_problem(post(client, {"url": "file:///etc/passwd", "secret": SECRET}), 422, "url_forbidden")
    assert_problem(post(client, {"url": url}), 422, "invalid_request")
    assert_problem(post(client, {"url": url, "secret": "whsec_c2hvcnQ="}), 422, "invalid_request")
    job = post(client, {"url": url, "secret": SECRET}).json()
    assert job["options"]["webhook"] == {"url": url, "secret": None, "events": None}
    assert SECRET not in client.get(f"/jobs/{job['id']}").text + client.get("/jobs").text
    assert client.get(f"/jobs/{job['id']}/webhooks").json()["state"] is None
    assert_problem(client.post(f"/jobs/{job['id']}/webhooks"), 409, "no_webhook")


def test_a_key_signs_its_own_jobs(
    receiver: Receiver, settings: Settings, sender: WebhookSender, redis: Redis, store: JobStore,
    check: Callable[..., Any],
) -> None:  # fmt: skip
    keys = KeyStore(redis, settings.redis_prefix)
    new = keys.create("test", [Scope.WRITE], rate_per_minute=0)
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as guarded:
        job_id = post(guarded, {"url": receiver.url}, {"X-API-Key": new.text}).json()["id"]
    store.cancel(job_id)
    fresh = keys.rotate_webhook_secret(new.key.id)
    send_until_settled(sender)
    headers, body = receiver.seen[0]
    for secret in (fresh, new.webhook_secret):
        assert check([secret], headers, body)["data"]["id"] == job_id


def test_a_key_signs_its_own_batches(
    receiver: Receiver, settings: Settings, sender: WebhookSender, redis: Redis, store: JobStore,
    check: Callable[..., Any],
) -> None:  # fmt: skip
    new = KeyStore(redis, settings.redis_prefix).create("test", [Scope.WRITE], rate_per_minute=0)
    body = {"items": [{"url": "https://media.example/a.mp4"}], "webhook": {"url": receiver.url}}
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as guarded:
        batch = guarded.post("/batches", json=body, headers={"X-API-Key": new.text}).json()
    for job_id in batch["job_ids"]:
        store.cancel(job_id)
    send_until_settled(sender)
    ((headers, sent),) = receiver.seen
    assert check([new.webhook_secret], headers, sent)["data"]["id"] == batch["id"]


def test_an_event_that_cannot_be_signed_is_not_sent(
    receiver: Receiver, settings: Settings, store: JobStore
) -> None:
    """The server's secret was removed from its settings after the job was accepted."""
    sender = make_sender(settings.model_copy(update={"webhook_max_attempts": 1}), store)
    options = JobOptions.model_validate({"webhook": {"url": receiver.url}})
    new = NewJob(source_key="uploads/x", source_name="a", source_bytes=1, model="m", options=options)
    job_id = store.submit(new).id
    store.cancel(job_id)
    assert sender.send_one()
    (delivery,) = sender._webhooks.status(job_id).deliveries
    assert (delivery.error, delivery.status, receiver.seen) == ("no_secret", None, [])


def test_the_server_s_own_secret(receiver: Receiver, settings: Settings, store: JobStore) -> None:
    with pytest.raises(ValidationError):
        Settings(webhook_secret="secret")
    own = Settings(**{**settings.model_dump(), "webhook_secret": SECRET})
    assert SECRET not in repr(own)
    with TestClient(create_app(own)) as client:
        job_id = post(client, {"url": receiver.url}).json()["id"]
    store.cancel(job_id)
    assert make_sender(own, store).send_one()
    assert receiver.ids() == {f"msg_{job_id}"}


def test_threads_send_by_themselves(
    receiver: Receiver, settings: Settings, store: JobStore, tmp_path: Path
) -> None:
    running = make_sender(settings.model_copy(update={"webhook_senders": 2}), store)
    running.start()
    try:
        job_ids = [cancelled_job(store, receiver.url) for _ in range(5)]
        wait_for(lambda: len(receiver.seen) >= 5)
    finally:
        running.stop()
    assert receiver.ids() == {f"msg_{job_id}" for job_id in job_ids}
    assert len(receiver.seen) == 5


@dataclass(frozen=True, slots=True)
class Hanging:
    """Threads that send, and a receiver that does not answer before `release`. They start with `sender.start`."""

    sender: WebhookSender
    tarpit: Listener
    release: threading.Event
    jobs: list[str]


@contextmanager
def hanging(
    settings: Settings, store: JobStore, *, events: int, threads: int, per_host: int
) -> Iterator[Hanging]:
    """A running sender, and events for a receiver that hangs. At the end it answers, then the sender stops."""
    more = {
        "webhook_senders": threads,
        "webhook_senders_per_host": per_host,
        "webhook_timeout_seconds": 3 * PATIENCE,
    }
    release = threading.Event()
    sender = make_sender(settings.model_copy(update=more), store)

    def hang(_: socket.socket) -> None:
        release.wait(2 * PATIENCE)

    with listening(hang) as tarpit:
        jobs = [cancelled_job(store, f"http://127.0.0.1:{tarpit.port}/") for _ in range(events)]
        try:
            yield Hanging(sender, tarpit, release, jobs)
        finally:
            release.set()
            sender.stop()


def test_a_receiver_that_hangs_delays_no_other(
    receiver: Receiver, settings: Settings, store: JobStore
) -> None:
    # More than one read of the queue returns.
    with hanging(settings, store, events=600, threads=4, per_host=2) as there:
        there.sender.start()
        wait_for(lambda: there.tarpit.connections >= 2)
        good = cancelled_job(store, receiver.url)
        wait_for(lambda: receiver.seen)
        assert receiver.ids() == {f"msg_{good}"}
        assert there.tarpit.connections == 2


def test_a_key_gets_half_of_the_threads(
    receiver: Receiver, settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.webhooks.sender._LOOK_SECONDS", 0.05)
    with hanging(settings, store, events=4, threads=5, per_host=9) as there:
        for job in there.jobs:
            store.redis.hset(f"{store.prefix}job:{job}", "key_id", "greedy")
        there.sender.start()
        wait_for(lambda: there.tarpit.connections >= 2)
        cancelled_job(store, receiver.url)
        wait_for(lambda: receiver.seen)
        assert there.tarpit.connections == 2
        there.release.set()
        wait_for(lambda: there.tarpit.connections >= 4)


def test_many_hanging_receivers_do_not_hold_up_the_end(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.webhooks.sender._STOP_SECONDS", 0.25)
    with hanging(settings, store, events=12, threads=12, per_host=12) as there:
        there.sender.start()
        wait_for(lambda: there.tarpit.connections == 12)
        began = time.monotonic()
        there.sender.stop()
        took = time.monotonic() - began
    assert 0.25 <= took < 12 * 0.25
    wait_for(lambda: not any(thread.is_alive() for thread in there.sender._threads))


class Told(threading.Event):
    """A stop signal that notes how long its thread would have waited."""

    def __init__(self, steps: list[object]) -> None:
        super().__init__()
        self.steps = steps

    def wait(self, timeout: float | None = None) -> bool:
        self.steps.append(timeout)
        return self.is_set()


def test_a_thread_waits_only_while_there_is_nothing_to_send(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.telemetry.outages._CALM_SECONDS", 0.0)
    monkeypatch.setattr(outages, "REDIS", Outage("Redis"))
    sender, steps = make_sender(settings, store), list[object]()
    outcomes = iter([True, True, False, RedisConnectionError(), ValueError(), True])
    sender._stop = stop = Told(steps)

    def send_one() -> bool:
        steps.append((type(outcome := next(outcomes, None)).__name__, outages.REDIS.is_on))
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            stop.set()
        return bool(outcome)

    monkeypatch.setattr(sender, "send_one", send_one)
    sender._loop()
    calm, away = ("bool", False), ("ValueError", True)
    broken = ("ConnectionError", False)
    assert steps == [calm, calm, calm, 1.0, broken, 1.0, away, ("bool", True), ("NoneType", False), 1.0]


def test_a_delivery_has_its_time_and_duration(sender: WebhookSender, store: JobStore) -> None:
    def answer_late(stream: socket.socket) -> None:
        time.sleep(0.1)
        stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(answer_late) as receiver:
        job_id, began = cancelled_job(store, f"http://127.0.0.1:{receiver.port}/"), time.time()
        assert sender.send_one()
        took = time.time() - began
    (delivery,) = sender._webhooks.status(job_id).deliveries
    assert began <= delivery.at <= began + took - 0.1
    assert 0.1 <= delivery.seconds <= took + 0.001


def test_one_key_with_many_hanging_receivers_leaves_threads_to_others() -> None:
    lanes = Lanes(per_host=2, per_owner=3)
    for host in ("a", "b", "c"):
        lanes.enter(host, "greedy")
    lanes.enter("a", "other")
    with lanes.choosing() as (hosts, owners):
        assert (hosts, owners) == (["a"], ["greedy"])
    for host in ("a", "b", "c"):
        lanes.leave(host, "greedy")
    lanes.leave("a", "other")
    with lanes.choosing() as busy:
        assert busy == ([], [])


def test_a_lane_is_free_once_all_its_deliveries_but_one_share_have_ended() -> None:
    lanes = Lanes(per_host=2, per_owner=2)
    for _ in range(3):
        lanes.enter("a", None)
    for count, busy in ((3, ["a"]), (2, ["a"]), (1, []), (0, [])):
        with lanes.choosing() as (hosts, owners):
            assert (hosts, owners) == (busy, [])
        if count:
            lanes.leave("a", None)
    # Hosts come and go, so none is kept without a delivery.
    assert not lanes._hosts and not lanes._owners


@pytest.mark.parametrize(
    ("text", "subject", "is_batch", "endpoint", "is_own"),
    [
        ("job1", "job1", False, "", True),
        ("job1~hook1", "job1", False, "hook1", False),
        ("batch.b1", "b1", True, "", False),
        ("batch.b1~hook1", "b1", True, "hook1", False),
    ],
)
def test_an_entry_names_its_subject_and_its_receiver(
    text: str, subject: str, is_batch: bool, endpoint: str, is_own: bool
) -> None:
    entry = Entry(text)
    assert (entry.subject, entry.is_batch, entry.endpoint, entry.is_own) == (
        subject,
        is_batch,
        endpoint,
        is_own,
    )
    assert entry.event_id == f"msg_{subject}"


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_of_24_to_64_bytes_is_taken(size: int) -> None:
    check_webhook_secret(f"whsec_{b64encode(bytes(size)).decode()}")


@pytest.mark.parametrize(
    "text",
    [
        b64encode(bytes(32)).decode(),
        f"whsec_{b64encode(bytes(23)).decode()}",
        f"whsec_{b64encode(bytes(65)).decode()}",
        f"whsec_{b64encode(bytes(32)).decode()}!",
        "whsec_",
        "whsec_" + "é" * 40,
    ],
)
def test_any_other_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        check_webhook_secret(text)
    with pytest.raises(ValidationError):
        TypeAdapter(SigningSecret).validate_python(text)


def test_events_of_busy_receivers_and_owners_wait(store: JobStore, redis: Redis) -> None:
    webhooks = WebhookStore(redis, store.prefix)
    slow = cancelled_job(store, "http://Slow.example:81/a")
    job = cancelled_job(store, "http://fast.example/a")
    redis.hset(f"{store.prefix}job:{job}", "key_id", "greedy")
    assert webhooks.claim(["slow.example:81"], ["greedy"]) is None
    for due in (slow, job):
        redis.zadd(webhooks.due, {due: 1.0})
    assert webhooks.claim(["slow.example:81"]) == job
    redis.zadd(webhooks.due, {slow: 1.0})
    assert webhooks.claim([], ["greedy"]) == slow


def test_an_event_is_sent_as_soon_as_its_receiver_is_free(store: JobStore, redis: Redis) -> None:
    """A sender that finds a receiver busy, perhaps for milliseconds, puts off none of its events."""
    webhooks = WebhookStore(redis, store.prefix)
    jobs = [cancelled_job(store, "http://slow.example/a") for _ in range(3)]
    assert webhooks.claim(["slow.example"]) is None
    assert [webhooks.claim() for _ in jobs] == jobs


def test_events_behind_very_many_of_a_busy_receiver_are_found(store: JobStore, redis: Redis) -> None:
    webhooks = WebhookStore(redis, store.prefix)
    slow = cancelled_job(store, "http://slow.example/a")
    fields = redis.hgetall(f"{store.prefix}job:{slow}")
    pipe = redis.pipeline()
    for number in range(1200):
        pipe.hset(f"{store.prefix}job:slow{number}", mapping={"webhook": fields["webhook"], "key_id": ""})
        pipe.zadd(webhooks.due, {f"slow{number}": number})
    pipe.execute()
    other = cancelled_job(store, "http://fast.example/a")
    claimed = [webhooks.claim(["slow.example"]) for _ in range(4)]
    assert [one for one in claimed if one] == [other]
    assert webhooks.claim(), "the events of the busy receiver are all put off"
