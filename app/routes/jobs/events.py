"""`GET /jobs/{id}/events`: follow a job by server-sent events."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from redis import RedisError

from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, TypedProblem, documented
from sentiloc.app.jobs.events import HEARTBEAT_SECONDS, EventStreams, JobEvent, TooManyStreams
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobNotFound
from sentiloc.app.services import ServicesDep

logger = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])

EVENT_STREAM = "text/event-stream"
_ID = re.compile(r"\d{1,20}-\d{1,20}")
# nginx would otherwise collect events until its buffer is full.
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# No schema type, because some tools treat the stream as one text, others each event as an object.
_LINES = {"description": "Events: the lines `id`, `event` and `data` (JSON), then an empty line"}
# Milliseconds after which a browser reconnects; its own default is up to 5 seconds.
_RETRY = "retry: 2000\n\n"
_EXAMPLE = _RETRY + "".join(
    event.encode()
    for event in (
        JobEvent(
            "progress",
            {
                "state": "extracting",
                "stage": "extracting",
                "progress": 0.42,
                "attempt": 1,
                "at": 1769860801.5,
                "eta_seconds": 2.1,
            },
            "1769860801500-0",
        ),
        JobEvent("position", {"queue_position": 3}),
    )
)


@router.get(
    "/jobs/{job_id}/events",
    summary="Stream a job's events",
    operation_id="streamJobEvents",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `state`, `progress`, `position`, and `final` at the end",
            "content": {EVENT_STREAM: {"schema": _LINES, "example": _EXAMPLE}},
        },
        204: {"description": "The final event was already sent: close the stream"},
        **documented(JobNotFound, BAD_ID, RedisUnavailable, TooManyStreams),
    },
)
async def events(
    record: JobDep, services: ServicesDep, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Sends all past events, then new ones as they happen. `Last-Event-ID` resumes after that event."""
    after = _position(last_event_id)
    streams = services.events
    if await streams.is_over(record, after):
        return Response(status_code=204)
    # The stream takes its slot only when it is sent. Check here, so that a refusal can still be a problem response.
    with streams.slot():
        pass
    return StreamingResponse(_lines(streams, record.id, after), media_type=EVENT_STREAM, headers=_HEADERS)


class InvalidEventId(TypedProblem):
    """`Last-Event-ID` has the form of an id, but no event can have it."""

    of_status = 400
    of_code = ProblemCode.BAD_REQUEST
    example = "This `Last-Event-ID` is not the id of an event. Send one that the stream contained, or none."


def _position(last_event_id: str | None) -> str:
    """The id to resume after. Texts that do not look like an id are ignored, because browsers may send any text."""
    if not last_event_id or not _ID.fullmatch(last_event_id):
        return "0"
    # Redis refuses larger stream ids.
    if any(int(part) >= 1 << 64 for part in last_event_id.split("-")):
        raise InvalidEventId
    return last_event_id


async def _lines(streams: EventStreams, job_id: str, after: str) -> AsyncIterator[str]:
    with streams.slot():
        yield _RETRY
        sent_at = time.monotonic()
        try:
            async for event in streams.follow(job_id, after):
                if event is not None or time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
                    # A comment, which clients ignore; proxies close connections that stay silent.
                    yield ": still here\n\n" if event is None else event.encode()
                    sent_at = time.monotonic()
        except RedisError as error:
            # The client reconnects by itself and sends the id of the last event that it received.
            logger.warning("job %s: its event stream broke off: %s", job_id, error)
