"""HEAD and OPTIONS for every path: HEAD is GET without its body, OPTIONS lists the methods of a path."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {"OPTIONS"}
_FOUND = ("route", "path_params")


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """The methods of the routes at the path of `scope`, sorted; empty for an unknown path.

    A fixed path, such as `/jobs/summary`, comes before the template that it fits, `/jobs/{job_id}`, and hides it.
    """
    matching = [route for route in routes if route.matches(scope)[0] is not Match.NONE]
    paths = [getattr(route, "path", None) for route in matching]
    found: set[str] = set()
    for route, path in zip(matching, paths, strict=True):
        if path == paths[0]:
            found |= set(getattr(route, "methods", None) or ())
    if "GET" in found:
        found.add("HEAD")
    return sorted(found | _ALWAYS) if found else []


class HeadRequests:
    """ASGI middleware that answers HEAD with the route for GET, unless the path has a route for HEAD."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._own = [route for route in routes if "HEAD" in (getattr(route, "methods", None) or ())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; stop the answer after its header if the method is HEAD."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        # Tus defines HEAD of uploads itself, with other headers than GET has.
        if not is_head or any(route.matches(scope)[0] is Match.FULL for route in self._own):
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()
        # A range has a meaning for GET alone (RFC 9110, 14.2).
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        inner = {**scope, "method": "GET", "headers": headers}

        async def send_head(message: Message) -> None:
            if answered.is_set():
                return
            if message["type"] == "http.response.start":
                # Metrics and the audit log, which are further out, name the request by them.
                scope.update({name: inner[name] for name in _FOUND if name in inner})
                await send(message)
            else:
                await send({"type": "http.response.body", "body": b""})
                answered.set()

        # Otherwise an event stream would continue until the job ends.
        running = asyncio.ensure_future(self._app(inner, receive, send_head))
        waiting = asyncio.ensure_future(answered.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not running.done():
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            return
        await running
