"""API-key authentication middleware. Every path needs a key unless `request_rules` lists it as open.

It runs before all routes, so new routes are protected, too. `access.caller` holds the key's owner.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from fastapi.responses import Response
from redis import RedisError, ResponseError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.access.caller import Caller, set_caller, set_check
from sentiloc.app.access.caller import Scope as KeyScope
from sentiloc.app.access.idempotency_keys import batch_request_key, job_request_key
from sentiloc.app.access.key_limits import KeyLimitReached, KeySlots, KeyTurns, StorageQuotaExceeded
from sentiloc.app.access.keys import ApiKey, check_key, parse_key, record_key, split_key
from sentiloc.app.access.problems import CHALLENGE, Forbidden, QuotaExceeded, RateLimited, Unauthorized
from sentiloc.app.access.rate_limit import RateLimiter, rate_headers
from sentiloc.app.access.request_rules import (
    READING_METHODS,
    is_open,
    is_quick_or_lasting,
    makes_jobs,
    makes_records,
    needed_scope,
    reads_many,
    stated_bytes,
)
from sentiloc.app.access.sessions import SessionStore, session_cookie
from sentiloc.app.access.usage import as_minutes, held_key, month_ends, usage_key
from sentiloc.app.http.connection_table import address_name
from sentiloc.app.http.handlers import error_response
from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.app.http.problems import ProblemError
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings

# How often a key's time of last use is written: often enough to be useful, and rare enough for the disk.
_USED_EVERY_SECONDS = 60.0


def key_from_headers(headers: Mapping[str, str]) -> str | None:
    """The API key in a request; None without one."""
    kind, _, text = headers.get("authorization", "").partition(" ")
    # The scheme's name is case-insensitive (RFC 9110).
    if kind.lower() == "bearer" and text.strip():
        return text.strip()
    return headers.get("x-api-key") or None


def is_signed_in_by_cookie(headers: Mapping[str, str], settings: Settings) -> bool:
    """True if a request has no key but the cookie of somebody who signed in."""
    if settings.oidc_issuer is None or key_from_headers(headers) is not None:
        return False
    return session_cookie(headers) is not None


class KeyGuard:
    """ASGI middleware. It looks up the key at every request, so a revoked key stops working at once.

    Without a key, the cookie of somebody who signed in counts. `OriginGuard` refuses such requests from other sites.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, shared: SharedConnection, sessions: SessionStore
    ) -> None:
        self._app = app
        self._settings = settings
        self._shared = shared
        self._sessions = sessions
        self._failures = RateLimiter()
        self._requests = RateLimiter()
        self._slots = KeySlots(settings.max_requests_per_key, "requests")
        self._turns = KeyTurns(settings.max_running_requests_per_key)
        self._list_turns = KeyTurns(settings.max_lists_per_key)
        # In memory: after a restart, one write per key too many does no harm.
        self._used_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller set, or answer with a problem."""
        # Browsers send the preflight request OPTIONS without a key.
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        with contextlib.ExitStack() as stack:
            try:
                key = await self._admit(scope)
                # The slot is held until the response is sent: a client that does not read it keeps its slot.
                stack.enter_context(self._slots.hold(key.id))
            except (ProblemError, RedisError) as error:
                await _refuse(error_response(error), scope, receive, send)
                return
            async with self._turn(scope, key.id):
                await self._app(scope, receive, _with_headers(send, self._standing(key)))

    def _turn(self, scope: Scope, key_id: str) -> contextlib.AbstractAsyncContextManager[None]:
        method, path = scope["method"], scope["path"]
        if is_quick_or_lasting(method, path):
            return contextlib.nullcontext()
        return (self._list_turns if reads_many(method, path) else self._turns).hold(key_id)

    def _standing(self, key: ApiKey) -> dict[str, str]:
        limit = key.rate_per_minute
        return rate_headers(*self._requests.standing(key.id, limit), limit) if limit else {}

    async def _admit(self, scope: Scope) -> ApiKey:
        headers = Headers(scope=scope)
        if is_signed_in_by_cookie(headers, self._settings):
            key, caller = await self._signed_in(session_cookie(headers) or "")
        else:
            key = await self._find(_address(scope), key_from_headers(headers))
            caller = key.caller
        wanted = needed_scope(scope["method"], scope["path"])
        # The scope first: a refused request should not use up the rate.
        if not caller.may(wanted):
            raise Forbidden(wanted)
        if key.rate_per_minute and (wait := self._requests.take(key.id, key.rate_per_minute)):
            detail = f"The key may send {key.rate_per_minute} requests per minute. Try again later."
            raise RateLimited(detail, wait, self._standing(key))
        if makes_jobs(scope["method"], scope["path"]):
            await self._require_quota(key, scope["path"], headers.get("idempotency-key"))
        if makes_records(scope["method"], scope["path"]):
            await self._require_room(key, scope["path"], headers)
        # After all checks, so that only admitted requests update the time of last use.
        await self._note_use(key)
        set_caller(caller)
        set_check(partial(self._is_still_admitted, headers, wanted))
        return key

    async def _is_still_admitted(self, headers: Headers, wanted: KeyScope) -> bool:
        """Whether the key or the session of an admitted request is still valid. Does not count as use of a session."""
        prefix = self._settings.redis_prefix
        if is_signed_in_by_cookie(headers, self._settings):
            session = await self._sessions.peek(session_cookie(headers) or "")
            fields = {} if session is None else await self._shared.hash(record_key(prefix, session.key_id))
            key = parse_key(fields)
            return session is not None and key is not None and key.is_valid
        key_id, digest = split_key(key_from_headers(headers) or "")
        key = check_key(await self._shared.hash(record_key(prefix, key_id)), digest)
        return key is not None and key.caller.may(wanted)

    async def _signed_in(self, cookie: str) -> tuple[ApiKey, Caller]:
        """The key of a session, and who works as that key. A cookie holds 256 random bits, as a key does."""
        session = await self._sessions.find(cookie)
        key = None
        if session is not None:
            key = parse_key(await self._shared.hash(record_key(self._settings.redis_prefix, session.key_id)))
        if session is None or key is None or not key.is_valid:
            # One message for all three reasons: the page can only ask for a new sign-in.
            raise Unauthorized("The session has ended. Sign in again.")
        return key, session.caller(key)

    async def _find(self, address: str, text: str | None) -> ApiKey:
        """The key with this text.

        The limit of failed logins never applies to a valid key; otherwise other clients behind the same address could
        lock its owner out. Keys hold 256 random bits, so guessing is hopeless anyway: the limit only bounds the load.
        """
        if text is None:
            raise Unauthorized
        key_id, digest = split_key(text)
        fields = await self._shared.hash(record_key(self._settings.redis_prefix, key_id))
        key = check_key(fields, digest)
        if key is None:
            if wait := self._failures.take(address, self._settings.bad_keys_per_minute):
                raise RateLimited("This address has sent too many wrong keys. Try again later.", wait)
            detail = "The API key is unknown, revoked or expired."
            raise Unauthorized(detail, f'{CHALLENGE}, error="invalid_token"')
        return key

    async def _require_quota(self, key: ApiKey, path: str, repeated: str | None) -> None:
        """Raise `QuotaExceeded` if the quota is used up. A repeated request is admitted: it gets its first job and uses
        no minutes.
        """
        if not key.quota_minutes:
            return
        prefix = self._settings.redis_prefix
        (used,) = await self._shared.ask(("GET", usage_key(prefix, key.id)))
        if as_minutes(used) >= key.quota_minutes and not await self._was_accepted(key, path, repeated):
            raise QuotaExceeded(key.quota_minutes, (month_ends() - datetime.now(UTC)).total_seconds())

    async def _require_room(self, key: ApiKey, path: str, headers: Mapping[str, str]) -> None:
        """Refuse a new job of a key that has as many as the server keeps for one key, whether they have ended or not,
        and a video that does not fit among the bytes that it may store.

        A batch, and requests at the same time, may exceed the number of jobs a little. The bytes are counted again
        when the job or the upload is recorded; this saves the client from sending them.
        """
        jobs, stored = self._settings.max_kept_jobs_per_key, self._settings.max_stored_bytes_per_key
        if not jobs and not stored:
            return
        prefix, repeated = self._settings.redis_prefix, headers.get("idempotency-key")
        asked = (("ZCARD", f"{prefix}jobs:{key.id}"), ("HGET", held_key(prefix, key.id), "stored"))
        kept, held = await self._shared.ask(*asked)
        if jobs and int(kept) >= jobs and not await self._was_accepted(key, path, repeated):
            raise KeyLimitReached(jobs, "kept jobs", "Delete some of them.")
        is_full = stored and int(held or 0) + stated_bytes(path, headers) > stored
        if is_full and not await self._was_accepted(key, path, repeated):
            raise StorageQuotaExceeded(stored)

    async def _was_accepted(self, key: ApiKey, path: str, text: str | None) -> bool:
        # Uploads ignore idempotency keys. The idempotency keys of jobs and of batches are separate.
        if not text or path.startswith("/uploads"):
            return False
        name_of = batch_request_key if path.startswith("/batches") else job_request_key
        (count,) = await self._shared.ask(("EXISTS", name_of(self._settings.redis_prefix, key.id, text)))
        return bool(count)

    async def _note_use(self, key: ApiKey) -> None:
        now = time.time()
        # At most once a minute, because each write to Redis waits for the disk.
        if now - self._used_at.get(key.id, 0.0) < _USED_EVERY_SECONDS:
            return
        self._used_at[key.id] = now
        record = record_key(self._settings.redis_prefix, key.id)
        # If Redis's memory is full, it refuses this write, but reading must still work.
        with contextlib.suppress(ResponseError):
            await self._shared.ask(("HSET", record, "last_used_at", repr(now)))


def _with_headers(send: Send, added: Mapping[str, str]) -> Send:
    async def send_all(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(added)
        await send(message)

    return send_all if added else send


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    has_body = scope["method"] not in READING_METHODS
    # Without a body there is nothing to discard, and the connection can stay open.
    answer = LingeringResponse(response) if has_body else response
    with contextlib.suppress(OSError):
        await answer(scope, receive, send)


def _address(scope: Scope) -> str:
    """The name under which failed logins are counted."""
    return address_name(scope["client"][0] if scope.get("client") else "")
