"""Webhooks that are registered once and receive the events of every job and batch of their API key.

The script that ends a job reads `hooks:KEY` (endpoint id to events), so an endpoint costs only one entry per event in
the set of due events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from redis import Redis
from redis.client import Pipeline

from sentiloc.app.ids import new_id
from sentiloc.app.jobs.options import webhook_host
from sentiloc.app.signing import new_webhook_secret

EventType = Literal["job.succeeded", "job.failed", "job.cancelled", "batch.finished"]
# Every event of the key is sent once per endpoint, so they multiply the work.
MAX_ENDPOINTS = 20
# Two secrets sign during a rotation, so that the receiver can switch at any time.
SECRETS_KEPT = 2
_ALL = "*"


class TooManyEndpointsError(Exception):
    """The API key has the maximum number of endpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registered webhook. `events` None stands for all; `secrets` sign, newest first. Times are Unix seconds.

    `key_id` is the API key whose events are sent; empty without keys.
    """

    id: str
    key_id: str
    url: str
    events: tuple[str, ...] | None
    secrets: tuple[str, ...]
    description: str
    enabled: bool
    created_at: float


class EndpointStore:
    """All registered webhooks. Raises `redis.RedisError`."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    def create(
        self, key_id: str, url: str, events: Sequence[str] | None, secret: str | None, description: str
    ) -> Endpoint:
        """Register a webhook; raises `TooManyEndpointsError`."""
        endpoint = Endpoint(
            id=new_id(),
            key_id=key_id,
            url=url,
            events=None if events is None else tuple(events),
            secrets=(secret or new_webhook_secret(),),
            description=description,
            enabled=True,
            created_at=time.time(),
        )
        order = self._order(key_id)

        def write(pipe: Pipeline) -> None:
            if int(pipe.zcard(order)) >= MAX_ENDPOINTS:
                raise TooManyEndpointsError
            pipe.multi()
            self._write(pipe, endpoint)

        self._redis.transaction(write, order)
        return endpoint

    def get(self, endpoint_id: str) -> Endpoint | None:
        """One endpoint; None if there is none with this id."""
        fields = cast("dict[str, str]", self._redis.hgetall(self._key(endpoint_id)))
        return _parse(fields) if fields else None

    def of_key(self, key_id: str) -> list[Endpoint]:
        """The endpoints of an API key, oldest first."""
        ids = cast("list[str]", self._redis.zrange(self._order(key_id), 0, -1))
        found = (self.get(endpoint_id) for endpoint_id in ids)
        return [endpoint for endpoint in found if endpoint is not None]

    def update(self, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint | None:
        """The endpoint with changed fields; None if it was deleted."""
        return self._change(endpoint_id, lambda found: replace(found, **changes))

    def rotate(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint with a new secret; None if it was deleted.

        The previous secret signs too, until the next rotation.
        """
        new = new_webhook_secret()
        return self._change(
            endpoint_id, lambda found: replace(found, secrets=(new, *found.secrets)[:SECRETS_KEPT])
        )

    def delete(self, endpoint: Endpoint) -> None:
        """Remove an endpoint. Events that are due to it are dropped."""
        pipe = self._redis.pipeline()
        pipe.delete(self._key(endpoint.id), hook_log_key(self._prefix, endpoint.id))
        pipe.hdel(self._subscribed(endpoint.key_id), endpoint.id)
        pipe.zrem(self._order(endpoint.key_id), endpoint.id)
        pipe.execute()
        # After the subscription, so that no event is added any more.
        for entry, _ in self._redis.zscan_iter(f"{self._prefix}webhooks", f"*~{endpoint.id}", 1000):
            pipe.zrem(f"{self._prefix}webhooks", entry)
            pipe.delete(f"{self._prefix}webhook:{entry}")
        pipe.execute()

    def _change(self, endpoint_id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Read, change and write an endpoint in one step: nobody else's change is lost, and a deleted one stays so."""
        key = self._key(endpoint_id)
        changed: list[Endpoint] = []

        def write(pipe: Pipeline) -> None:
            # Called again if somebody has changed the endpoint since it was read.
            changed.clear()
            fields = cast("dict[str, str]", pipe.hgetall(key))
            pipe.multi()
            if fields:
                changed.append(change(_parse(fields)))
                self._write(pipe, changed[0])

        self._redis.transaction(write, key)
        return changed[0] if changed else None

    def _write(self, pipe: Pipeline, endpoint: Endpoint) -> None:
        fields = {
            "id": endpoint.id,
            "key_id": endpoint.key_id,
            "url": endpoint.url,
            # Read by claim.lua, which must skip busy hosts without parsing addresses.
            "webhook": webhook_host(endpoint.url),
            "events": _ALL if endpoint.events is None else ",".join(endpoint.events),
            "secrets": " ".join(endpoint.secrets),
            "description": endpoint.description,
            "enabled": "1" if endpoint.enabled else "",
            "created_at": repr(endpoint.created_at),
        }
        pipe.hset(self._key(endpoint.id), mapping=cast("dict[Any, Any]", fields))
        pipe.zadd(self._order(endpoint.key_id), {endpoint.id: endpoint.created_at})
        if endpoint.enabled:
            pipe.hset(self._subscribed(endpoint.key_id), endpoint.id, fields["events"])
        else:
            pipe.hdel(self._subscribed(endpoint.key_id), endpoint.id)

    def _key(self, endpoint_id: str) -> str:
        return hook_key(self._prefix, endpoint_id)

    def _order(self, key_id: str) -> str:
        return f"{self._prefix}hooklist:{key_id}"

    def _subscribed(self, key_id: str) -> str:
        return f"{self._prefix}hooks:{key_id}"


def hook_key(prefix: str, endpoint_id: str) -> str:
    """The Redis key of an endpoint's record."""
    return f"{prefix}hook:{endpoint_id}"


def hook_log_key(prefix: str, endpoint_id: str) -> str:
    """The Redis key of an endpoint's log of deliveries."""
    return f"{prefix}hooklog:{endpoint_id}"


def _parse(fields: Mapping[str, str]) -> Endpoint:
    events = fields["events"]
    return Endpoint(
        id=fields["id"],
        key_id=fields["key_id"],
        url=fields["url"],
        events=None if events == _ALL else tuple(filter(None, events.split(","))),
        secrets=tuple(fields["secrets"].split()),
        description=fields["description"],
        enabled=bool(fields["enabled"]),
        created_at=float(fields["created_at"]),
    )
