"""What every answer has in common: safe headers, a problem instead of a crash, one address for `/x` and `/x/`."""

from __future__ import annotations

from fastapi import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.http.handlers import problem_response, unexpected_response
from sentiloc.app.http.problems import ProblemCode

NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_DEFAULTS = {
    "Content-Security-Policy": NO_CONTENT_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_RANGE_ERRORS = {
    400: "The Range header cannot be read.",
    416: "The file has no such range of bytes.",
}


class Answers:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; an unexpected error becomes a problem, and the connection stays usable."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(_without_slash(scope), receive, send_safely)
        except Exception as error:
            if started:
                raise
            await unexpected_response(scope["method"], scope["path"], error)(scope, receive, send_safely)


class RangeProblems(Response):
    """A file response whose plain-text errors about ranges become problems."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the problem."""
        refused: dict[str, str] | None = None
        status = 200

        async def watch(message: Message) -> None:
            nonlocal refused, status
            if message["type"] == "http.response.start" and message["status"] in _RANGE_ERRORS:
                status = message["status"]
                refused = {k: v for k, v in MutableHeaders(scope=message).items() if k == "content-range"}
            elif refused is None:
                await send(message)

        await self._response(scope, receive, watch)
        if refused is not None:
            problem = problem_response(status, ProblemCode.BAD_RANGE, _RANGE_ERRORS[status], refused)
            await problem(scope, receive, send)


def _without_slash(scope: Scope) -> Scope:
    """`/uploads/` is `/uploads`: a redirect would name this server by a header that clients choose."""
    path = scope["path"]
    if len(path) < 2 or not path.endswith("/"):
        return scope
    return {**scope, "path": path.rstrip("/") or "/"}
