"""Shared by the routes: path parameters, the job of a request, and common answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Response
from pydantic import BaseModel

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.address import address
from sentiloc.app.http.problems import ProblemCode, TypedProblem
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.schemas.jobs import EXAMPLE_ID, JobBody, job_body
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.storage.base import Storage

JOB_ID = "[A-Za-z0-9_-]{1,64}"
JobId = Annotated[str, Path(pattern=f"^{JOB_ID}$", examples=[EXAMPLE_ID])]

POLL_SECONDS = "1"
NO_STORE = {"Cache-Control": "no-store"}
BAD_ID = (422, ProblemCode.INVALID_REQUEST, "path.job_id: must be an id: at most 64 letters, digits, - or _")


def video_sources(storage: Storage) -> str:
    """The sources of videos for a content security policy.

    Requests for videos are redirected to the object store, if there is one, and browsers check the target, too.
    """
    return " ".join(("'self'", *filter(None, [storage.link_origin])))


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that parses its JSON body itself; `app.openapi` adds the model's schema."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


class JobNotFound(TypedProblem):
    """The id is unknown, or the job belongs to another API key: the two are indistinguishable."""

    of_status = 404
    of_code = ProblemCode.JOB_NOT_FOUND
    example = "There is no job with this id."


async def find_job(job_id: JobId, services: ServicesDep) -> JobRecord:
    """The job of the request's path; raises `JobNotFound`. Runs on the event loop, without a thread."""
    record, _ = await services.reader.get(job_id)
    return visible(record)


JobDep = Annotated[JobRecord, Depends(find_job)]


def reload(services: Services, job_id: str) -> JobRecord:
    """The job as it is now, for routes that have just changed it; raises `JobNotFound`."""
    return visible(services.store.get(job_id))


def visible(record: JobRecord | None) -> JobRecord:
    """The record, if the caller may see it; raises `JobNotFound`."""
    if record is None or not current_caller().may_see(record.key_id):
        raise JobNotFound
    return record


async def accepted(response: Response, services: Services, record: JobRecord, *, is_new: bool) -> JobBody:
    """The answer to a request for a job: its location, and whether an earlier request created it."""
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = address(f"/jobs/{record.id}")
    response.headers.update(NO_STORE)
    # The position in the queue is known only after the job was queued.
    return job_body(record, (await services.reader.get(record.id))[1])
