"""A request's body as it comes in: bounded patience, typed ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from sentiloc.app.http.problems import ProblemCode, ProblemError

FLUSH_BYTES = 1 << 20
"""Enough to be worth a write."""


async def body_chunks(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The request's body as it comes; raises the problems of one that stalls or is cut off."""
    stream = aiter(request.stream())
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), idle_seconds)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            detail = f"The upload sent nothing for {idle_seconds:g} seconds."
            raise ProblemError(408, ProblemCode.UPLOAD_TIMEOUT, detail) from error
        except ClientDisconnect as error:
            raise ProblemError(400, ProblemCode.UPLOAD_INCOMPLETE, "The upload was cut off.") from error
        yield chunk
