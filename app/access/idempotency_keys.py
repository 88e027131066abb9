"""Where Redis keeps idempotency keys. Each API key has its own namespace."""

from __future__ import annotations

import hashlib


def job_request_key(prefix: str, key_id: str | None, text: str) -> str:
    """The Redis key of a client's `Idempotency-Key` for a job."""
    return f"{prefix}idempotency:{_name(key_id, text)}"


def batch_request_key(prefix: str, key_id: str | None, text: str) -> str:
    """The Redis key of a client's `Idempotency-Key` for a batch."""
    return f"{prefix}idempotency:batch:{_name(key_id, text)}"


def _name(key_id: str | None, text: str) -> str:
    # Hashed, because a client's text may contain anything and be long.
    return hashlib.sha256((text if key_id is None else f"{key_id} {text}").encode()).hexdigest()
