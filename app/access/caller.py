"""Who asks: the API key of the request under way, for everything that decides what may be seen or done.

A context variable, because it follows a request into every thread that works for it: a route that forgets to
pass it on cannot open another key's jobs.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key may do; part of the public contract."""

    READ = "read"
    WRITE = "write"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The key that asks; `key_id` is None where the service asks for no keys."""

    key_id: str | None = None
    scopes: frozenset[Scope] = frozenset(Scope)

    def may(self, scope: Scope) -> bool:
        """True when the key has this scope; `admin` has all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees_all(self) -> bool:
        """True when the jobs of every key are visible."""
        return self.key_id is None or Scope.ADMIN in self.scopes

    def may_see(self, owner: str | None) -> bool:
        """True for what belongs to the key with the id `owner` (empty: to none)."""
        return self.sees_all or owner == self.key_id


ANYONE = Caller()
_current: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def current_caller() -> Caller:
    """Who asks; `ANYONE` outside of a request and where no keys are asked for."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Say who asks, for the rest of this request."""
    _current.set(caller)
