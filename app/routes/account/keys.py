"""`/keys`: create, list, revoke and rotate API keys. Needs the scope `admin`."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import ApiKey, NewKey
from sentiloc.app.http.address import address
from sentiloc.app.http.body import UploadCutOff, UploadStalled, parse_body, read_body
from sentiloc.app.http.cursors import InvalidCursor, decode_cursor, encode_cursor
from sentiloc.app.http.etags import JSON_TYPE
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemCode,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.request import MAX_REQUEST_BYTES
from sentiloc.app.places import parse_prefix
from sentiloc.app.routes.deps import NO_STORE, json_body
from sentiloc.app.schemas.base import Body, ShowableMoment, moment, optional_moment
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(prefix="/keys", tags=["account"])

_MAX_PAGE = 1000
_ID = "3f9a1c07be52"
_ASKED: dict[str, Any] = {"name": "edit suite", "scopes": ["read", "write"], "quota_minutes": 600}
_KEY: dict[str, Any] = {
    "id": _ID,
    "name": "edit suite",
    "scopes": ["read", "write"],
    "rate_per_minute": 1200,
    "quota_minutes": 600.0,
    "weight": 1.0,
    "s3_prefixes": ["s3://footage/edit"],
    "used_minutes": 12.5,
    "created_at": "2026-01-01T12:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-01-31T12:00:00Z",
}
KeyId = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$", examples=[_ID])]
_BAD_ID = (422, ProblemCode.INVALID_REQUEST, "path.key_id: must be an id: at most 64 letters and digits")


class KeyNotFound(TypedProblem):
    """There is no key with this id."""

    of_status = 404
    of_code = ProblemCode.KEY_NOT_FOUND
    example = "There is no API key with this id."


class KeyRequest(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ASKED]})

    name: str = Field(min_length=1, max_length=255, description="Name of the key's owner")
    scopes: list[Scope] = Field(default=[Scope.READ, Scope.WRITE], min_length=1)
    rate_per_minute: int | None = Field(
        None, ge=0, le=10**9, description="Requests per minute; 0: no limit; null: the server's default"
    )
    quota_minutes: float = Field(0.0, ge=0, le=1e9, description="Minutes of media per month; 0: no limit")
    expires_at: ShowableMoment | None = None
    weight: float = Field(
        1.0, ge=0.01, le=100, description="Share of the workers' time while jobs of several keys wait"
    )
    s3_prefixes: list[str] = Field(
        default=[], max_length=100, description="Places `s3://bucket/prefix` whose videos the key may name"
    )

    @field_validator("s3_prefixes")
    @classmethod
    def _places(cls, value: list[str]) -> list[str]:
        for place in value:
            parse_prefix(place)
        return value


class ApiKeyBody(Body):
    """An API key, without its secret."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_KEY]})

    id: str
    name: str
    scopes: list[Scope]
    rate_per_minute: int | None = Field(description="Requests per minute; null: unlimited")
    quota_minutes: float | None = Field(description="Minutes of media per month; null: unlimited")
    weight: float
    s3_prefixes: list[str]
    used_minutes: float = Field(description="Minutes used this month")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyBody(ApiKeyBody):
    """A key with its text, which is shown only now: the server keeps its hash."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {**_KEY, "key": f"sentiloc_{_ID}_…", "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZI"}
            ]
        },
    )

    key: str
    webhook_secret: str | None = Field(description="Signs webhooks of the key's jobs; null after a rotation")


class KeyListBody(Body):
    """Keys, oldest first."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"keys": [_KEY], "next_cursor": None}]}
    )

    keys: list[ApiKeyBody]
    next_cursor: str | None = Field(None, description="null: these are the last keys")


