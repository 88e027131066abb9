"""`GET /usage`: the usage of API keys by day."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.daily import ERASED, FIRST_DAY, DayOfUse, today, used_by_day
from sentiloc.app.http.etags import JSON_TYPE
from sentiloc.app.http.problems import InvalidRequest, ProblemCode, RedisUnavailable, documented
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.schemas.base import Body
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(tags=["account"])

_MOST_DAYS = 400
_COLUMNS = ("day", "key_id", "succeeded", "failed", "cancelled", "media_seconds")
_DAY: dict[str, Any] = {
    "day": "2026-01-31",
    "key_id": "3f9a1c07be52",
    "succeeded": 12,
    "failed": 1,
    "cancelled": 0,
    "media_seconds": 742.5,
}
_CSV = ",".join(_COLUMNS) + "\r\n" + ",".join(str(_DAY[name]) for name in _COLUMNS) + "\r\n"
_OK: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The days with any use, as JSON or as CSV",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": _CSV}},
    }
}


class UsageQuery(BaseModel):
    """The days and the key."""

    model_config = ConfigDict(extra="forbid")

    first: date | None = Field(
        None, ge=FIRST_DAY, alias="from", description="First day (UTC); default: 30 days ago"
    )
    last: date | None = Field(
        None, ge=FIRST_DAY, alias="to", description="Last day (UTC), included; default: today"
    )
    key: str | None = Field(
        None, pattern="^[A-Za-z0-9]{1,64}$", description="Only this key; default: all that the caller may see"
    )
    format: Literal["json", "csv"] = "json"


class DayBody(Body):
    """One day of one key."""

    day: date
    key_id: str | None = Field(
        description="null: jobs without a key; `erased`: all keys whose data was erased, for admins"
    )
    succeeded: int = Field(description="Jobs that ended on this day")
    failed: int
    cancelled: int
    media_seconds: float = Field(description="Seconds of video that were localized")


class UsageBody(Body):
    """Usage by day and key. Days without usage are left out."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={"examples": [{"from": "2026-01-02", "to": "2026-01-31", "days": [_DAY]}]},
    )

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    days: list[DayBody]


@router.get(
    "/usage",
    operation_id="getUsage",
    summary="Get the usage by day",
    response_model=UsageBody,
    responses={
        **_OK,
        **documented(
            (
                422,
                ProblemCode.INVALID_REQUEST,
                "query: `from` is after `to`, or more than 400 days before it",
            ),
            RedisUnavailable,
        ),
    },
)
def usage(query: Annotated[UsageQuery, Query()], request: Request, services: ServicesDep) -> Response:
    """A key sees its own usage; a key with the scope `admin` sees that of every key."""
    last = query.last or today()
    # Both ends count, so these are 30 days.
    first = query.first or last - timedelta(days=29)
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise InvalidRequest("query: `from` is after `to`, or more than 400 days before it")
    redis, prefix = services.store.redis, services.store.prefix
    days = used_by_day(redis, prefix, _visible(services, query.key), first, last)
    # The first day is read now, so that a Redis that is away gets a problem as its answer. The others are sent as they
    # are read: a large service has millions of rows in 400 days.
    days = chain([next(days, [])], days)
    if query.format == "csv" or request.headers.get("accept", "").startswith("text/csv"):
        headers = {**NO_STORE, "Content-Disposition": 'attachment; filename="usage.csv"'}
        return StreamingResponse(_table(days), media_type="text/csv", headers=headers)
    return StreamingResponse(_document(first, last, days), media_type=JSON_TYPE, headers=NO_STORE)


def _visible(services: Services, key: str | None) -> list[str]:
    """The ids of the keys whose usage is shown; '' stands for jobs without a key, `ERASED` for erased data."""
    caller = current_caller()
    if not caller.sees_all:
        own = caller.key_id or ""
        # An empty answer, not 403: other keys' ids are not confirmed.
        return [own] if key in (None, own) else []
    every = ["", ERASED, *services.keys.ids()]
    return every if key is None else [one for one in every if one == key]


def _document(first: date, last: date, days: Iterable[list[DayOfUse]]) -> Iterator[str]:
    """The text of a `UsageBody`, in parts."""
    head, tail = UsageBody(first=first, last=last, days=[]).model_dump_json(by_alias=True).split("[]")
    yield f"{head}["
    comma = ""
    for day in days:
        if day:
            yield comma + ",".join(_body(one).model_dump_json() for one in day)
            comma = ","
    yield f"]{tail}"


def _body(one: DayOfUse) -> DayBody:
    return DayBody(**{name: getattr(one, name) for name in _COLUMNS})


def _table(days: Iterable[list[DayOfUse]]) -> Iterator[str]:
    yield _rows([_COLUMNS])
    for day in days:
        yield _rows([getattr(one, name) for name in _COLUMNS] for one in day)


def _rows(rows: Iterable[Iterable[object]]) -> str:
    table = io.StringIO()
    csv.writer(table).writerows(rows)
    return table.getvalue()
