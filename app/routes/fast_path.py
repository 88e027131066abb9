"""Answers `GET /jobs/{id}` before routing, because clients send it far more often than anything else.

The framework's routing and validation cost several times as much as the answer itself.
"""

from __future__ import annotations

import re

from fastapi import Request
from redis import RedisError
from starlette.types import ASGIApp, Receive, Scope, Send

from sentiloc.app.http.handlers import error_response
from sentiloc.app.http.problems import ProblemError
from sentiloc.app.routes.deps import JOB_ID
from sentiloc.app.routes.jobs.job import job_status, router
from sentiloc.app.services import Services

# `GET /jobs/summary` is a route of its own.
_PATH = re.compile(f"/jobs/(?!summary$)({JOB_ID})")


class JobStatusFastPath:
    """Innermost ASGI middleware. It answers status polls as the route `follow` does and passes on all others."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        # The request metrics name a request by its route.
        self._route = next(route for route in router.routes if getattr(route, "name", "") == "follow")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a status poll, or pass the request on."""
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        found = _PATH.fullmatch(scope["path"]) if is_get else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await job_status(self._services, found[1], Request(scope))
        except (ProblemError, RedisError) as error:
            # The framework's exception handlers are further inside, so errors must be turned into answers
            # here.
            response = error_response(error)
        await response(scope, receive, send)
