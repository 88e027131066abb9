"""The files of the page: held in memory, compressed once, and revalidated by an entity tag."""

from __future__ import annotations

import base64
import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastapi import Response
from starlette.requests import Request

_SMALL = 500  # bytes: below this, compression saves nothing
_TEXT = ("text/", "image/svg+xml", "application/javascript")
_INLINED = {
    "style.css": ('<link rel="stylesheet" href="web/style.css">', "style"),
    "theme.js": ('<script src="web/theme.js"></script>', "script"),
    "start.js": ('<script src="web/start.js"></script>', "script"),
}
"""How the start page links the files that its first paint waits for, and the elements that take their place."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent: `body`, `packed` (gzip) where that is smaller, its type and its tag."""

    body: bytes
    packed: bytes | None
    media_type: str
    tag: str
    policy: str


def read_page_file(path: Path, policy: str) -> PageFile:
    """The file at `path`; the start page gets its first style sheet and its two plain scripts inlined.

    Args:
        path: a file of the page; it is read again only after it has changed.
        policy: content security policy, to which the hashes of the inlined files are added.
    """
    # Part of the cache's key, so that edited files show without a restart.
    stamps = tuple(one.stat().st_mtime_ns for one in (path, *_inlined(path)))
    return _read(path, policy, stamps)


def send_page_file(file: PageFile, request: Request, headers: dict[str, str]) -> Response:
    """The file, compressed for clients that accept gzip, or 304 if the client has it."""
    headers = {**headers, "Content-Security-Policy": file.policy, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed is None or not _accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(file.body, headers=headers, media_type=file.media_type)
    return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)


def _accepts_gzip(header: str) -> bool:
    """True if `Accept-Encoding` names gzip with a weight above zero."""
    for part in header.split(","):
        name, _, weight = part.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return False


@lru_cache(maxsize=256)
def _read(path: Path, policy: str, stamps: tuple[int, ...]) -> PageFile:
    _ = stamps
    body = path.read_bytes()
    for one in _inlined(path):
        link, element = _INLINED[one.name]
        text = one.read_text(encoding="utf-8")
        body = body.replace(link.encode(), f"<{element}>{text}</{element}>".encode(), 1)
        policy = policy.replace(f"{element}-src 'self'", f"{element}-src 'self' {_source(text)}")
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(body, mtime=0) if len(body) > _SMALL and media_type.startswith(_TEXT) else None
    # Weak, because the compressed and the plain body share the tag.
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    return PageFile(body=body, packed=packed, media_type=media_type, tag=tag, policy=policy)


def _inlined(path: Path) -> tuple[Path, ...]:
    """The files that are inlined into the start page; the other pages link them."""
    return tuple(map(path.with_name, _INLINED)) if path.name == "index.html" else ()


def _source(text: str) -> str:
    """The hash of an inlined text, as a source of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
