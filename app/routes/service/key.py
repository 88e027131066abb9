"""`GET /key`: the permissions and the usage of the caller's own API key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.access.caller import Caller, Scope, current_caller
from sentiloc.app.access.keys import ApiKey
from sentiloc.app.access.usage import Held, held_bytes, month_ends
from sentiloc.app.http.problems import RedisUnavailable, documented
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.schemas.base import optional_moment
from sentiloc.app.services import ServicesDep
from sentiloc.app.settings import Settings

router = APIRouter(tags=["service"])

_EXAMPLE: dict[str, Any] = {
    "required": True,
    "id": "3f9a1c07be52",
    "name": "edit suite",
    "scopes": ["read", "write"],
    "rate_per_minute": 1200,
    "quota_minutes": 600.0,
    "used_minutes": 12.5,
    "max_stored_bytes": 536870912000,
    "stored_bytes": 73400320,
    "max_feedback_bytes": 268435456,
    "feedback_bytes": 4096,
    "quota_resets_at": "2026-02-01T00:00:00Z",
    "expires_at": None,
    "person": None,
}


class KeyBody(BaseModel):
    """The caller's key. Every field but `required` is null or empty on a server that needs no keys."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    required: bool = Field(description="Whether this server needs API keys")
    id: str | None = None
    name: str | None = None
    scopes: list[Scope] = Field(default=[])
    rate_per_minute: int | None = Field(None, description="Requests per minute; null: unlimited")
    quota_minutes: float | None = Field(
        None, description="Minutes of media per calendar month; null: unlimited"
    )
    used_minutes: float | None = Field(None, description="Minutes used this month")
    max_stored_bytes: int | None = Field(
        None, description="Bytes that its videos, results and reels may take; null: unlimited"
    )
    stored_bytes: int | None = Field(
        None, description="Bytes that they take now, with the stated lengths of open uploads"
    )
    max_feedback_bytes: int | None = Field(
        None, description="Bytes that the corrections of its jobs may take; null: unlimited"
    )
    feedback_bytes: int | None = Field(None, description="Bytes that they take now")
    quota_resets_at: datetime | None = None
    expires_at: datetime | None = None
    person: str | None = Field(
        None, description="Who signed in on the page and works as this key; null: nobody"
    )


@router.get(
    "/key", summary="Get the caller's API key", operation_id="getKey", responses=documented(RedisUnavailable)
)
def own_key(services: ServicesDep, response: Response) -> KeyBody:
    """The caller's key, its limits, and how much of its quota is used."""
    response.headers.update(NO_STORE)
    caller = current_caller()
    key = None if caller.key_id is None else services.keys.get(caller.key_id)
    if key is None:
        return KeyBody(required=services.settings.keys_required)
    held = held_bytes(services.store.redis, services.store.prefix, key.id)
    return _body(key, caller, services.keys.used_minutes(key.id), held, services.settings)


def _body(key: ApiKey, caller: Caller, used: float, held: Held, settings: Settings) -> KeyBody:
    return KeyBody(
        max_stored_bytes=settings.max_stored_bytes_per_key or None,
        stored_bytes=held.stored,
        max_feedback_bytes=settings.max_feedback_bytes_per_key or None,
        feedback_bytes=held.feedback,
        required=True,
        id=key.id,
        name=key.name,
        # The caller's, because a person may have fewer scopes than the key.
        scopes=sorted(caller.scopes),
        rate_per_minute=key.rate_per_minute or None,
        quota_minutes=key.quota_minutes or None,
        used_minutes=round(used, 3),
        quota_resets_at=month_ends(),
        expires_at=optional_moment(key.expires_at),
        person=caller.person,
    )
