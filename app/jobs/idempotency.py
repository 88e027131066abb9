"""Idempotency keys: a request that is sent again makes no second job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sentiloc.app.access.caller import current_caller


class KeyReusedError(Exception):
    """The idempotency key was used for another request."""


@dataclass(frozen=True, slots=True)
class Once:
    """A client's wish that a request makes one job, however often it is sent."""

    key: str
    digest: str
    seconds: int

    @property
    def place(self) -> str:
        """The client's key in a form that may be part of a key in Redis; each API key has its own."""
        asker = current_caller().key_id
        text = self.key if asker is None else f"{asker} {self.key}"
        return hashlib.sha256(text.encode()).hexdigest()
