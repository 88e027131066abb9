"""Prevents other web sites from using a keyless service through their visitors' browsers.

Any web page can make its visitors' browsers send requests to a local address. Two checks prevent abuse: the `Host` must
be one of this service's names, which defeats DNS rebinding, and requests that change something must come from this
service's own page or from an allowed origin. With keys, the second check is for people who signed in on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sentiloc.app.http.handlers import error_response
from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.app.http.problems import ProblemCode, ProblemError, TypedProblem

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# `none` is a request that the user made, such as a typed address or a bookmark.
_OWN_SITES = frozenset({"same-origin", "none"})


class UnknownHost(TypedProblem):
    """The `Host` header names another server."""

    of_status = 421
    of_code = ProblemCode.UNKNOWN_HOST
    example = "This server does not answer for 'example.com'. Its operator can add the name to SENTILOC_ALLOWED_HOSTS."

    def __init__(self, host: str) -> None:
        shown = host if host.isprintable() else "that name"
        super().__init__(
            f"This server does not answer for {shown[:100]!r}. Its operator can add the name to SENTILOC_ALLOWED_HOSTS."
        )


class CrossSite(TypedProblem):
    """A page of another web site sent the request."""

    of_status = 403
    of_code = ProblemCode.CROSS_SITE
    example = "The request comes from another web site. Its operator can allow it in SENTILOC_CORS_ORIGINS."


class OriginGuard:
    """ASGI middleware.

    Args:
        app: The application to call.
        hosts: Host names that requests may name, without ports; None allows every name.
        origins: Origins of other sites that may send requests, such as `https://editor.example`.
        checks_origin: Whether requests from other sites are refused.
        is_signed_in: Whether a request is authenticated by a cookie, which browsers send by themselves. Only this
            service's own page may send such a request, whatever `origins` says.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str] | None,
        origins: frozenset[str],
        *,
        checks_origin: bool,
        is_signed_in: Callable[[Headers], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins
        self._checks_origin = checks_origin
        self._is_signed_in = is_signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        response = error_response(problem)
        # A refused upload may still be sending its body.
        answer = response if scope["method"] in _SAFE else LingeringResponse(response)
        await answer(scope, receive, send)

    def _problem(self, scope: Scope) -> ProblemError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return UnknownHost(host)
        if scope["method"] in _SAFE:
            return None
        # The list of allowed origins is empty here: it is for clients with keys, which a foreign page does
        # not have.
        if self._is_signed_in(headers):
            return CrossSite() if self._is_foreign(headers, host, frozenset()) else None
        return CrossSite() if self._checks_origin and self._is_foreign(headers, host, self._origins) else None

    def _is_foreign(self, headers: Headers, host: str, origins: frozenset[str]) -> bool:
        """Whether a browser's headers say that another site sent this. Other clients send neither header."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and (origin in origins or "*" in origins):
            return False
        if site is not None:
            # Only a browser writes this header, and it knows the page's origin. A proxy may have changed the `Host`.
            return site not in _OWN_SITES
        return origin is not None and _authority(origin) != host.lower()


def _authority(origin: str) -> str | None:
    """Host and port of an origin in lower case; None if it cannot be read."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name in a `Host` header, without port and brackets."""
    try:
        # `localhost.` is the same name in its absolute form.
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
