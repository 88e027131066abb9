"""Small JSON bodies: read up to a limit, checked against a model, or answered with a problem."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.http.request_body import body_chunks

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
