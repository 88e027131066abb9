"""The prefix of the paths that a client uses: the path of a proxy, and the version of the API.

`/sentiloc/v1/jobs` has the root path `/sentiloc`, the version `/v1` and the route `/jobs`. Routes know only the last
part. Links in answers are built with `address`, so they have the prefix that the client used.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.http.lifecycle import Deprecation
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.settings import ROOT_PATH, get_settings
from sentiloc.app.settings.service import is_network

VERSION_PATH = "/v1"
UNVERSIONED = frozenset(
    {
        *("/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json"),
        *("/session", "/signin", "/signin/callback", "/signin/backchannel", "/signout"),
    }
)
"""Paths without a version: the page, its files and the docs are not part of the API."""
_FOLDERS = ("/web/", "/docs/", "/embed/")
# The release in which paths without a version became deprecated.
_ALIASES_SINCE = datetime(2026, 11, 29, tzinfo=UTC)
_ROOT = re.compile(ROOT_PATH)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The root path is repeated in every link, so it must not be long.
_MAX_ROOT = 200


@dataclass(frozen=True, slots=True)
class Base:
    """The prefix of a route's path: the root path and the version. Each may be empty."""

    root: str = ""
    version: str = ""

    def __str__(self) -> str:
        return self.root + self.version


_base: ContextVar[Base | None] = ContextVar("base", default=None)


def current_base() -> Base:
    """The base of the current request; outside of a request, the configured root path and this version."""
    return _base.get() or Base(get_settings().root_path, VERSION_PATH)


def address(path: str) -> str:
    """The path of a link to `path` of this API, with the prefix that the client used."""
    return f"{current_base()}{path}"


def is_versioned(path: str) -> bool:
    """True for the path of a route that belongs to a version of the API."""
    return path not in UNVERSIONED and not path.startswith(_FOLDERS)


class Addressing:
    """ASGI middleware. It strips root path and version from the path, and keeps them for links.

    `/uploads/` is treated as `/uploads`. A redirect would contain the `Host` header, which clients choose.

    Paths with control characters do not exist. The router's patterns end with `$`, which also matches before a line
    break at the end: `/keys` and a line break would be the route `/keys`, but not for guards that compare paths.

    A trusted proxy sends the root path in `X-Forwarded-Prefix`. It may strip the root path from the request's path, or
    leave it.

    Args:
        app: The application to call.
        root_path: The root path of requests without such a header.
        trusted: Addresses and networks of trusted proxies; `*` trusts every client.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted: list[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusts_all = "*" in trusted
        # Compared before parsing, which would cost more for every request. This also matches the names of test clients.
        self._literals = frozenset(trusted)
        self._networks = [ip_network(one, strict=False) for one in trusted if is_network(one)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under the path of its route."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _CONTROL.search(scope["path"]):
            await _nothing()(scope, receive, send)
            return
        root = self._root(scope)
        # The server has decoded the path; links are encoded.
        path, plain = scope["path"], unquote(root)
        if root and path == plain:
            # Relative links of the page need the slash at the end.
            await RedirectResponse(f"{root}/", 308)(scope, receive, send)
            return
        # Some proxies forward the whole path, others strip their prefix first; both work.
        if root and path.startswith(f"{plain}/"):
            path = path[len(plain) :]
        version, path = _split_version(path)
        _base.set(Base(root, version))
        # Starlette would remove root_path from the path once more.
        inner = {**scope, "path": path.rstrip("/") or "/", "root_path": ""}
        if version or not is_versioned(path):
            await self._app(inner, receive, send)
            return
        await self._app(inner, receive, _deprecated(send, f"{root}{VERSION_PATH}{path}"))

    def _root(self, scope: Scope) -> str:
        """The root path of the request. A header that is not a path is ignored."""
        prefixes = Headers(scope=scope).getlist("x-forwarded-prefix")
        if not prefixes or not self._trusts(scope):
            return self._root_path
        # Nested proxies append their prefixes to the header, outermost first.
        given = "".join(part.strip().rstrip("/") for value in prefixes for part in value.split(","))
        # Some proxies send the prefix as it is written in their configuration, not encoded.
        root = quote(given.encode("latin-1"), safe="/%~@+=!$:*")
        return root if len(root) <= _MAX_ROOT and _ROOT.fullmatch(root) else self._root_path

    def _trusts(self, scope: Scope) -> bool:
        host = scope["client"][0] if scope.get("client") else ""
        if self._trusts_all or host in self._literals:
            return True
        try:
            found = ip_address(host)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def _nothing() -> ASGIApp:
    # Imported late, because workers import this module and need no web framework.
    from sentiloc.app.http.handlers import error_response
    from sentiloc.app.http.lingering import LingeringResponse

    nothing = ProblemError(404, ProblemCode.NOT_FOUND, "There is nothing at this path.")
    # The request's body is unread.
    return LingeringResponse(error_response(nothing))


def _split_version(path: str) -> tuple[str, str]:
    rest = path.removeprefix(VERSION_PATH)
    # `/v1/web/…` does not exist: a page has one address only.
    is_api = rest != path and rest.startswith("/") and (is_versioned(rest) or rest == "/openapi.json")
    return (VERSION_PATH, rest) if is_api else ("", path)


def _deprecated(send: Send, successor: str) -> Send:
    """Add the deprecation headers to an answer of a path without a version."""
    notice = Deprecation(since=_ALIASES_SINCE, successor=successor).headers()

    async def send_marked(message: Message) -> None:
        # A path that does not exist has no successor to announce.
        if message["type"] == "http.response.start" and message["status"] not in (404, 405):
            headers = MutableHeaders(scope=message)
            for name, value in notice.items():
                headers.setdefault(name, value)
        await send(message)

    return send_marked
