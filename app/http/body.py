"""Reads request bodies: as a stream with a time limit between chunks, or whole as checked JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from sentiloc.app.http.problems import BodyTooLarge, InvalidRequest, ProblemCode, TypedProblem

# Chunks from the socket are smaller; fewer, larger writes cost less.
FLUSH_BYTES = 1 << 20
"""Chunks are collected up to this size before they are written."""


class UploadStalled(TypedProblem):
    """The client sent nothing for `seconds`."""

    of_status = 408
    of_code = ProblemCode.UPLOAD_TIMEOUT
    example = "The upload sent nothing for 30 seconds."

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The upload sent nothing for {seconds:g} seconds.")


class UploadCutOff(TypedProblem):
    """The client closed the connection before the end of the body."""

    of_status = 400
    of_code = ProblemCode.UPLOAD_INCOMPLETE
    example = "The upload was cut off."


async def body_chunks(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """Yield the request's body as it arrives; raises `UploadStalled` and `UploadCutOff`."""
    stream = aiter(request.stream())
    while True:
        try:
            # The limit is per chunk, so a large upload may take any time as long as bytes arrive.
            chunk = await asyncio.wait_for(anext(stream), idle_seconds)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise UploadStalled(idle_seconds) from error
        except ClientDisconnect as error:
            raise UploadCutOff from error
        yield chunk


T = TypeVar("T", bound=BaseModel)


async def read_body(request: Request, limit: int, idle_seconds: float) -> bytes:
    """The whole body. Raises `BodyTooLarge` beyond `limit` bytes, `UploadStalled` and `UploadCutOff`."""
    data = bytearray()
    async for chunk in body_chunks(request, idle_seconds):
        data += chunk
        # Checked while reading, because Content-Length may be missing or wrong.
        if len(data) > limit:
            raise BodyTooLarge(limit)
    return bytes(data)


def parse_body(model: type[T], body: bytes) -> T:
    """The body as `model`; raises `InvalidRequest`, which names the wrong fields and the reasons."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest.of_body(error) from error
