"""Answers a request whose body was not fully read, in a way that the client receives the answer.

Closing a connection while data still arrives resets it, and the reset can overtake the answer. So the answer is sent
first, incoming data is discarded for up to two seconds, and then the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib

from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

# Long enough for the answer to cross a slow network before the connection is closed.
_LINGER_SECONDS = 2.0


class LingeringResponse(Response):
    """Sends `response` with `Connection: close`, then discards what the client still sends, for up to two seconds."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status_code)
        self.raw_headers = [*response.raw_headers, (b"connection", b"close")]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, discard, close (ASGI)."""
        start: Message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        # more_body keeps the response open, so that uvicorn does not close the connection yet.
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_discard(receive), _LINGER_SECONDS)
        await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
