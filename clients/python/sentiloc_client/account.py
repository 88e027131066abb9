"""Requests and models for API keys and registered webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict
from urllib.parse import quote

from .answers import nothing, one
from .calls import API, Call
from .decoding import encode

Scope = Literal["read", "write", "metrics", "admin"]
EventType = str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKey:
    """The caller's key. On a server that needs no keys, only `required` is set."""

    required: bool
    id: str | None = None
    name: str | None = None
    scopes: tuple[Scope, ...] = ()
    rate_per_minute: int | None = None
    quota_minutes: float | None = None
    used_minutes: float | None = None
    max_stored_bytes: int | None = None
    stored_bytes: int | None = None
    max_feedback_bytes: int | None = None
    feedback_bytes: int | None = None
    quota_resets_at: datetime | None = None
    expires_at: datetime | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key. None is no limit. Only a new or rotated key has `key`, the text that requests send."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    rate_per_minute: int | None
    quota_minutes: float | None
    weight: float
    s3_prefixes: tuple[str, ...]
    used_minutes: float
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    key: str | None = None
    webhook_secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWebhook:
    """A webhook of a key. `events` is None for all. Only a new or rotated one has `secret`."""

    id: str
    url: str
    events: tuple[EventType, ...] | None
    description: str
    enabled: bool
    created_at: datetime
    secrets: int
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """One delivery attempt. `status` is None and `error` is set if there was no answer."""

    event_id: str
    at: datetime
    seconds: float
    attempt: int
    status: int | None
    error: str | None


class KeyOptions(TypedDict, total=False):
    """Options of a new key. The server has a default for each."""

    scopes: tuple[Scope, ...]
    rate_per_minute: int
    quota_minutes: float
    expires_at: datetime
    weight: float
    s3_prefixes: tuple[str, ...]


class WebhookOptions(TypedDict, total=False):
    """Options of a new webhook; `events` None is all, and a secret is made if there is none."""

    events: tuple[EventType, ...] | None
    secret: str
    description: str


class WebhookChanges(TypedDict, total=False):
    """What changes in a webhook."""

    url: str
    events: tuple[EventType, ...] | None
    description: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    keys: tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Webhooks:
    webhooks: tuple[RegisteredWebhook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deliveries:
    deliveries: tuple[SentEvent, ...]


def own_key() -> Call[OwnKey]:
    """The caller's key."""
    return Call(method="GET", path=f"{API}/key", parse=one(OwnKey))


def keys() -> Call[tuple[ApiKey, ...]]:
    """Every key, oldest first."""
    return Call(method="GET", path=f"{API}/keys", parse=lambda answer: one(_Keys)(answer).keys)


def create_key(name: str, options: Mapping[str, Any]) -> Call[ApiKey]:
    """Create a key. Not repeated by itself: each request creates one."""
    asked = {"name": name, **_plain(options)}
    return Call(method="POST", path=f"{API}/keys", parse=one(ApiKey), json=asked, repeatable=False)


def revoke_key(key_id: str) -> Call[ApiKey]:
    """Revoke a key."""
    return Call(method="DELETE", path=_key(key_id), parse=one(ApiKey))


def rotate_key(key_id: str, grace_seconds: float) -> Call[ApiKey]:
    """Replace a key's text. Not repeated by itself: the first answer's text would be lost."""
    params = {"grace_seconds": grace_seconds}
    path = _key(key_id, "/rotate")
    return Call(method="POST", path=path, parse=one(ApiKey), params=params, repeatable=False)


def webhooks() -> Call[tuple[RegisteredWebhook, ...]]:
    """The webhooks of the key, oldest first."""
    return Call(method="GET", path=f"{API}/webhooks", parse=lambda answer: one(_Webhooks)(answer).webhooks)


def webhook(webhook_id: str) -> Call[RegisteredWebhook]:
    """One webhook."""
    return Call(method="GET", path=_webhook(webhook_id), parse=one(RegisteredWebhook))


def create_webhook(url: str, options: Mapping[str, Any]) -> Call[RegisteredWebhook]:
    """Register a webhook. Not repeated by itself: each request registers one."""
    asked = {"url": url, **_plain(options)}
    path = f"{API}/webhooks"
    return Call(method="POST", path=path, parse=one(RegisteredWebhook), json=asked, repeatable=False)


def update_webhook(webhook_id: str, changes: Mapping[str, Any]) -> Call[RegisteredWebhook]:
    """Change a webhook."""
    return Call(method="PATCH", path=_webhook(webhook_id), parse=one(RegisteredWebhook), json=_plain(changes))


def delete_webhook(webhook_id: str) -> Call[bool]:
    """Delete a webhook."""
    return Call(method="DELETE", path=_webhook(webhook_id), parse=nothing)


def rotate_webhook(webhook_id: str) -> Call[RegisteredWebhook]:
    """A new signing secret. Not repeated by itself: a second rotation would end the first secret."""
    path = _webhook(webhook_id, "/rotate")
    return Call(method="POST", path=path, parse=one(RegisteredWebhook), repeatable=False)


def deliveries(webhook_id: str) -> Call[tuple[SentEvent, ...]]:
    """The last delivery attempts, oldest first."""
    path = _webhook(webhook_id, "/deliveries")
    return Call(method="GET", path=path, parse=lambda answer: one(_Deliveries)(answer).deliveries)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else encode(value)
        for name, value in options.items()
    }


def _key(key_id: str, rest: str = "") -> str:
    return f"{API}/keys/{quote(key_id, safe='')}{rest}"


def _webhook(webhook_id: str, rest: str = "") -> str:
    return f"{API}/webhooks/{quote(webhook_id, safe='')}{rest}"
