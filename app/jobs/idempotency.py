"""Idempotency keys: a repeated request does not create a second job."""

from __future__ import annotations

from dataclasses import dataclass


class KeyReusedError(Exception):
    """The idempotency key was used for another request."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's `Idempotency-Key` header, the SHA-256 of the request it came with, and the seconds to keep both."""

    text: str
    digest: str
    seconds: int


def make_key(text: str | None, digest: str, seconds: int) -> IdempotencyKey | None:
    """The key of a request; None for a request without one."""
    return IdempotencyKey(text, digest, seconds) if text else None
