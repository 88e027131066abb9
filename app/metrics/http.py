"""Request times by route and, with tracing, a span for each request.

Each API process counts its own requests and reports them at its own `/metrics`.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.telemetry.logs import request_id_context
from sentiloc.app.telemetry.tracing import span

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATIC = ("/web/", "/docs/")


class HttpMetrics:
    """The histogram of request times. Its labels are route templates, so their number is limited."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "sentiloc_http_request_seconds",
            "Seconds from a request to the head of its answer, in this API process",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request of `seconds` with its HTTP status."""
        # Clients may send any word as a method, and each word would become a new time series.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._seconds.labels(method, route_of(scope), str(status)).observe(seconds)


def route_of(scope: Scope) -> str:
    """The template of the route. Clients cannot invent new values, so the number of metrics is bounded."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    return "static" if scope["path"].startswith(_STATIC) else "unmatched"


class MetricsMiddleware:
    """ASGI middleware that times every request."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and time it until its answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        # The status that the server sends if the app fails before it answers.
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._metrics.observe(scope, status, time.perf_counter() - began)
            await send(message)

        with span(scope["method"], Headers(scope=scope).get("traceparent")) as current:
            try:
                await self._app(scope, receive, watch)
            finally:
                if current is not None:
                    _describe(current, scope, status)


def _describe(current: object, scope: Scope, status: int) -> None:
    route = route_of(scope)
    found = {
        "http.request.method": scope["method"],
        "http.route": route,
        "sentiloc.request_id": request_id_context.get() or "",
    }
    current.update_name(f"{scope['method']} {route}")  # type: ignore[attr-defined]
    current.set_attributes({**found, "http.response.status_code": status})  # type: ignore[attr-defined]
