"""Cookies: only this service's own are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_VALUE = re.compile(r"[A-Za-z0-9_-]{1,128}")


class OwnCookies:
    """ASGI middleware that hides all other cookies from the application.

    The framework parses every cookie, and before Python 3.11.10 and 3.12.6 the standard library needs seconds for one
    that has many backslashes. Other services of the same host have cookies, too.

    Args:
        app: The application to call.
        names: The names of the service's cookies. Their values have letters, digits, `-` and `_` only.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its own cookies in one header."""
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("cookie")
            if given:
                kept = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
                if own := "; ".join(self._own(given)):
                    kept.append((b"cookie", own.encode("ascii")))
                scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)

    def _own(self, given: Iterable[str]) -> Iterator[str]:
        for header in given:
            for part in header.split(";"):
                name, _, value = part.partition("=")
                name, value = name.strip(), value.strip()
                if name in self._names and _VALUE.fullmatch(value):
                    yield f"{name}={value}"
