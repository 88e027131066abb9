"""Attempts to sign in, kept from the request to the provider until the browser returns. Each can be used once.

An attempt belongs to one browser, whose cookie holds a random text; Redis has its hash. So a provider's answer is
useless in another browser.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass

from redis import Redis

ATTEMPT_COOKIE = "sentiloc_signin"
ATTEMPT_SECONDS = 600
_BYTES = 32


class SignInFailed(Exception):
    """Signing in failed. The message is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The values that one attempt sends to the provider and expects back."""

    state: str
    nonce: str
    verifier: str
    redirect_url: str


class AttemptStore:
    """Attempts in Redis. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    def begin(self, browser: str, redirect_url: str) -> Attempt:
        """A new attempt of the browser that has the cookie text `browser`."""
        state, nonce, verifier = (secrets.token_urlsafe(_BYTES) for _ in range(3))
        attempt = Attempt(state=state, nonce=nonce, verifier=verifier, redirect_url=redirect_url)
        kept = json.dumps({**asdict(attempt), "browser": _hashed(browser)})
        self._redis.set(self._name(state), kept, ex=ATTEMPT_SECONDS)
        return attempt

    def take(self, state: str, browser: str) -> Attempt | None:
        """Remove and return the attempt with this state; None if there is none, or if it belongs to another browser."""
        # GETDEL: two answers with one state cannot both succeed.
        kept = self._redis.getdel(self._name(state))
        if not isinstance(kept, str):
            return None
        fields = json.loads(kept)
        # In constant time, so that the time of an answer reveals nothing about the hash.
        if not hmac.compare_digest(fields.pop("browser"), _hashed(browser)):
            return None
        return Attempt(**fields)

    def _name(self, state: str) -> str:
        return f"{self._prefix}signin:{_hashed(state)}"


def new_browser() -> str:
    """A new text for the cookie that identifies a browser."""
    return secrets.token_urlsafe(_BYTES)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
