"""Sessions of people who signed in on the page. A cookie holds 256 random bits; Redis holds their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from redis import Redis, ResponseError
from starlette.requests import cookie_parser

from sentiloc.app.access.caller import Caller, Scope
from sentiloc.app.access.keys import ApiKey
from sentiloc.app.redis.shared_connection import SharedConnection, pairs
from sentiloc.app.settings import Settings

SESSION_COOKIE = "sentiloc_session"
_SECRET_BYTES = 32
_RENEWED_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who signed in, until when (Unix seconds), and as which key. `id_token` ends the session at the provider."""

    key_id: str
    person: str
    scopes: frozenset[Scope]
    expires_at: float
    id_token: str = ""
    sid: str = ""
    """The provider's own session; "" if its ID token does not name it."""

    def caller(self, key: ApiKey) -> Caller:
        """The caller: this person, with the rights of `key`."""
        return Caller(key_id=key.id, scopes=self.scopes, s3_prefixes=key.s3_prefixes, person=self.person)


def session_cookie(headers: Mapping[str, str]) -> str | None:
    """The session that a request's cookies name; None without one."""
    cookie = headers.get("cookie")
    return cookie_parser(cookie).get(SESSION_COOKIE) or None if cookie else None


class SessionStore:
    """All sessions. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, settings: Settings, shared: SharedConnection) -> None:
        self._prefix = settings.redis_prefix
        self._issuer = settings.oidc_issuer or ""
        self._seconds = settings.session_seconds
        self._idle_seconds = settings.session_idle_seconds
        self._shared = shared

    async def start(
        self,
        key_id: str,
        person: str,
        scopes: frozenset[Scope],
        id_token: str,
        *,
        subject: str = "",
        sid: str = "",
    ) -> str:
        """Begin a session.

        Args:
            key_id: The key as which the person works.
            person: The name that is shown.
            scopes: What the person may do.
            id_token: The provider's token, for ending its session as well; "" if it is not kept.
            subject: The provider's name of the person.
            sid: The provider's name of its own session; "" if unknown.

        Returns:
            The text of the cookie.
        """
        text, now = secrets.token_urlsafe(_SECRET_BYTES), time.time()
        fields = {
            "key_id": key_id,
            "issuer": self._issuer,
            "person": person,
            "scopes": ",".join(sorted(scopes)),
            "expires_at": repr(now + self._seconds),
            "id_token": id_token,
            "sid": sid,
        }
        name = self._name(text)
        flat = [part for pair in fields.items() for part in pair]
        listed, of_key = self._of_person(subject), _of_key(self._prefix, key_id)
        kept_ms = str(int(1000 * self._seconds))
        await self._shared.ask(
            # Indexed before it is created, so that an erasure finds every session. Ended sessions leave the index here.
            ("ZADD", of_key, fields["expires_at"], name),
            ("ZREMRANGEBYSCORE", of_key, "-inf", repr(now)),
            ("PEXPIRE", of_key, kept_ms),
            ("HSET", name, *flat),
            ("PEXPIRE", name, self._left_ms(self._seconds)),
            ("ZADD", listed, fields["expires_at"], name),
            ("ZREMRANGEBYSCORE", listed, "-inf", repr(now)),
            ("PEXPIRE", listed, kept_ms),
            *([("SET", self._of_sid(sid), listed, "PX", kept_ms)] if sid else []),
        )
        return text

    async def find(self, text: str) -> Session | None:
        """The session of a cookie, which is renewed; None if it has ended, or if another provider began it."""
        session, left_ms = await self._read(text)
        if session is None:
            return None
        name, left = self._name(text), session.expires_at - time.time()
        wanted = min(left, self._idle_seconds)
        # Each write waits for the disk, so a session is not renewed with every request.
        if wanted - left_ms / 1000 > min(_RENEWED_EVERY_SECONDS, self._idle_seconds / 4):
            # If Redis refuses writes, reading must still work.
            with contextlib.suppress(ResponseError):
                await self._shared.ask(("PEXPIRE", name, self._left_ms(left)))
        return session

    async def peek(self, text: str) -> Session | None:
        """The session of a cookie, as `find` returns it, without renewing it."""
        return (await self._read(text))[0]

    async def _read(self, text: str) -> tuple[Session | None, int]:
        """The session of a cookie, and the milliseconds until it ends unless it is renewed."""
        name = self._name(text)
        flat, left_ms = await self._shared.ask(("HGETALL", name), ("PTTL", name))
        fields = pairs(flat)
        if not fields or fields.get("issuer") != self._issuer:
            return None, 0
        session = _parse(fields)
        return (session if session.expires_at > time.time() else None), int(left_ms)

    async def end(self, text: str) -> None:
        """End a session at once."""
        await self._shared.ask(("DEL", self._name(text)))

    async def end_all(self, subject: str, sid: str) -> int:
        """End the sessions that the provider has ended.

        Args:
            subject: The provider's name of the person; "" if it names only its session.
            sid: The provider's session; "" for all sessions of the person.

        Returns:
            How many sessions ended. A session whose `sid` is unknown ends with any session of its person.
        """
        listed = self._of_person(subject)
        if not subject:
            (found,) = await self._shared.ask(("GET", self._of_sid(sid)))
            if not isinstance(found, str):
                return 0
            listed = found
        (members,) = await self._shared.ask(("ZRANGE", listed, "0", "-1"))
        if not members:
            return 0
        sids = await self._shared.ask(*(("HGET", name, "sid") for name in members))
        ended = [name for name, own in zip(members, sids, strict=True) if not sid or own in ("", None, sid)]
        if not ended:
            return 0
        count, _ = await self._shared.ask(("DEL", *ended), ("ZREM", listed, *ended))
        return int(count)

    async def was_processed(self, token_id: str) -> bool:
        """Whether a logout token has ended its sessions before."""
        (noted,) = await self._shared.ask(("EXISTS", self._of_logout(token_id)))
        return bool(noted)

    async def mark_processed(self, token_id: str, seconds: int) -> None:
        """Remember for `seconds` that a logout token has ended its sessions."""
        await self._shared.ask(("SET", self._of_logout(token_id), "1", "EX", str(seconds)))

    def _of_logout(self, token_id: str) -> str:
        return f"{self._prefix}logout:{_hashed(self._issuer, token_id)}"

    def _of_person(self, subject: str) -> str:
        return f"{self._prefix}sessions-by:{_hashed(self._issuer, subject)}"

    def _of_sid(self, sid: str) -> str:
        return f"{self._prefix}sid:{_hashed(self._issuer, sid)}"

    def _name(self, text: str) -> str:
        return f"{self._prefix}session:{hashlib.sha256(text.encode()).hexdigest()}"

    def _left_ms(self, left: float) -> str:
        return str(max(1, int(1000 * min(left, self._idle_seconds))))


def end_sessions(redis: Redis, prefix: str, key_id: str) -> int:
    """End all sessions of a key; returns their number."""
    index = _of_key(prefix, key_id)
    names = cast("list[str]", redis.zrange(index, 0, -1))
    if not names:
        return 0
    count = int(redis.delete(*names))
    # Not the whole list: a person may have signed in since it was read.
    redis.zrem(index, *names)
    return count


def _of_key(prefix: str, key_id: str) -> str:
    """The Redis key of a key's sessions: their names, by the time at which they end at the latest."""
    return f"{prefix}sessions-of:{key_id}"


def _hashed(issuer: str, name: str) -> str:
    # The issuer has no line break, so no two pairs give one text.
    return hashlib.sha256(f"{issuer}\n{name}".encode()).hexdigest()


def _parse(fields: Mapping[str, str]) -> Session:
    return Session(
        key_id=fields["key_id"],
        person=fields["person"],
        scopes=frozenset(Scope(name) for name in fields["scopes"].split(",") if name),
        expires_at=float(fields["expires_at"]),
        id_token=fields["id_token"],
        sid=fields.get("sid", ""),
    )
