"""API keys in Redis: creation, listing, revocation, and the lookup for each request.

A key is `sentiloc_ID_SECRET` with a secret of 256 random bits, of which the SHA-256 is stored. Random secrets cannot be
guessed from a dictionary, so a slow password hash would add nothing but latency.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from sentiloc.app.access.caller import Caller, Scope
from sentiloc.app.access.usage import as_minutes, usage_key, used_minutes
from sentiloc.app.signing import new_webhook_secret

_MARK = "sentiloc"
# The id only finds the record; the secret protects it. Short ids are easy to read out.
_ID_BYTES = 6
_SECRET_BYTES = 32
# Two secrets sign during a rotation, so that the receiver can switch at any time.
_WEBHOOK_SECRETS = 2
# Keys read in one round trip. Redis answers other clients between two round trips.
_CHUNK = 500
_NO_DIGEST = "-" * 64
"""Stands for a missing digest. It has the length of a digest, but no text hashes to it."""
_NEVER = "-"
"""The digest of a key without a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The record of a key, without its secret. Times are Unix seconds. A limit of 0 means unlimited.

    `weight` is the key's share of the queue: a key of weight 2 gets two turns for every turn of a key of weight 1.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    rate_per_minute: int
    quota_minutes: float
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    weight: float = 1.0
    s3_prefixes: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        """True unless the key is revoked or expired."""
        return self.revoked_at is None and (self.expires_at is None or time.time() < self.expires_at)

    @property
    def caller(self) -> Caller:
        """The caller that this key stands for."""
        return Caller(key_id=self.id, scopes=self.scopes, s3_prefixes=self.s3_prefixes)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key with its text, which is shown only once."""

    key: ApiKey
    text: str
    webhook_secret: str


def record_key(prefix: str, key_id: str) -> str:
    """The Redis key of an API key's record."""
    return f"{prefix}key:{key_id}"


def split_key(text: str) -> tuple[str, str]:
    """The id of a key and the digest of its secret. The id is empty for a malformed key; no key has an empty id."""
    mark, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    is_key = mark == _MARK and len(key_id) == 2 * _ID_BYTES and key_id.isalnum() and key_id.isascii()
    # The digest is also computed for a malformed key, so that both take the same time.
    return (key_id if is_key else "", hashlib.sha256(secret.encode()).hexdigest())


def check_key(fields: Mapping[str, str], digest: str) -> ApiKey | None:
    """The key of a record if it is valid and the digest matches, else None. Takes the same time without a record."""
    # Constant time, and the same work without a record, so that timing does not reveal which ids exist.
    is_right = hmac.compare_digest(fields.get("digest", _NO_DIGEST), digest)
    # After a rotation the previous text works until its grace time ends.
    is_old = hmac.compare_digest(fields.get("old_digest") or _NO_DIGEST, digest)
    if is_old and time.time() < float(fields.get("old_until") or 0):
        is_right = True
    if not fields or not is_right:
        return None
    key = _parse(fields)
    return key if key.is_valid else None


def parse_key(fields: Mapping[str, str]) -> ApiKey | None:
    """The key of a record; None without one."""
    return _parse(fields) if fields else None


