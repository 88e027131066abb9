"""Registered webhooks that are changed by several requests at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from redis import Redis

from sentiloc.app.jobs.record import NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.webhooks.endpoints import MAX_ENDPOINTS, Endpoint, EndpointStore, TooManyEndpointsError
from sentiloc.app.webhooks.store import Delivery, WebhookState, WebhookStore

URL = "https://edit.example/hooks"


@pytest.fixture
def endpoints(redis: Redis, settings: Settings) -> EndpointStore:
    return EndpointStore(redis, settings.redis_prefix)


def register(endpoints: EndpointStore) -> Endpoint | None:
    try:
        return endpoints.create("key", URL, None, None, "")
    except TooManyEndpointsError:
        return None


def test_requests_at_once_do_not_exceed_the_limit(endpoints: EndpointStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: register(endpoints), range(2 * MAX_ENDPOINTS)))
    assert sum(one is not None for one in made) == len(endpoints.of_key("key")) == MAX_ENDPOINTS


def test_a_deleted_webhook_stays_deleted(endpoints: EndpointStore, redis: Redis, settings: Settings) -> None:
    """A change, a rotation or a receiver's 410 may come just after the deletion."""
    made = register(endpoints)
    assert made is not None
    endpoints.delete(made)
    assert endpoints.update(made.id, {"enabled": True}) is None
    assert endpoints.rotate(made.id) is None
    assert list(redis.scan_iter(f"{settings.redis_prefix}hook*")) == []


def test_no_change_is_lost_to_another(endpoints: EndpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is rotated while a request changes the description: the client keeps the secret that it was given."""
    made = register(endpoints)
    assert made is not None
    rotated: list[Endpoint | None] = []

    def slowly(endpoint: Endpoint, **changes: object) -> Endpoint:
        if not rotated:
            # Stands for the other request, between reading and writing.
            monkeypatch.undo()
            rotated.append(endpoints.rotate(made.id))
        return replace(endpoint, **changes)  # type: ignore[arg-type]

    monkeypatch.setattr("sentiloc.app.webhooks.endpoints.replace", slowly)
    changed = endpoints.update(made.id, {"description": "new"})
    (other,) = rotated
    assert changed is not None and other is not None
    assert (changed.description, changed.secrets) == ("new", other.secrets)
    assert endpoints.get(made.id) == changed


def test_a_webhook_that_is_deleted_while_its_event_is_sent_leaves_nothing(
    endpoints: EndpointStore, redis: Redis, settings: Settings
) -> None:
    """The job stays, as while an erasure waits for the storage. Its own deletion would not find the event."""
    made = register(endpoints)
    assert made is not None
    store, webhooks = JobStore(redis, settings.redis_prefix), WebhookStore(redis, settings.redis_prefix)
    job = store.submit(
        NewJob(source_key="uploads/a", source_name="a", source_bytes=1, model="m", key_id="key")
    )
    assert store.cancel(job.id)
    entry = webhooks.claim()
    assert entry == f"{job.id}~{made.id}"
    before = webhooks.status(entry)
    endpoints.delete(made)
    failed = Delivery(at=1.0, seconds=0.1, attempt=1, status=500, error=None)
    webhooks.settle(entry, before, WebhookState.PENDING, failed, 60.0)
    assert redis.zcard(webhooks.due) == 0
    assert list(redis.scan_iter(f"{settings.redis_prefix}webhook:*")) == []
