"""Audit log of requests that change something, or that read a video or its results."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.access.caller import Caller, current_caller
from sentiloc.app.access.request_rules import SIGN_IN_PATHS
from sentiloc.app.telemetry.audit import AuditLog
from sentiloc.app.telemetry.logs import request_id_context, without_keys

_READING = frozenset({"GET", "HEAD"})
# Whole parts of a path: the page has files such as `/web/cuts.js`.
_CONTENT = re.compile(
    r"/(video|results?|export|curve|thumbnails|feedback|diff|events|highlights|shared)(/|$)"
)
# Requests refused before the caller is known appear in the service's log and metrics only. Otherwise anyone could fill
# the audit log.
_UNKNOWN = frozenset({401, 421, 429})
# Clients choose the ids in a path, so long ones could fill the log.
_MAX_ID = 64


class AuditMiddleware:
    """ASGI middleware around `KeyGuard`, which identifies the caller."""

    def __init__(self, app: ASGIApp, log: AuditLog, *, keys_required: bool) -> None:
        self._app = app
        self._log = log
        self._keys_required = keys_required

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, then write what it was and how it ended."""
        if scope["type"] != "http" or not _is_audited(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        # An exception that leaves the application becomes a 500 further out.
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # In `finally`, so that a request whose client has disconnected is logged, too.
            if status not in _UNKNOWN and self._is_known(scope["path"], status):
                self._write(scope, status)

    def _is_known(self, path: str, status: int) -> bool:
        """True for a request with a key. Without one, sign-ins are left out, and failures on a server that needs
        keys.
        """
        if current_caller().key_id is not None:
            return True
        is_sign_in = path in SIGN_IN_PATHS
        return not is_sign_in and (not self._keys_required or status < HTTPStatus.BAD_REQUEST)

    def _write(self, scope: Scope, status: int) -> None:
        given = scope.get("path_params", {})
        # A token gives access, so it must not be in the log.
        ids = {name: without_keys(str(value))[:_MAX_ID] for name, value in given.items() if name != "token"}
        self._log.write(
            caller_name(current_caller()),
            f"{scope['method']} {getattr(scope.get('route'), 'path', 'unmatched')}",
            **ids,
            status=status,
            address=scope["client"][0] if scope.get("client") else None,
            request=request_id_context.get(),
        )


def caller_name(caller: Caller) -> str:
    """The caller as the audit log names it."""
    if caller.key_id is None:
        return "anyone"
    person = "" if caller.person is None else f" person:{caller.person}"
    return f"key:{caller.key_id}{person}"


def _is_audited(method: str, path: str) -> bool:
    if method not in _READING:
        return method != "OPTIONS"
    return path in SIGN_IN_PATHS or _CONTENT.search(path) is not None
