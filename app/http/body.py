"""Reads request bodies: as a stream with a time limit between chunks, or whole as checked JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
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


T = TypeVar("T", bound=BaseModel)
_SHOWN = 10


async def read_body(request: Request, limit: int, idle_seconds: float) -> bytes:
    """The whole body; raises the 413 problem beyond `limit` bytes, and those of one that stalls or is cut off."""
    data = bytearray()
    async for chunk in body_chunks(request, idle_seconds):
        data += chunk
        if len(data) > limit:
            problem = ProblemError(413, ProblemCode.BODY_TOO_LARGE, f"The body is larger than {limit} bytes.")
            problem.body_is_unread = True
            raise problem
    return bytes(data)


def parse_body(model: type[T], body: bytes) -> T:
    """The body as `model`; raises the 422 problem that names each place that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        places = [(".".join(map(str, item["loc"])) or "body", item["msg"]) for item in error.errors()]
        detail = "; ".join(f"{place}: {message}" for place, message in places[:_SHOWN])
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail) from error
