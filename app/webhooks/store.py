"""Webhooks as the Standard Webhooks specification defines them: bodies, signatures and the log of deliveries.

The script that ends a job also adds its id to a sorted set of due events, so no event is lost. Senders
(`webhooks.sender`) take due events and put them back with a later time until a receiver accepts them. A job has one
event, whose id stays the same for every delivery.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

from redis import Redis

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import job_key
from sentiloc.app.redis.scripts import Scripts
from sentiloc.app.schemas.jobs import job_body

KEPT_DELIVERIES = 100
_MARGIN_SECONDS = 60.0
_BUSY_SECONDS = 3.0


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


def event_id(job_id: str) -> str:
    """The id of a job's event. A receiver uses it to recognize repeated deliveries."""
    return f"msg_{job_id}"


def event_body(record: JobRecord) -> bytes:
    """The event of a finished job."""
    moment = datetime.fromtimestamp(record.finished_at or record.updated_at, UTC)
    body = {
        "type": f"job.{record.state}",
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "data": job_body(record, None, record.base).model_dump(mode="json"),
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def signed_headers(secrets: Sequence[str], job_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks; one signature for each secret, while secrets are exchanged."""
    signed = f"{event_id(job_id)}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id(job_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(secret, signed) for secret in secrets),
    }


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


class WebhookStore:
    """Due events and the log of deliveries. Raises `redis.RedisError`."""

    def __init__(self, redis: Redis, prefix: str, timeout_seconds: float = 10.0) -> None:
        # A sender's hold outlasts the longest delivery, otherwise a second sender would deliver the event again.
        self._hold_seconds = 2 * timeout_seconds + _MARGIN_SECONDS
        self._redis = redis
        self._prefix = prefix
        self._scripts = Scripts(redis, "sentiloc.app.webhooks", prefix, prelude="clock")

    @property
    def due(self) -> str:
        """The Redis key of the due events: job ids by the time of the next attempt."""
        return f"{self._prefix}webhooks"

    def claim(self, busy_hosts: Collection[str] = (), busy_owners: Collection[str] = ()) -> str | None:
        """Take a job whose event is due, for longer than its delivery may take; None if there is none.

        Events for `busy_hosts`, or of the API keys `busy_owners`, wait a few seconds more.
        """
        limits = (self._hold_seconds, job_key(self._prefix, ""), _BUSY_SECONDS, len(busy_hosts))
        argv: list[str | float] = [*limits, *busy_hosts, *busy_owners]
        return str(self._scripts.run("claim", [self.due], argv)) or None

    def drop(self, job_id: str) -> None:
        """Remove a job that has nothing to send."""
        self._redis.zrem(self.due, job_id)

    def settle(
        self, job_id: str, before: WebhookStatus, state: WebhookState, delivery: Delivery, wait: float
    ) -> None:
        """Log a delivery attempt. A pending event is due again after `wait` seconds."""
        keys = [
            self.due,
            self._record(job_id),
            self._log(job_id),
            job_key(self._prefix, job_id),
            f"{self._prefix}figures",
        ]
        entry = json.dumps(asdict(delivery))
        outcome: list[str | float] = [state, delivery.attempt, wait, entry]
        self._scripts.run("settle", keys, [job_id, before.round, *outcome, KEPT_DELIVERIES])

    def send_again(self, job_id: str) -> bool:
        """Make the event due now, with a new count of attempts; False if the job does not exist."""
        keys = [self.due, self._record(job_id), job_key(self._prefix, job_id)]
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