@router.get(
    "",
    operation_id="listKeys",
    summary="List API keys",
    response_model=KeyListBody,
    responses=documented(
        (422, ProblemCode.INVALID_REQUEST, "query.limit: must be at most 1000"),
        InvalidCursor,
        RedisUnavailable,
    ),
)
def list_keys(
    services: ServicesDep,
    limit: Annotated[int | None, Query(ge=1, le=_MAX_PAGE, description="null: all keys")] = None,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the previous page")
    ] = None,
) -> Response:
    """All keys, including revoked and expired ones; with `limit`, page by page."""
    start = 0 if cursor is None else _place(cursor)
    # One more, to see whether any follows.
    found = services.keys.page(start, None if limit is None else limit + 1)
    more = None if limit is None or len(found) <= limit else encode_cursor(str(start + limit))
    body = KeyListBody(keys=[_shown(key, minutes) for key, minutes in found[:limit]], next_cursor=more)
    # Written here, in a thread: thousands of keys would hold up the event loop.
    return Response(body.model_dump_json(), media_type=JSON_TYPE, headers=NO_STORE)


def _place(cursor: str) -> int:
    text = decode_cursor(cursor)
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidCursor
    return int(text)


@router.post(
    "",
    status_code=201,
    operation_id="createKey",
    summary="Create an API key",
    openapi_extra=json_body(KeyRequest),
    responses=documented(BodyTooLarge, UploadStalled, UploadCutOff, InvalidRequest, RedisUnavailable),
)
async def create(request: Request, response: Response, services: ServicesDep) -> NewKeyBody:
    """The key's text is in this answer only."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    made = await to_thread.run_sync(_create, services, parse_body(KeyRequest, body))
    # Keys have no path of their own; the list shows them.
    response.headers["Location"] = address("/keys")
    response.headers.update(NO_STORE)
    return made


def _create(services: Services, asked: KeyRequest) -> NewKeyBody:
    if asked.expires_at is not None and asked.expires_at.timestamp() <= time.time():
        raise InvalidRequest("expires_at: must be in the future")
    rate = asked.rate_per_minute
    new = services.keys.create(
        asked.name,
        asked.scopes,
        # 0 is a value here ("no limit"), so only None takes the default.
        rate_per_minute=services.settings.key_rate_per_minute if rate is None else rate,
        quota_minutes=asked.quota_minutes,
        expires_at=None if asked.expires_at is None else asked.expires_at.timestamp(),
        weight=asked.weight,
        s3_prefixes=asked.s3_prefixes,
    )
    return _new(services, new)


@router.delete(
    "/{key_id}",
    operation_id="revokeKey",
    summary="Revoke an API key",
    responses=documented(KeyNotFound, _BAD_ID, RedisUnavailable),
)
def revoke(key_id: KeyId, services: ServicesDep) -> ApiKeyBody:
    """Takes effect at once and cannot be undone. The key's jobs stay until they expire."""
    if not services.keys.revoke(key_id):
        raise KeyNotFound
    return _body(services, _found(services, key_id))


@router.post(
    "/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Give an API key a new secret",
    responses=documented(KeyNotFound, _BAD_ID, RedisUnavailable),
)
def rotate(
    key_id: KeyId,
    services: ServicesDep,
    response: Response,
    grace_seconds: Annotated[
        float, Query(ge=0, le=30 * 86_400, description="How long the old text still works")
    ] = 0.0,
) -> NewKeyBody:
    """The key keeps its id, jobs, limits and usage."""
    response.headers.update(NO_STORE)
    new = services.keys.rotate(key_id, grace_seconds)
    if new is None:
        raise KeyNotFound
    return _new(services, new)


def _found(services: Services, key_id: str) -> ApiKey:
    key = services.keys.get(key_id)
    if key is None:
        raise KeyNotFound
    return key


def _new(services: Services, new: NewKey) -> NewKeyBody:
    shown = _body(services, new.key)
    return NewKeyBody(**dict(shown), key=new.text, webhook_secret=new.webhook_secret or None)


def _body(services: Services, key: ApiKey) -> ApiKeyBody:
    return _shown(key, services.keys.used_minutes(key.id))


def _shown(key: ApiKey, used_minutes: float) -> ApiKeyBody:
    return ApiKeyBody(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        rate_per_minute=key.rate_per_minute or None,
        quota_minutes=key.quota_minutes or None,
        weight=key.weight,
        s3_prefixes=list(key.s3_prefixes),
        used_minutes=round(used_minutes, 3),
        created_at=moment(key.created_at),
        expires_at=optional_moment(key.expires_at),
        revoked_at=optional_moment(key.revoked_at),
        last_used_at=optional_moment(key.last_used_at),
    )