class KeyStore:
    """All keys. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        rate_per_minute: int,
        quota_minutes: float = 0.0,
        expires_at: float | None = None,
        weight: float = 1.0,
        s3_prefixes: Iterable[str] = (),
    ) -> NewKey:
        """Create a key. Its text cannot be read again later."""
        key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        webhook_secret = new_webhook_secret()
        fields = {
            "id": key_id,
            "name": name,
            "digest": hashlib.sha256(secret.encode()).hexdigest(),
            "scopes": ",".join(sorted(set(scopes))),
            "rate_per_minute": str(rate_per_minute),
            "quota_minutes": repr(quota_minutes),
            "created_at": repr(time.time()),
            "expires_at": "" if expires_at is None else repr(expires_at),
            "webhook_secrets": webhook_secret,
            "weight": repr(weight),
            "s3_prefixes": json.dumps(list(s3_prefixes)),
        }
        pipe = self._redis.pipeline()
        pipe.hset(record_key(self._prefix, key_id), mapping=cast("dict[Any, Any]", fields))
        # A sorted set keeps the order of creation for the list.
        pipe.zadd(f"{self._prefix}keys", {key_id: float(fields["created_at"])})
        pipe.execute()
        return NewKey(_parse(fields), f"{_MARK}_{key_id}_{secret}", webhook_secret)

    def upsert_person_key(
        self, key_id: str, name: str, scopes: Iterable[Scope], rate_per_minute: int
    ) -> ApiKey:
        """Create or update the key of a person who signs in. It has no text, so no request can send it.

        Its limits are set only when it is created; `name` and `scopes` are those of the last person who signed in.
        """
        record = record_key(self._prefix, key_id)
        now = repr(time.time())
        once = {
            "id": key_id,
            "digest": _NEVER,
            "rate_per_minute": str(rate_per_minute),
            "quota_minutes": "0.0",
            "created_at": now,
            "webhook_secrets": new_webhook_secret(),
        }
        pipe = self._redis.pipeline()
        for field, value in once.items():
            # Limits that an operator has changed must survive the next sign-in.
            pipe.hsetnx(record, field, value)
        pipe.hset(record, mapping={"name": name, "scopes": ",".join(sorted(set(scopes)))})
        pipe.zadd(f"{self._prefix}keys", {key_id: float(now)}, nx=True)
        pipe.hgetall(record)
        return _parse(pipe.execute()[-1])

    def ids(self) -> list[str]:
        """The ids of all keys, including revoked ones, oldest first."""
        return cast("list[str]", self._redis.zrange(f"{self._prefix}keys", 0, -1))

    def page(self, start: int = 0, limit: int | None = None) -> list[tuple[ApiKey, float]]:
        """Up to `limit` keys from the position `start`, oldest first, each with the minutes that it has used this
        month.

        Keys never leave the list, so positions are stable.
        """
        ids = self.ids()[start : None if limit is None else start + limit]
        parts = (ids[first : first + _CHUNK] for first in range(0, len(ids), _CHUNK))
        return [pair for part in parts for pair in self._with_use(part)]

    def all(self) -> list[ApiKey]:
        """Every key, including revoked ones, oldest first."""
        return [key for key, _ in self.page()]

    def _with_use(self, key_ids: Sequence[str]) -> list[tuple[ApiKey, float]]:
        pipe = self._redis.pipeline(transaction=False)
        for key_id in key_ids:
            pipe.hgetall(record_key(self._prefix, key_id))
            pipe.get(usage_key(self._prefix, key_id))
        answers = pipe.execute()
        pairs = zip(map(parse_key, answers[::2]), map(as_minutes, answers[1::2]), strict=True)
        return [(key, minutes) for key, minutes in pairs if key is not None]

    def get(self, key_id: str) -> ApiKey | None:
        """One key by its id."""
        fields = cast("dict[str, str]", self._redis.hgetall(record_key(self._prefix, key_id)))
        return parse_key(fields)

    def revoke(self, key_id: str) -> bool:
        """Revoke a key permanently; False if it does not exist. Its jobs and its record stay."""
        record = record_key(self._prefix, key_id)
        if not self._redis.exists(record):
            return False
        # nx: a second revocation keeps the time of the first one.
        self._redis.hsetnx(record, "revoked_at", repr(time.time()))
        return True

    def rotate(self, key_id: str, grace_seconds: float = 0.0) -> NewKey | None:
        """Replace the text of a key; None for an unknown or revoked key, and for that of a person who signs in.

        The old text works for `grace_seconds` more.
        """
        record = record_key(self._prefix, key_id)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        made: list[NewKey] = []

        def write(pipe: Pipeline) -> None:
            # Called again if somebody has changed the key since it was read: a rotation without a grace time must not
            # be undone by another one.
            made.clear()
            fields = cast("dict[str, str]", pipe.hgetall(record))
            pipe.multi()
            if not fields or fields.get("revoked_at") or fields["digest"] == _NEVER:
                return
            changes = {
                "digest": hashlib.sha256(secret.encode()).hexdigest(),
                # Without a grace time the old text must stop at once: a rotation often follows a leak.
                "old_digest": fields["digest"] if grace_seconds else "",
                "old_until": repr(time.time() + grace_seconds),
            }
            pipe.hset(record, mapping=cast("dict[Any, Any]", changes))
            made.append(NewKey(_parse(fields), f"{_MARK}_{key_id}_{secret}", ""))

        self._redis.transaction(write, record)
        return made[0] if made else None

    def used_minutes(self, key_id: str) -> float:
        """The minutes of media that the key has used this month."""
        return used_minutes(self._redis, self._prefix, key_id)

    def is_used_up(self, key_id: str) -> bool:
        """True if the key has a quota and has used all of it."""
        key = self.get(key_id)
        return key is not None and 0 < key.quota_minutes <= self.used_minutes(key_id)

    def webhook_secrets(self, key_id: str) -> list[str]:
        """The secrets that sign webhooks of this key's jobs, newest first."""
        kept = cast("str | None", self._redis.hget(record_key(self._prefix, key_id), "webhook_secrets"))
        return (kept or "").split()

    def rotate_webhook_secret(self, key_id: str) -> str | None:
        """A new signing secret; None for an unknown key. The previous secret also signs until the next rotation."""
        record = record_key(self._prefix, key_id)
        new = new_webhook_secret()
        made: list[str] = []

        def write(pipe: Pipeline) -> None:
            made.clear()
            fields = cast("dict[str, str]", pipe.hgetall(record))
            pipe.multi()
            if fields:
                kept = [new, *fields.get("webhook_secrets", "").split()][:_WEBHOOK_SECRETS]
                pipe.hset(record, "webhook_secrets", " ".join(kept))
                made.append(new)

        self._redis.transaction(write, record)
        return made[0] if made else None


def _parse(fields: Mapping[str, str]) -> ApiKey:
    return ApiKey(
        id=fields["id"],
        name=fields["name"],
        scopes=frozenset(Scope(name) for name in fields["scopes"].split(",") if name),
        rate_per_minute=int(fields["rate_per_minute"]),
        quota_minutes=float(fields["quota_minutes"]),
        created_at=float(fields["created_at"]),
        expires_at=_time(fields, "expires_at"),
        revoked_at=_time(fields, "revoked_at"),
        last_used_at=_time(fields, "last_used_at"),
        # Keys of earlier releases have no weight and no prefixes.
        weight=float(fields.get("weight", 1.0)),
        s3_prefixes=tuple(json.loads(fields.get("s3_prefixes") or "[]")),
    )


def _time(fields: Mapping[str, str], name: str) -> float | None:
    return float(fields[name]) if fields.get(name) else None
