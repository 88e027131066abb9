"""`/jobs/{id}/curve`: the scores of every snippet, as JSON or as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from sentiloc.app.http.accept import choose
from sentiloc.app.http.etags import ETAG_HEADER, JSON_TYPE, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import RedisUnavailable, documented
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobNotFound
from sentiloc.app.routes.results.problems import STORE_DOWN, IsReel, ResultExpired, ResultNotReady
from sentiloc.app.routes.results.stored import read_result
from sentiloc.app.schemas.results import EXAMPLE_RESULT, CurveBody
from sentiloc.app.schemas.tasks import SeriesCurveBody
from sentiloc.app.services import ServicesDep
from sentiloc.model.errors import ErrorCode
from sentiloc.model.results.result import Curve, parse_result
from sentiloc.model.results.task_result import SeriesCurve

router = APIRouter(tags=["results"])

CSV_TYPE = "text/csv"
_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
_SERIES = ("negative", "positive", "non_sentiment", "saliency", "face_present")


def as_csv(curve: Curve | SeriesCurve) -> str:
    """One row per value: its times in seconds, its scores, and whether a face was found (0 or 1)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns: dict[str, Sequence[float]]
    if isinstance(curve, Curve):
        columns = {name: getattr(curve, name) for name in _SERIES}
    else:
        columns = {**curve.series, "face_present": curve.face_present}
    rows.writerow(["start", "end", *columns])
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        start, end = round(index * curve.step, 6), round((index + 1) * curve.step, 6)
        rows.writerow([start, end, *(int(value) if isinstance(value, bool) else value for value in values)])
    return text.getvalue()


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The curve",
        "headers": ETAG_HEADER,
        "content": {
            JSON_TYPE: {"example": EXAMPLE_RESULT["curve"]},
            CSV_TYPE: {"schema": {"type": "string"}, "example": as_csv(parse_result(EXAMPLE_RESULT).curve)},
        },
    }
}


@router.get(
    "/jobs/{job_id}/curve",
    summary="Get the scores over time",
    operation_id="getCurve",
    response_model=CurveBody | SeriesCurveBody,
    responses={
        **_ANSWER,
        **NOT_MODIFIED,
        **documented(
            JobNotFound,
            IsReel,
            ResultNotReady,
            ResultExpired,
            (410, ErrorCode.SOURCE_MISSING, "The result is no longer stored."),
            BAD_ID,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
def curve(
    record: JobDep,
    request: Request,
    services: ServicesDep,
    kind: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="Overrides the `Accept` header")
    ] = None,
) -> Response:
    """The scores from which the segments are cut. They are also part of the JSON result."""
    found = read_result(services, record).curve
    if (kind or _preferred(request)) == "csv":
        return tagged(request, as_csv(found), CSV_TYPE, _HEADERS)
    body = CurveBody if isinstance(found, Curve) else SeriesCurveBody
    text = body.model_validate(found, from_attributes=True).model_dump_json()
    return tagged(request, text, JSON_TYPE, _HEADERS)


def _preferred(request: Request) -> str:
    chosen = choose(request.headers.get("accept", ""), [JSON_TYPE, CSV_TYPE])
    return "csv" if chosen == CSV_TYPE else "json"
