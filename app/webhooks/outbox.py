"""Turns entries of the set of due events into the events that are sent.

An entry is `JOB` or `batch.BATCH` for the webhook that the job or batch itself names, followed by `~ENDPOINT` for a
webhook that is registered for the API key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.batches.record import BatchRecord
from sentiloc.app.batches.store import BatchStore, batch_key
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.schemas.batches import batch_body
from sentiloc.app.schemas.jobs import job_body
from sentiloc.app.settings import Settings
from sentiloc.app.webhooks.endpoints import EndpointStore

BATCH_MARK, ENDPOINT_MARK = "batch.", "~"
BATCH_FINISHED = "batch.finished"


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry of the set of due events."""

    text: str

    @property
    def subject(self) -> str:
        """The id of the job or the batch that has ended."""
        return self.text.partition(ENDPOINT_MARK)[0].removeprefix(BATCH_MARK)

    @property
    def is_batch(self) -> bool:
        """True if it is a batch that has ended."""
        return self.text.startswith(BATCH_MARK)

    @property
    def endpoint(self) -> str:
        """The id of the registered webhook; empty for the webhook of the job or the batch."""
        return self.text.partition(ENDPOINT_MARK)[2]

    @property
    def event_id(self) -> str:
        """The id of the event, which is the same for every receiver and every delivery."""
        return event_id(self.subject)

    @property
    def is_own(self) -> bool:
        """True for the webhook that a job itself names. Its log is kept as long as the job."""
        return not self.is_batch and not self.endpoint

    def record_key(self, prefix: str) -> str:
        """The Redis key of the job or the batch."""
        return (batch_key if self.is_batch else job_key)(prefix, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An event to send: its receiver, its body, the signing secrets, and its owner (an API key)."""

    url: str
    type: str
    body: bytes
    secrets: tuple[str, ...]
    owner: str | None


@dataclass(frozen=True, slots=True)
class Outbox:
    """Turns entries into events."""

    settings: Settings
    store: JobStore
    batches: BatchStore
    endpoints: EndpointStore
    keys: KeyStore

    def outgoing(self, entry: Entry) -> Outgoing | None:
        """The event; None if there is nothing left to send."""
        return self._of_batch(entry) if entry.is_batch else self._of_job(entry)

    def disable(self, endpoint_id: str) -> None:
        """Send nothing more to a registered webhook, because its receiver has asked for that."""
        self.endpoints.update(endpoint_id, {"enabled": False})

    def _of_job(self, entry: Entry) -> Outgoing | None:
        record = self.store.get(entry.subject)
        # The job was deleted, or its entry is older than a repair of its state.
        if record is None or not record.state.is_terminal:
            return None
        kind = f"job.{record.state}"
        if entry.endpoint:
            return self._to_endpoint(entry, kind, event_body(record))
        if not is_wanted(record) or record.options.webhook is None:
            return None
        secrets = signing_secrets(record, self.keys, self.settings)
        return Outgoing(
            url=record.options.webhook.url,
            type=kind,
            body=event_body(record),
            secrets=tuple(secrets),
            owner=record.key_id,
        )

    def _of_batch(self, entry: Entry) -> Outgoing | None:
        record = self.batches.get(entry.subject)
        if record is None or record.finished_at is None:
            return None
        body = self._batch_event(record)
        if entry.endpoint:
            return self._to_endpoint(entry, BATCH_FINISHED, body)
        if record.webhook is None:
            return None
        own = (record.webhook.secret,) if record.webhook.secret else self._secrets_of_key(record.key_id)
        return Outgoing(
            url=record.webhook.url, type=BATCH_FINISHED, body=body, secrets=own, owner=record.key_id
        )

    def _batch_event(self, record: BatchRecord) -> bytes:
        body = batch_body(record, self.batches.counts(record.id), record.base)
        return _event(BATCH_FINISHED, record.finished_at or 0.0, body.model_dump(mode="json"))

    def _to_endpoint(self, entry: Entry, kind: str, body: bytes) -> Outgoing | None:
        endpoint = self.endpoints.get(entry.endpoint)
        if endpoint is None or not endpoint.enabled:
            return None
        owner = endpoint.key_id or None
        return Outgoing(url=endpoint.url, type=kind, body=body, secrets=endpoint.secrets, owner=owner)

    def _secrets_of_key(self, key_id: str | None) -> tuple[str, ...]:
        return tuple(secrets_of_key(key_id, self.keys, self.settings))


def event_id(subject: str) -> str:
    """The id of the event of a job or batch. A receiver uses it to recognize repeated deliveries."""
    return f"msg_{subject}"


def event_body(record: JobRecord) -> bytes:
    """The event of a finished job."""
    body = job_body(record, None, record.base).model_dump(mode="json")
    return _event(f"job.{record.state}", record.finished_at or record.updated_at, body)


def is_wanted(record: JobRecord) -> bool:
    """True if the job has ended and its webhook subscribes to this event."""
    webhook = record.options.webhook
    return webhook is not None and record.state.is_terminal and webhook.wants(f"job.{record.state}")


def signing_secrets(record: JobRecord, keys: KeyStore, settings: Settings) -> list[str]:
    """The secrets that sign the job's event: the webhook's own, else its API key's, else the server's."""
    webhook = record.options.webhook
    if webhook is not None and webhook.secret is not None:
        return [webhook.secret]
    return secrets_of_key(record.key_id, keys, settings)


def secrets_of_key(key_id: str | None, keys: KeyStore, settings: Settings) -> list[str]:
    """The secrets of an API key, or the server's own without one."""
    if key_id is not None:
        return keys.webhook_secrets(key_id)
    return [settings.webhook_secret.get_secret_value()] if settings.webhook_secret else []


def _event(kind: str, at: float, data: dict[str, Any]) -> bytes:
    moment = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    event = {"type": kind, "timestamp": moment, "data": data}
    # Serialized once: the signature covers exactly these bytes.
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
