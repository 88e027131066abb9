"""Idempotency keys: a repeated request does not create a second job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


class KeyReusedError(Exception):
    """The idempotency key was used for another request."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's `Idempotency-Key` header, the SHA-256 of the request it came with, and the seconds to keep both."""

    text: str
    digest: str
    seconds: int

    def name(self, key_id: str | None) -> str:
        """The key as part of a Redis key. Each API key (`key_id`) has its own namespace."""
        # Hashed, because a client's text may contain anything and be long.
        text = self.text if key_id is None else f"{key_id} {self.text}"
        return hashlib.sha256(text.encode()).hexdigest()


def make_key(text: str | None, digest: str, seconds: int) -> IdempotencyKey | None:
    """The key of a request; None for a request without one."""
    return IdempotencyKey(text, digest, seconds) if text else None
