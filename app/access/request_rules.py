"""What a request needs and counts as, by its method and path. Paths that need no key are listed here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sentiloc.app.access.caller import Scope as KeyScope
from sentiloc.app.http.address import VERSION_PATH
from sentiloc.app.http.multipart import FORM_OVERHEAD

SIGN_IN_PATHS = frozenset({"/session", "/signin", "/signin/callback", "/signin/backchannel", "/signout"})
"""Where people sign in on the page: they have no key yet. `routes.account.sign_in` checks these requests."""
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", *SIGN_IN_PATHS})
OPEN_FOLDERS = ("/web/", "/docs/", "/shared/", "/embed/")
"""Shared links carry their own signature; `routes.reels.share` checks it."""
# Only these count against the quota; deleting or reading must work when it is used up.
_JOB_MAKERS = re.compile(r"/(localize(/url|/upload)?|uploads|batches|jobs/[^/]+/rerun)/?")
READING_METHODS = frozenset({"GET", "HEAD"})
_POLL = re.compile(r"/jobs/(?!summary$)[^/]+")
_LASTING = re.compile(r"/(localize(/upload)?|uploads(/.*)?|jobs/[^/]+/(events|video)|reels/[^/]+/video)/?")
"""Requests that last as long as their bytes take or their job runs, and use a thread for moments only."""
_LISTS = re.compile(r"/(jobs(/summary)?|reels|batches|feedback/export|usage)/?")
"""Requests that may read thousands of records."""


def is_open(path: str) -> bool:
    """True for paths that need no key: the page, the docs, the health checks and shared links."""
    # Paths come with and without the version.
    path = path.removeprefix(VERSION_PATH)
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def makes_jobs(method: str, path: str) -> bool:
    """True for a request that creates a job, which counts against the key's quota."""
    return method == "POST" and _JOB_MAKERS.fullmatch(path) is not None


def makes_records(method: str, path: str) -> bool:
    """True for a request that creates a job of any kind, which stays until its record expires."""
    return makes_jobs(method, path) or (method == "POST" and path.removesuffix("/") == "/reels")


def needed_scope(method: str, path: str) -> KeyScope:
    """The scope that a key needs for a request."""
    if path == "/metrics":
        return KeyScope.METRICS
    if path == "/keys" or path.startswith("/keys/"):
        return KeyScope.ADMIN
    return KeyScope.READ if method in READING_METHODS else KeyScope.WRITE


def is_quick_or_lasting(method: str, path: str) -> bool:
    """True for a poll of a job, which needs no thread, and for requests that move bytes or wait for a job."""
    return (method == "GET" and _POLL.fullmatch(path) is not None) or _LASTING.fullmatch(path) is not None


def reads_many(method: str, path: str) -> bool:
    """True for a request that may read thousands of records."""
    return method != "POST" and _LISTS.fullmatch(path) is not None


def stated_bytes(path: str, headers: Mapping[str, str]) -> int:
    """The least number of bytes that a request for a job will store, by its headers."""
    path = path.removesuffix("/")
    if path == "/uploads":
        length = headers.get("upload-length", "")
    elif path == "/localize" and headers.get("content-type", "").lower().startswith("multipart/"):
        length = headers.get("content-length", "")
    else:
        # The bytes of an upload are counted already. Of all others at least one is new.
        return 0 if path in ("/localize", "/localize/upload", "/batches") else 1
    # The route refuses other lengths.
    known = int(length) if length.isascii() and length.isdigit() and len(length) <= 18 else 0
    return max(1, known - (FORM_OVERHEAD if path == "/localize" else 0))
