"""Webhooks as the Standard Webhooks specification defines them: bodies, signatures and the log of deliveries.

The script that ends a job also adds it to a sorted set of due events, once for each receiver, so no event is lost.
Senders (`webhooks.sender`) take due events and put them back with a later time until the receiver accepts them. A job
has one event, whose id stays the same for every delivery.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, cast

from redis import Redis

from sentiloc.app.redis.scripts import CLOCK, Scripts
from sentiloc.app.webhooks.endpoints import hook_key, hook_log_key
from sentiloc.app.webhooks.outbox import Entry, event_id

# More than all attempts of one event; a bound for receivers that are asked again and again.
KEPT_DELIVERIES = 100
LOG_SECONDS = 30 * 86_400
# Beyond the longest delivery, for a sender that is slowed down by a busy machine.
_MARGIN_SECONDS = 60.0
# How long an event is put off whose receiver or owner already has its share of the threads.
_BUSY_SECONDS = 3.0
# Events that one call looks at, because a script blocks Redis.
_HASTENED_AT_ONCE = 2000


class WebhookState(StrEnum):
    """The state of a job's event."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery attempt: its time (Unix seconds), its duration in seconds, and its status or error code."""

    at: float
    seconds: float
    attempt: int
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStatus:
    """The state of a job's event. `round` counts the requested redeliveries."""

    state: WebhookState
    attempts: int
    round: int
    next_at: float | None
    deliveries: tuple[Delivery, ...]


def signed_headers(secrets: Sequence[str], subject: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature for each secret, so that secrets can be rotated."""
    # The time is signed, so that a receiver can refuse an old event that is replayed.
    signed = f"{event_id(subject)}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id(subject),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(secret, signed) for secret in secrets),
    }


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


class WebhookStore:
    """Due events and the log of deliveries. Raises `redis.RedisError`."""

    def __init__(self, redis: Redis, prefix: str, timeout_seconds: float = 10.0) -> None:
        # A sender's lease outlasts the longest delivery. Otherwise a second sender would deliver the event again.
        self._hold_seconds = 2 * timeout_seconds + _MARGIN_SECONDS
        self._redis = redis
        self._prefix = prefix
        self._scripts = Scripts(redis, "sentiloc.app.webhooks", prefix, [CLOCK])

    @property
    def due(self) -> str:
        """The Redis key of the due events: job ids by the time of the next attempt."""
        return f"{self._prefix}webhooks"

    def claim(self, busy_hosts: Collection[str] = (), busy_owners: Collection[str] = ()) -> str | None:
        """Lease an entry whose event is due for longer than its delivery may take; None if there is none.

        Events for `busy_hosts`, or of the API keys `busy_owners`, wait a few seconds more.
        """
        limits = (self._hold_seconds, self._prefix, _BUSY_SECONDS, len(busy_hosts))
        argv: list[str | float] = [*limits, *busy_hosts, *busy_owners]
        return str(self._scripts.run("claim", [self.due], argv)) or None

    def hasten(self) -> int:
        """Make events due that were put off before Redis's clock was set back; returns their number."""
        argv = (self._hold_seconds, self._prefix, _HASTENED_AT_ONCE)
        return int(cast("int", self._scripts.run("hasten", [self.due], argv)))

    def drop(self, entry: str) -> None:
        """Remove an entry that has nothing to send, and what is known of it."""
        pipe = self._redis.pipeline()
        pipe.zrem(self.due, entry)
        pipe.delete(self._record(entry), self._log(entry))
        pipe.execute()

    def settle(
        self, text: str, before: WebhookStatus, state: WebhookState, delivery: Delivery, wait: float
    ) -> None:
        """Log a delivery attempt of an entry. A pending event is due again after `wait` seconds."""
        entry = Entry(text)
        keys = [
            self.due,
            self._record(text),
            self._log(text),
            entry.record_key(self._prefix),
            f"{self._prefix}figures",
        ]
        logged = asdict(delivery)
        if entry.endpoint:
            keys += [hook_key(self._prefix, entry.endpoint), hook_log_key(self._prefix, entry.endpoint)]
            logged = {"event_id": entry.event_id, **logged}
        outcome: list[str | float] = [state, delivery.attempt, wait, json.dumps(logged)]
        kept = 0 if entry.is_own else LOG_SECONDS
        self._scripts.run("settle", keys, [text, before.round, *outcome, KEPT_DELIVERIES, kept])

    def endpoint_log(self, endpoint_id: str) -> list[tuple[str, Delivery]]:
        """The last deliveries to a registered webhook, oldest first, each with the id of its event."""
        rows = cast("list[str]", self._redis.lrange(hook_log_key(self._prefix, endpoint_id), 0, -1))
        found = [json.loads(row) for row in rows]
        return [(row.pop("event_id"), Delivery(**row)) for row in found]

    def send_again(self, job_id: str) -> bool:
        """Make the event due now, with a new count of attempts; False if the job does not exist."""
        keys = [self.due, self._record(job_id), Entry(job_id).record_key(self._prefix)]
        return bool(self._scripts.run("send_again", keys, [job_id]))

    def status(self, job_id: str) -> WebhookStatus:
        """The state of a job's event, including one that was never sent."""
        pipe = self._redis.pipeline()
        pipe.hgetall(self._record(job_id))
        pipe.lrange(self._log(job_id), 0, -1)
        pipe.zscore(self.due, job_id)
        fields, entries, score = pipe.execute()
        state = WebhookState(fields.get("state", WebhookState.PENDING))
        return WebhookStatus(
            state=state,
            attempts=int(fields.get("attempts", 0)),
            round=int(fields.get("round", 0)),
            next_at=cast("float | None", score) if state is WebhookState.PENDING else None,
            deliveries=tuple(_delivery(entry) for entry in entries),
        )

    def _record(self, job_id: str) -> str:
        return f"{self._prefix}webhook:{job_id}"

    def _log(self, job_id: str) -> str:
        return f"{self._prefix}webhooklog:{job_id}"


def _delivery(text: str) -> Delivery:
    fields = cast("dict[str, Any]", json.loads(text))
    return Delivery(**fields)
