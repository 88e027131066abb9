"""Reads the body of an answer, within limits of size and time."""

from __future__ import annotations

from time import monotonic

import httpx

from .errors import UnexpectedAnswerError
from .retries import shown

LARGEST = 256 * 1024**2
"""Bytes of an answer that is no file. The largest results have some megabytes."""
_SECONDS = 600.0
# They describe the body as it was sent, and not as it was unpacked.
_OF_TRANSFER = ("content-encoding", "content-length", "transfer-encoding")


class BodyReader:
    """Collects a body part by part. A broken or hostile server could otherwise fill the memory, or never end.

    The timeout of the client is no limit for this: it begins anew with each byte.
    """

    def __init__(self, response: httpx.Response, *, is_file: bool, ends_at: float = float("inf")) -> None:
        """A success of a call for a file may have any size, and take any time until `ends_at`."""
        self._response = response
        is_whole_file = is_file and response.status_code < 300
        self._largest = float("inf") if is_whole_file else LARGEST
        self._ends_at = ends_at if is_whole_file else min(ends_at, monotonic() + _SECONDS)
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            UnexpectedAnswerError: The body is too large.
            httpx.ReadTimeout: It takes too long.
        """
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._largest:
            detail = f"{shown(self._response.url)} answered with more than {LARGEST >> 20} MiB"
            raise UnexpectedAnswerError(f"{detail}. Is this a Sentiloc server?")
        if monotonic() > self._ends_at:
            raise httpx.ReadTimeout("the answer takes too long", request=self._response.request)

    def answer(self) -> httpx.Response:
        """The answer with its whole body."""
        headers = [pair for pair in self._response.headers.multi_items() if pair[0] not in _OF_TRANSFER]
        return httpx.Response(
            self._response.status_code,
            headers=headers,
            content=b"".join(self._parts),
            request=self._response.request,
            extensions=self._response.extensions,
        )
