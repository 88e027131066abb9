"""The caller of the current request: its API key, which decides what the request may see and do.

It is a context variable, so every thread that works for a request sees it. Routes do not pass the caller on, so no
route can forget to do so and expose another key's jobs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key allows; part of the public contract."""

    READ = "read"
    WRITE = "write"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The owner of a request; `key_id` is None on a server that needs no keys.

    `s3_prefixes` are the places of an object store (`s3://bucket/prefix`) whose videos the key may name. `person` is
    the name of somebody who signed in on the page and works as this key.
    """

    key_id: str | None = None
    scopes: frozenset[Scope] = frozenset(Scope)
    s3_prefixes: tuple[str, ...] = ()
    person: str | None = None

    def may(self, scope: Scope) -> bool:
        """True if the key has this scope; `admin` includes all scopes."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees_all(self) -> bool:
        """True if the caller may see the jobs of every key."""
        return self.key_id is None or Scope.ADMIN in self.scopes

    def may_see(self, owner: str | None) -> bool:
        """True if the caller may see what belongs to the key `owner` (None or empty: to no key)."""
        return self.sees_all or owner == self.key_id


ANYONE = Caller()
_current: ContextVar[Caller] = ContextVar("caller", default=ANYONE)
Check = Callable[[], Awaitable[bool]]
_check: ContextVar[Check | None] = ContextVar("check", default=None)


def current_caller() -> Caller:
    """The caller; `ANYONE` outside of a request and on a server that needs no keys."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Set the caller for the rest of this request."""
    _current.set(caller)


def set_check(check: Check) -> None:
    """Set the check that `is_still_admitted` runs for the rest of this request."""
    _check.set(check)


async def is_still_admitted() -> bool:
    """Whether the key or the session of this request is still valid. Endless answers, such as event streams, must check
    it repeatedly.
    """
    check = _check.get()
    return check is None or await check()
