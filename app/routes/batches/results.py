"""`/batches/{id}/results` and `/batches/{id}/export`: the results of a batch, streamed while they are read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.batches.archive import FileNames, zip_stream
from sentiloc.app.batches.record import BatchRecord
from sentiloc.app.formats import FORMATS
from sentiloc.app.http.problems import ProblemCode, ProblemError, RedisUnavailable, documented
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.routes.batches.batches import BAD_BATCH_ID, BatchDep, BatchNotFound
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.routes.results.result import Cut, file_of, json_of
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(prefix="/batches/{batch_id}", tags=["batches"])

LINES_TYPE, ZIP_TYPE = "application/x-ndjson", "application/zip"
_LINE: dict[str, Any] = {
    "index": 0,
    "job_id": EXAMPLE_ID,
    "name": "holiday.mp4",
    "state": "failed",
    "metadata": {"project": "holiday", "reel": 3},
    "tags": [],
    "result": None,
    "error": {"code": "corrupt_media", "detail": "The file ends in the middle of the video."},
}
_LINES = {
    "description": "One JSON object a line, in the order of the items; `result` as `GET /v1/jobs/{id}/result` has it",
    "content": {
        LINES_TYPE: {
            # No schema type, because some tools treat the lines as one text, others each line as an object.
            "schema": {"description": "Lines of JSON"},
            "example": json.dumps(_LINE) + "\n",
        }
    },
}
_ARCHIVE = {
    "description": "A zip archive: one file for each job with a result, and `index.csv` about all of them",
    "content": {ZIP_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}
_BAD_QUERY = (422, ProblemCode.INVALID_REQUEST, "query.format: must be one of json, csv, vtt, srt …")


class LinesQuery(BaseModel):
    """The selection of lines, and their size."""

    model_config = ConfigDict(extra="forbid")

    state: list[JobState] | None = Field(None, description="Jobs in one of these states; may be repeated")
    curve: bool = Field(True, description="Whether results contain the scores of every snippet")


@router.get(
    "/results",
    operation_id="getBatchResults",
    summary="Get all results of a batch",
    response_class=StreamingResponse,
    responses={200: _LINES, **documented(BatchNotFound, BAD_BATCH_ID, _BAD_QUERY, RedisUnavailable)},
)
def results(record: BatchDep, query: Annotated[LinesQuery, Query()], services: ServicesDep) -> Response:
    """Can also be called while jobs run. A job without a result has `result` null, and an `error` if it has failed."""
    states = set(query.state or JobState)
    return StreamingResponse(
        _lines(services, record, states, query.curve), media_type=LINES_TYPE, headers=NO_STORE
    )


def _lines(services: Services, batch: BatchRecord, states: set[JobState], curve: bool) -> Iterator[str]:
    for index, (job_id, job) in enumerate(services.batches.jobs(batch.id)):
        if job is None:
            line: dict[str, Any] = {"index": index, "job_id": job_id, "state": "deleted", "result": None}
        elif job.state in states:
            line = {"index": index, **_line(services, job, curve)}
        else:
            continue
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _line(services: Services, job: JobRecord, curve: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "job_id": job.id,
        "name": job.source_name,
        "state": job.state,
        "metadata": job.options.metadata,
        "tags": job.options.tags,
        "result": None,
        "error": None,
    }
    if job.state in (JobState.SUCCEEDED, JobState.FAILED):
        try:
            shown["result"] = json_of(services, job, Cut())
            if not curve:
                shown["result"]["curve"] = None
        except ProblemError as error:
            shown["error"] = {"code": error.code, "detail": error.detail}
    return shown


class ExportQuery(Cut):
    """The format and the cut options, as for one result, except that the format is required."""

    format: str = Field(
        pattern=f"^({'|'.join(('json', *FORMATS))})$", description="A name of `GET /v1/formats`, or `json`"
    )


@router.get(
    "/export",
    operation_id="exportBatch",
    summary="Export a batch as one archive",
    response_class=StreamingResponse,
    responses={200: _ARCHIVE, **documented(BatchNotFound, BAD_BATCH_ID, _BAD_QUERY, RedisUnavailable)},
)
def export(record: BatchDep, query: Annotated[ExportQuery, Query()], services: ServicesDep) -> Response:
    """Every result in one format. `index.csv` names the file of each job, or says why there is none."""
    name = f"batch-{record.id}.{query.format}.zip"
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(
        zip_stream(_files(services, record, query)), media_type=ZIP_TYPE, headers=headers
    )


def _files(services: Services, batch: BatchRecord, cut: Cut) -> Iterator[tuple[str, bytes]]:
    names, table = FileNames(), io.StringIO()
    # Reserved, so that a video of this name is numbered.
    names.unused("index.csv")
    rows = csv.writer(table)
    rows.writerow(("index", "job_id", "name", "state", "file", "error"))
    for index, (job_id, job) in enumerate(services.batches.jobs(batch.id)):
        file, error = "", ""
        if job is not None:
            try:
                found = file_of(services, job, cut)
                file = names.unused(found.name)
                yield file, found.content
            except ProblemError as problem:
                error = str(problem.code)
        shown = ("", "deleted") if job is None else (job.source_name, job.state)
        rows.writerow((index, job_id, *map(_cell, shown), _cell(file), error))
    # Last, because its lines are known only when every file is written.
    yield "index.csv", table.getvalue().encode()


def _cell(text: str) -> str:
    """Escape a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
