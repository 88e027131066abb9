"""`POST /cuts`: chosen moments as a sequence for an editing program."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from sentiloc.app.cuts import CUT_FORMATS
from sentiloc.app.cuts.sequence import Sequence, SequenceOptions
from sentiloc.app.formats.timeline import TimelineError
from sentiloc.app.http.body import parse_body, read_body
from sentiloc.app.http.etags import JSON_TYPE
from sentiloc.app.http.file_names import sent_disposition
from sentiloc.app.http.problems import (
    BodyTooLarge,
    ProblemCode,
    ProblemError,
    RedisUnavailable,
    documented,
)
from sentiloc.app.routes.deps import NO_STORE, JobNotFound, json_body
from sentiloc.app.routes.reels.clips import make_sequence
from sentiloc.app.routes.results.problems import RESULT_PROBLEMS, STORE_DOWN, IsReel
from sentiloc.app.schemas.reels import CutRequest
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(tags=["reels"])

MAX_BODY_BYTES = 256 * 1024
# The beginning of an example file in each format.
_FIRST_LINES = {
    "edl": "TITLE: Highlights\nFCM: NON-DROP FRAME\n",
    "fcp7": '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n<xmeml version="5">',
    "fcpxml": '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n<fcpxml version="1.10">',
    "otio": '{"OTIO_SCHEMA": "Timeline.1", "name": "Highlights"}',
    "mlt": '<?xml version="1.0" encoding="utf-8"?>\n<mlt title="Highlights">',
    "llc": "{version: 1, mediaFileName: 'holiday.mp4', cutSegments: []}",
}
_FILES: dict[str, Any] = {
    known.media_type: {"schema": {"type": "string"}, "example": _FIRST_LINES[name]}
    for name, known in CUT_FORMATS.items()
}
_FILES["application/zip"] = {"schema": {"type": "string", "format": "binary"}}
CUT_ANSWER: dict[str, Any] = {
    "description": "The sequence in the requested format",
    "content": _FILES,
    "headers": {
        "Sentiloc-Notes": {
            "description": "The number of things that the format cannot represent exactly, and the first of them",
            "schema": {"type": "string"},
        }
    },
}


class CutFormatBody(BaseModel):
    """A format of cuts."""

    name: str = Field(description="For `format`")
    title: str
    media_type: str
    extension: str


@router.get(
    "/cuts/formats",
    summary="List the formats of cuts",
    operation_id="listCutFormats",
    responses={
        200: {
            "content": {
                JSON_TYPE: {
                    "example": [
                        {
                            "name": "mlt",
                            "title": "Kdenlive, Shotcut (MLT XML)",
                            "media_type": "application/vnd.mlt+xml",
                            "extension": "mlt",
                        }
                    ]
                }
            }
        }
    },
)
def formats() -> list[CutFormatBody]:
    """Formats in which `POST /v1/cuts` and `GET /v1/highlights` write a sequence."""
    return [
        CutFormatBody(name=name, title=known.title, media_type=known.media_type, extension=known.extension)
        for name, known in CUT_FORMATS.items()
    ]


@router.post(
    "/cuts",
    summary="Write a cut for an editing program",
    operation_id="exportCuts",
    response_class=Response,
    openapi_extra=json_body(CutRequest),
    responses={
        200: CUT_ANSWER,
        **documented(
            JobNotFound,
            IsReel,
            *RESULT_PROBLEMS,
            BodyTooLarge,
            (422, ProblemCode.INVALID_REQUEST, "70 to 71 s is not part of holiday.mp4, which lasts 60 s."),
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
async def cut(request: Request, services: ServicesDep) -> Response:
    """Parts of several videos in sequence, with the original videos as sources. Cuts are at frame boundaries."""
    body = await read_body(request, MAX_BODY_BYTES, services.settings.upload_idle_seconds)
    asked = parse_body(CutRequest, body)
    return await services.combining.run(_cut, services, asked)


def _cut(services: Services, asked: CutRequest) -> Response:
    options = SequenceOptions(
        title=asked.title,
        fps=asked.fps,
        drop_frame=asked.drop_frame,
        start_timecode=asked.start_timecode,
        folder=asked.folder,
    )
    sequence, _ = make_sequence(services, asked.clips, options)
    return write_cut(sequence, asked.format)


def write_cut(sequence: Sequence, name: str) -> Response:
    """The file of a sequence as a download; `Sentiloc-Notes` says what the format cannot represent."""
    known = CUT_FORMATS[name]
    try:
        file = known.write(sequence)
    except TimelineError as error:
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, str(error)) from error
    headers = {**NO_STORE, "Content-Disposition": sent_disposition("attachment", file.name)}
    if notes := known.notes(sequence):
        # Header values must be Latin-1, and file names may be anything.
        headers["Sentiloc-Notes"] = f"{len(notes)}; {notes[0]}".encode("ascii", "replace").decode()
    return Response(file.data, media_type=file.media_type, headers=headers)
