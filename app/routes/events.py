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

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.jobs.events import HEARTBEAT_SECONDS, EventStreams, JobEvent
from sentiloc.app.routes.jobs import BAD_ID, NO_REDIS, UNKNOWN, JobId
from sentiloc.app.services import ServicesDep

logger = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])

EVENT_STREAM = "text/event-stream"
_ID = re.compile(r"\d{1,20}-\d{1,20}")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# No type: to some readers a stream is a text, to others each of its events is an object.
_LINES = {"description": "Events: lines `id`, `event` and `data` (JSON), and an empty one after each"}
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
    summary="Follow a job by server-sent events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `state`, `progress`, `position`, and `final` at the end",
            "content": {EVENT_STREAM: {"schema": _LINES, "example": _EXAMPLE}},
        },
        204: {"description": "The final event was already sent: stop listening"},
        **documented(
            UNKNOWN,
            BAD_ID,
            NO_REDIS,
            (503, ProblemCode.TOO_MANY_STREAMS, "Too many clients listen to events; poll the job instead, …"),
        ),
    },
)
async def events(
    job_id: JobId, services: ServicesDep, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Everything that happened so far, then what happens. `Last-Event-ID` goes on after that event."""
    after = last_event_id if last_event_id and _ID.fullmatch(last_event_id) else "0"
    streams = services.events
    record = await streams.record(job_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise ProblemError(*UNKNOWN)
    if await streams.is_over(job_id, after):
        return Response(status_code=204)
    with streams.place():
        pass
    return StreamingResponse(_lines(streams, job_id, after), media_type=EVENT_STREAM, headers=_HEADERS)


async def _lines(streams: EventStreams, job_id: str, after: str) -> AsyncIterator[str]:
    with streams.place():
        yield _RETRY
        spoken = time.monotonic()
        try:
            async for event in streams.follow(job_id, after):
                if event is not None or time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                    yield ": still here\n\n" if event is None else event.encode()
                    spoken = time.monotonic()
        except RedisError as error:
            # The client comes back by itself, with the id of the last event that it saw.
            logger.warning("events of job %s broke off: %s", job_id, error)
