"""Conditional requests: ETag, If-None-Match and 304 Not Modified."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

JSON_TYPE = "application/json"

ETAG_HEADER: dict[str, Any] = {
    "ETag": {"description": "Send it back as If-None-Match", "schema": {"type": "string"}}
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The content still has the ETag sent in `If-None-Match`", "headers": ETAG_HEADER}
}


def tagged(request: Request, content: str | bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """`content` with its ETag, or an empty 304 if the client already has it."""
    data = content.encode() if isinstance(content, str) else content
    # 128 bits exclude accidental equality; the tag protects nothing.
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {**headers, "ETag": tag}
    if names_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def names_tag(if_none_match: str, tag: str) -> bool:
    """Whether an `If-None-Match` header names the tag."""
    # Weak comparison (RFC 9110, 13.1.2): proxies that compress mark tags as weak.
    known = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return tag in known or "*" in known
