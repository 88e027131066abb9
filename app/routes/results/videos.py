"""Stored videos, with byte ranges, for a player: uploads and reels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse, RedirectResponse

from sentiloc.app.http.answers import FileAnswer
from sentiloc.app.http.etags import NOT_MODIFIED
from sentiloc.app.http.problems import ProblemError
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.routes.results.problems import missing
from sentiloc.app.services import Services
from sentiloc.model.errors import ErrorCode, SentilocError

# Sandboxed, because an uploaded file may really be HTML, and must not run as this site.
VIDEO_HEADERS = {"Cache-Control": "private, no-cache", "Content-Security-Policy": "sandbox"}


def video_answers(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """The documented answers of a route that sends a video: whole, in part, or from an object store."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": description, "content": content},
        206: {"description": "The requested range", "content": content},
        307: {"description": "The video is in an object store: `Location` is valid for 15 minutes"},
        **NOT_MODIFIED,
    }


def send_video(
    services: Services, key: str, media_type: str, gone: str, headers: Mapping[str, str] = VIDEO_HEADERS
) -> Response:
    """Send the file under a storage key, or a redirect to it; raises a 410 with the detail `gone`, or the store's
    fault.
    """
    link = services.storage.link(key)
    # The object store's own "not found" would not be a problem document.
    if link is not None and services.storage.size(key) is not None:
        return RedirectResponse(link, headers=NO_STORE)
    try:
        with services.storage.local_path(key) as path:
            # With its state, the file's ETag is known before it is sent.
            state = path.stat()
            response = FileResponse(path, media_type=media_type, headers=headers, stat_result=state)
            return FileAnswer(response, gone=ProblemError(410, ErrorCode.SOURCE_MISSING, gone))
    except SentilocError as error:
        raise missing(error, gone) from error
