"""Lets in who shows a key, where keys are asked for: every path is closed but those that are named as open.

It stands before all routes, so that a route added later is closed, too. It says who asks through `app.access.caller`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi.responses import Response
from redis import RedisError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sentiloc.app.access.caller import Scope as KeyScope
from sentiloc.app.access.caller import set_caller
from sentiloc.app.access.keys import ApiKey, check_key, key_place, split_key
from sentiloc.app.access.rate_limit import Buckets
from sentiloc.app.access.usage import as_minutes, month_ends, usage_place
from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.app.http.problems import ProblemCode, ProblemError, refusal
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
OPEN_FOLDERS = ("/web/", "/docs/")
_JOB_MAKERS = frozenset({"/localize", "/uploads"})
_READING = frozenset({"GET", "HEAD"})
_CHALLENGE = 'Bearer realm="sentiloc"'
_USED_EVERY_SECONDS = 60.0

UNAUTHORIZED = (
    401,
    ProblemCode.UNAUTHORIZED,
    "This server asks for an API key: `Authorization: Bearer KEY`.",
)
FORBIDDEN = (403, ProblemCode.FORBIDDEN, "This needs a key with the scope `write`.")
RATE_LIMITED = (429, ProblemCode.RATE_LIMITED, "The key may send 1200 requests a minute.")
QUOTA_EXCEEDED = (429, ProblemCode.QUOTA_EXCEEDED, "The key's 600 minutes of this month are used up.")


def is_open(path: str) -> bool:
    """True for what anybody may ask for: the page, the docs, and whether the service is well."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def makes_jobs(method: str, path: str) -> bool:
    """True for a request that leads to a job, for which a key must have minutes left."""
    return method == "POST" and path.rstrip("/") in _JOB_MAKERS


def needed_scope(method: str, path: str) -> KeyScope:
    """What a key must be allowed for a request."""
    if path == "/metrics":
        return KeyScope.METRICS
    return KeyScope.READ if method in _READING else KeyScope.WRITE


def shown_key(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries; None when it carries none."""
    kind, _, text = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and text.strip():
        return text.strip()
    return headers.get("x-api-key") or None


class KeyGuard:
    """ASGI middleware. Revoked is revoked at once: a key is looked up for each request."""

    def __init__(self, app: ASGIApp, settings: Settings, shared: SharedConnection) -> None:
        self._app = app
        self._settings = settings
        self._shared = shared
        self._guesses = Buckets()
        self._requests = Buckets()
        self._used_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its caller set, or answer with a problem."""
        if scope["type"] == "http" and scope["method"] != "OPTIONS" and not is_open(scope["path"]):
            try:
                await self._admit(scope)
            except (ProblemError, RedisError) as error:
                await _refuse(refusal(error), scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        key = await self._find(_address(scope), shown_key(Headers(scope=scope)))
        wanted = needed_scope(scope["method"], scope["path"])
        if not key.caller.may(wanted):
            raise ProblemError(403, ProblemCode.FORBIDDEN, f"This needs a key with the scope `{wanted}`.")
        if key.rate_per_minute and (wait := self._requests.take(key.id, key.rate_per_minute)):
            detail = f"The key may send {key.rate_per_minute} requests a minute."
            raise ProblemError(429, ProblemCode.RATE_LIMITED, detail, _retry_after(wait))
        if makes_jobs(scope["method"], scope["path"]):
            await self._require_quota(key)
        await self._note_use(key)
        set_caller(key.caller)

    async def _find(self, address: str, text: str | None) -> ApiKey:
        """The key with this text; an address that guessed too often is not even heard."""
        limit = self._settings.bad_keys_per_minute
        if wait := self._guesses.wait_seconds(address, limit):
            detail = "Too many wrong keys came from this address."
            raise ProblemError(429, ProblemCode.RATE_LIMITED, detail, _retry_after(wait))
        if text is None:
            raise ProblemError(*UNAUTHORIZED, {"WWW-Authenticate": _CHALLENGE})
        key_id, digest = split_key(text)
        fields = await self._shared.hash(key_place(self._settings.redis_prefix, key_id))
        key = check_key(fields, digest)
        if key is None:
            self._guesses.take(address, limit)
            detail = "The API key is unknown, revoked or expired."
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise ProblemError(401, ProblemCode.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})
        return key

    async def _require_quota(self, key: ApiKey) -> None:
        if not key.quota_minutes:
            return
        (used,) = await self._shared.ask(("GET", usage_place(self._settings.redis_prefix, key.id)))
        if as_minutes(used) >= key.quota_minutes:
            detail = f"The key's {key.quota_minutes:g} minutes of this month are used up."
            wait = (month_ends() - datetime.now(UTC)).total_seconds()
            raise ProblemError(429, ProblemCode.QUOTA_EXCEEDED, detail, _retry_after(wait))

    async def _note_use(self, key: ApiKey) -> None:
        now = time.time()
        if now - self._used_at.get(key.id, 0.0) < _USED_EVERY_SECONDS:
            return
        self._used_at[key.id] = now
        place = key_place(self._settings.redis_prefix, key.id)
        await self._shared.ask(("HSET", place, "last_used_at", repr(now)))


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    has_body = scope["method"] not in _READING
    answer = LingeringResponse(response) if has_body else response
    with contextlib.suppress(OSError):
        await answer(scope, receive, send)


def _address(scope: Scope) -> str:
    """Who sends, as far as guesses are counted: an IPv6 client owns its whole /64."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        place = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return str(place) if place.version == 4 else str(ipaddress.ip_network(f"{place}/64", strict=False))


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
