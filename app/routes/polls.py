"""Answers `GET /jobs/{id}` before routing: what clients ask most often costs a fraction of what the framework does.

ASGI middleware, inside of all others. What it lets pass (an id that cannot be one, other methods) the route answers.
"""

from __future__ import annotations

import re

from fastapi import Request
from redis import RedisError
from starlette.types import ASGIApp, Receive, Scope, Send

from sentiloc.app.http.problems import ProblemError, refusal
from sentiloc.app.routes.jobs import JOB_ID, followed, router
from sentiloc.app.services import Services

_PATH = re.compile(f"/jobs/({JOB_ID})")


class Polls:
    """The same answer as the route's, and for the figures the same route."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._route = next(route for route in router.routes if getattr(route, "name", "") == "follow")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a poll, or pass the request on."""
        found = (
            _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        )
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await followed(self._services, found[1], Request(scope))
        except (ProblemError, RedisError) as error:
            response = refusal(error)
        await response(scope, receive, send)
