"""The account: registered webhooks with a real receiver, usage by day, and keys managed over the API."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.daily import FIRST_DAY, today, used_by_day
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.app.webhooks.sender import WebhookSender
from sentiloc.app.webhooks.store import Delivery, WebhookState
from tests.app.asking import assert_problem
from tests.app.test_webhooks import (  # noqa: F401
    SECRET,
    Receiver,
    check,
    make_sender,
    receiver,
    send_until_settled,
    sender,
    settings,
)
from tests.support.commands import counted
from tests.support.jobs import claim
from tests.support.services import wait_for

URL = "https://media.example/holiday.mp4"


def make(client: TestClient) -> str:
    return str(client.post("/localize/url", json={"url": URL}).json()["id"])


def register(client: TestClient, url: str, **more: Any) -> dict[str, Any]:
    response = client.post("/webhooks", json={"url": url, **more})
    assert response.status_code == 201, response.text
    return dict(response.json())


def kinds(receiver: Receiver, check: Any, *secrets: str) -> list[tuple[str, str]]:  # noqa: F811
    events = [check(list(secrets), headers, body) for headers, body in receiver.seen]
    return sorted((event["type"], event["data"]["id"]) for event in events)


def test_a_registered_webhook_gets_jobs_and_batches(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
    check: Any,  # noqa: F811
) -> None:
    made = register(client, receiver.url, description="all")
    job = make(client)
    batch = client.post("/batches", json={"items": [{"url": URL}, {"url": URL}]}).json()
    store.cancel(job)
    store.cancel(batch["job_ids"][0])
    send_until_settled(sender)
    assert len(receiver.seen) == 2
    store.cancel(batch["job_ids"][1])
    send_until_settled(sender)
    expected = [("job.cancelled", one) for one in (job, *batch["job_ids"])]
    assert kinds(receiver, check, made["secret"]) == sorted([*expected, ("batch.finished", batch["id"])])
    log = client.get(f"/webhooks/{made['id']}/deliveries").json()["deliveries"]
    assert {one["event_id"] for one in log} == receiver.ids()
    assert {one["status"] for one in log} == {204}
    assert "secret" not in client.get(f"/webhooks/{made['id']}").json()


def test_a_webhook_chooses_its_events_and_can_be_stopped(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
) -> None:
    made = register(client, receiver.url, events=["batch.finished"])
    store.cancel(make(client))
    send_until_settled(sender)
    assert receiver.seen == []
    path = f"/webhooks/{made['id']}"
    assert client.patch(path, json={"events": None}).json()["events"] is None
    store.cancel(make(client))
    send_until_settled(sender)
    assert len(receiver.seen) == 1
    assert client.patch(path, json={"enabled": False}).json()["enabled"] is False
    store.cancel(make(client))
    send_until_settled(sender)
    client.patch(path, json={"enabled": True})
    receiver.statuses = [500, 410]
    store.cancel(make(client))
    send_until_settled(sender)
    assert len(receiver.seen) == 3
    # 410 is how a receiver unsubscribes.
    assert client.get(path).json()["enabled"] is False
    client.patch(path, json={"enabled": True})
    store.cancel(make(client))
    assert client.delete(path).status_code == 204
    send_until_settled(sender)
    assert len(receiver.seen) == 3
    assert_problem(client.get(path), 404, "webhook_not_found")


def test_secrets_are_exchanged_without_a_lost_event(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
    check: Any,  # noqa: F811
) -> None:
    made = register(client, receiver.url)
    new = client.post(f"/webhooks/{made['id']}/rotate").json()
    assert new["secret"] != made["secret"]
    assert new["secrets"] == 2
    store.cancel(make(client))
    send_until_settled(sender)
    for secret in (made["secret"], new["secret"]):
        assert kinds(receiver, check, secret)
    client.post(f"/webhooks/{made['id']}/rotate")
    store.cancel(make(client))
    send_until_settled(sender)
    with pytest.raises(ValueError, match="signed"):
        kinds(receiver, check, made["secret"])


def test_a_batch_has_a_webhook_of_its_own(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
    check: Any,  # noqa: F811
) -> None:
    secret = register(client, "https://edit.example/x")["secret"]
    hook = {"url": receiver.url, "secret": secret}
    batch = client.post("/batches", json={"items": [{"url": URL}], "webhook": hook}).json()
    assert secret not in str(client.get(batch["links"]["self"]).json())
    store.cancel(batch["job_ids"][0])
    for _ in range(5):
        sender.send_one()
    assert kinds(receiver, check, secret) == [("batch.finished", batch["id"])]
    assert receiver.ids() == {f"msg_{batch['id']}"}


def test_events_on_their_way_to_a_stopped_webhook_are_dropped(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
) -> None:
    stopped, deleted = (register(client, receiver.url) for _ in range(2))
    job = make(client)
    store.cancel(job)
    client.patch(f"/webhooks/{stopped['id']}", json={"enabled": False})
    # As by a request that deletes the webhook while a sender holds its event.
    store.redis.delete(f"{store.prefix}hook:{deleted['id']}")
    assert store.redis.zcard(sender._webhooks.due) == 2
    send_until_settled(sender)
    assert receiver.seen == []


def test_a_registered_webhook_may_have_a_secret_of_the_client(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
    check: Any,  # noqa: F811
) -> None:
    assert register(client, receiver.url, secret=SECRET)["secret"] == SECRET
    job = make(client)
    store.cancel(job)
    send_until_settled(sender)
    assert kinds(receiver, check, SECRET) == [("job.cancelled", job)]


def test_nothing_is_sent_before_the_end_and_an_event_has_the_time_of_the_end(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
) -> None:
    hook, own = register(client, receiver.url), {"url": receiver.url, "secret": SECRET}
    batch = client.post("/batches", json={"items": [{"url": URL}], "webhook": own}).json()
    (job,) = batch["job_ids"]
    receivers = {
        f"{subject}{to}" for subject in (job, f"batch.{batch['id']}") for to in ("", f"~{hook['id']}")
    }
    # As after a repair of the records' states.
    store.redis.zadd(sender._webhooks.due, dict.fromkeys(receivers, 1.0))
    send_until_settled(sender)
    assert receiver.seen == []
    store.cancel(job)
    send_until_settled(sender)
    shown = [client.get(f"/batches/{batch['id']}").json(), client.get(f"/jobs/{job}").json()]
    ends = {one["id"]: one["finished_at"] for one in shown}
    events = [json.loads(body) for _, body in receiver.seen]
    assert len(events) == 3
    for event in events:
        assert parsed(event["timestamp"]) == pytest.approx(parsed(ends[event["data"]["id"]]), abs=0.001)


def parsed(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("statuses", [[], [503] * 3], ids=["delivered", "waiting"])
def test_events_of_registered_webhooks_are_deleted_with_jobs_and_batches(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
    statuses: list[int],
) -> None:
    hook = register(client, receiver.url)
    own = {"url": receiver.url, "secret": SECRET}
    batch = client.post("/batches", json={"items": [{"url": URL}], "webhook": own}).json()
    store.cancel(batch["job_ids"][0])
    receiver.statuses = [*statuses]
    for _ in range(3):
        wait_for(sender.send_one)
    assert store.redis.zcard(f"{store.prefix}webhooks") == len(statuses)
    assert client.delete(f"/batches/{batch['id']}").status_code == 204
    assert client.delete(f"/webhooks/{hook['id']}").status_code == 204
    assert list(store.redis.scan_iter(f"{store.prefix}webhook*")) == []


def test_a_delivery_that_ends_after_the_deletion_leaves_nothing(
    client: TestClient,
    store: JobStore,
    receiver: Receiver,  # noqa: F811
    sender: WebhookSender,  # noqa: F811
) -> None:
    hook, job = register(client, receiver.url), make(client)
    store.cancel(job)
    claimed = sender._webhooks.claim()
    assert claimed == f"{job}~{hook['id']}"
    before = sender._webhooks.status(claimed)
    client.delete(f"/webhooks/{hook['id']}")
    late = Delivery(at=0.0, seconds=0.1, attempt=1, status=503, error=None)
    sender._webhooks.settle(claimed, before, WebhookState.PENDING, late, 0.0)
    assert not store.redis.exists(f"{store.prefix}hooklog:{hook['id']}")
    client.delete(f"/jobs/{job}")
    send_until_settled(sender)
    assert list(store.redis.scan_iter(f"{store.prefix}webhook*")) == []


def test_wrong_webhooks_are_refused(client: TestClient) -> None:
    for wrong in (
        *({}, {"url": ""}, {"url": URL, "events": []}, {"url": URL, "events": ["job.queued"]}),
        {"url": URL, "secret": "x"},
    ):
        code = "url_forbidden" if wrong.get("url") == "" else "invalid_request"
        assert_problem(client.post("/webhooks", json=wrong), 422, code)
    assert_problem(client.post("/webhooks", json={"url": "http://10.0.0.1/"}), 422, "url_forbidden")
    for _ in range(20):
        register(client, URL)
    assert_problem(client.post("/webhooks", json={"url": URL}), 409, "too_many_webhooks")
    assert len(client.get("/webhooks").json()["webhooks"]) == 20


def test_usage_is_counted_by_day(client: TestClient, store: JobStore) -> None:
    for _ in range(2):
        record = claim(store, make(client), "one", 30.0)
        assert record is not None
        assert store.succeed(record.lease, "results/abcdefgh.1.json", media_seconds=90.5)
    store.cancel(make(client))
    today = datetime.now(UTC).date().isoformat()
    found = client.get("/usage").json()
    assert found["days"] == [
        {"day": today, "key_id": None, "succeeded": 2, "failed": 0, "cancelled": 1, "media_seconds": 181.0}
    ]
    rows = list(csv.DictReader(io.StringIO(client.get("/usage?format=csv").text)))
    assert (rows[0]["day"], rows[0]["media_seconds"]) == (today, "181.0")
    assert client.get("/usage?from=2020-01-01&to=2020-02-01").json()["days"] == []
    for query in (
        "from=2026-02-01&to=2026-01-01",
        "from=2020-01-01",
        "from=x",
        "format=xml",
        "to=0001-01-01",
    ):
        assert_problem(client.get(f"/usage?{query}"), 422, "invalid_request")


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:  # noqa: F811
    chosen = settings.model_copy(update={"api_keys": "on"})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client


def test_keys_are_managed_over_the_api(guarded: TestClient, redis: Redis, settings: Settings) -> None:  # noqa: F811
    keys = KeyStore(redis, settings.redis_prefix)
    admin, plain = (
        {"X-API-Key": keys.create(scope, [scope], rate_per_minute=0).text}
        for scope in (Scope.ADMIN, Scope.WRITE)
    )
    for method, path in (
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("DELETE", "/keys/abc"),
        ("POST", "/keys/abc/rotate"),
    ):
        assert_problem(guarded.request(method, path, headers=plain), 403, "forbidden")
    asked = {"name": "edit", "quota_minutes": 60, "s3_prefixes": ["s3://footage/edit"], "weight": 2}
    made = guarded.post("/keys", json=asked, headers=admin)
    assert made.status_code == 201, made.text
    new = made.json()
    own = {"X-API-Key": new["key"]}
    assert guarded.get("/key", headers=own).json()["name"] == "edit"
    assert new["key"] not in str(redis.hgetall(f"{settings.redis_prefix}key:{new['id']}"))
    listed = {one["id"]: one for one in guarded.get("/keys", headers=admin).json()["keys"]}
    assert listed[new["id"]]["s3_prefixes"] == ["s3://footage/edit"]
    assert "key" not in listed[new["id"]]
    path = f"/keys/{new['id']}"
    second = guarded.post(f"{path}/rotate", headers=admin).json()["key"]
    assert guarded.get("/key", headers=own).status_code == 401
    third = guarded.post(f"{path}/rotate?grace_seconds=600", headers=admin).json()["key"]
    for text in (second, third):
        assert guarded.get("/key", headers={"X-API-Key": text}).status_code == 200
    redis.hset(f"{settings.redis_prefix}key:{new['id']}", "old_until", repr(time.time() - 1))
    assert guarded.get("/key", headers={"X-API-Key": second}).status_code == 401
    assert guarded.delete(path, headers=admin).json()["revoked_at"] is not None
    assert guarded.get("/key", headers={"X-API-Key": third}).status_code == 401
    assert_problem(guarded.post(f"{path}/rotate", headers=admin), 404, "key_not_found")
    assert_problem(guarded.delete("/keys/abc", headers=admin), 404, "key_not_found")
    for wrong in (
        *({}, {"name": ""}, {"name": "x", "scopes": []}, {"name": "x", "s3_prefixes": ["http://a"]}),
        {"name": "x", "expires_at": "2020-01-01T00:00:00Z"},
        *({"name": "x", "weight": weight} for weight in (0, 0.009, 101)),
    ):
        assert_problem(guarded.post("/keys", json=wrong, headers=admin), 422, "invalid_request")


def test_a_list_of_all_usage_asks_for_the_keys_of_each_day_only(redis: Redis, store: JobStore) -> None:
    prefix, last = store.prefix, today()
    names = ["", "erased", *(f"key{number}" for number in range(50))]
    number = (last - FIRST_DAY).days
    for day in (number - 9, number - 4):
        redis.sadd(f"{prefix}used:{day}", "key7")
        redis.hset(f"{prefix}daily:key7:{day}", "succeeded", 3)
    # Before the first day whose owners are known, every key is asked for.
    redis.hset(f"{prefix}daily:key3:{number - 12}", "failed", 1)
    first = last - timedelta(days=6)
    with counted(redis, "hgetall") as asked:
        found = [one for day in used_by_day(redis, prefix, names, first, last) for one in day]
    assert [(one.key_id, one.succeeded) for one in found] == [("key7", 3)]
    assert asked == [1]
    everything = used_by_day(redis, prefix, names, last - timedelta(days=20), last)
    assert [one.key_id for day in everything for one in day] == ["key3", "key7", "key7"]


def test_the_end_of_a_job_notes_its_owner_for_the_day(
    client: TestClient, redis: Redis, store: JobStore
) -> None:
    store.cancel(make(client))
    (name,) = redis.scan_iter(f"{store.prefix}used:*")
    assert redis.smembers(name) == {""}
    assert 0 < int(redis.ttl(name)) <= 400 * 86_400


def test_keys_are_listed_page_by_page(guarded: TestClient, redis: Redis, settings: Settings) -> None:  # noqa: F811
    keys = KeyStore(redis, settings.redis_prefix)
    guarded.headers["X-API-Key"] = keys.create("admin", [Scope.ADMIN], rate_per_minute=0).text
    made = [keys.create(f"key {number}", [Scope.READ], rate_per_minute=0).key.name for number in range(4)]
    with counted(redis, "hgetall") as asked:
        whole = guarded.get("/keys").json()
    assert ([one["name"] for one in whole["keys"]], whole["next_cursor"]) == (["admin", *made], None)
    # One for each key, and those of the guard.
    assert asked[0] <= 10
    seen, cursor = [], ""
    while cursor is not None:
        page = guarded.get("/keys", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen.append([one["name"] for one in page["keys"]])
        cursor = page["next_cursor"]
    assert seen == [["admin", made[0]], made[1:3], made[3:]]
    assert_problem(guarded.get("/keys?cursor=x"), 422, "invalid_cursor")
    assert_problem(guarded.get("/keys?limit=0"), 422, "invalid_request")


def test_a_key_whose_expiry_cannot_be_shown_is_refused(
    guarded: TestClient,
    redis: Redis,
    settings: Settings,  # noqa: F811
) -> None:
    keys = KeyStore(redis, settings.redis_prefix)
    guarded.headers["X-API-Key"] = keys.create("admin", [Scope.ADMIN], rate_per_minute=0).text
    for end in ("9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+05:00"):
        answer = guarded.post("/keys", json={"name": "x", "expires_at": end})
        assert_problem(answer, 422, "invalid_request")
        assert answer.json()["detail"].startswith("expires_at: ")
    assert len(keys.all()) == 1
    last = "9999-12-31T23:59:59Z"
    assert guarded.post("/keys", json={"name": "x", "expires_at": last}).json()["expires_at"] == last
    # The command, and earlier releases, took any time.
    keys.create("for ever", [Scope.READ], rate_per_minute=0, expires_at=1e15)
    assert [one["expires_at"] for one in guarded.get("/keys").json()["keys"]] == [None, last, last]


def test_a_key_sees_its_own_usage_and_webhooks(guarded: TestClient, redis: Redis, settings: Settings) -> None:  # noqa: F811
    keys, both = KeyStore(redis, settings.redis_prefix), [Scope.READ, Scope.WRITE]
    one, other, admin = (
        keys.create(name, scopes, rate_per_minute=0)
        for name, scopes in (("one", both), ("other", both), ("admin", [Scope.ADMIN]))
    )
    store = JobStore(redis, settings.redis_prefix)
    for key in (one, other):
        guarded.headers["X-API-Key"] = key.text
        store.cancel(make(guarded))
    guarded.headers["X-API-Key"] = one.text
    hook = register(guarded, URL)
    assert [day["key_id"] for day in guarded.get("/usage").json()["days"]] == [one.key.id]
    assert guarded.get(f"/usage?key={other.key.id}").json()["days"] == []
    guarded.headers["X-API-Key"] = other.text
    assert_problem(guarded.get(f"/webhooks/{hook['id']}"), 404, "webhook_not_found")
    assert guarded.get("/webhooks").json()["webhooks"] == []
    guarded.headers["X-API-Key"] = admin.text
    assert {day["key_id"] for day in guarded.get("/usage").json()["days"]} == {one.key.id, other.key.id}
