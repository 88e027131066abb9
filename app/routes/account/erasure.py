"""`DELETE /owners/me/data`: deletes everything that belongs to an API key, and answers with a receipt."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field

from sentiloc.app.access.audit import caller_name
from sentiloc.app.access.caller import Scope, current_caller
from sentiloc.app.access.problems import Forbidden
from sentiloc.app.housekeeping.erasure import KEPT, Receipt
from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, documented
from sentiloc.app.routes.account.keys import KeyNotFound
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.schemas.base import Body
from sentiloc.app.services import ServicesDep

router = APIRouter(tags=["service"])

_EXAMPLE: dict[str, Any] = {
    "owner": "3f9a1c07be52",
    "at": "2026-01-31T12:00:00Z",
    "complete": True,
    "jobs": 42,
    "results": 40,
    "thumbnails": 310,
    "feedback": 2,
    "uploads": 1,
    "batches": 1,
    "webhooks": 1,
    "sessions": 1,
    "feature_entries": 38,
    "idempotency_keys": 4,
    "usage_days": 12,
    "usage_months": 2,
    "kept": list(KEPT),
}
OwnerName = Annotated[
    str,
    Path(
        pattern="^[A-Za-z0-9]{1,64}$",
        description="`me`, or the id of another key, which needs the scope `admin`",
        examples=["me"],
    ),
]


class ErasureBody(Body):
    """What was deleted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    owner: str | None = Field(description="The id of the API key; null on a server that needs no keys")
    at: datetime
    complete: bool = Field(
        description="False if there was more than could be deleted in a minute: call again"
    )
    jobs: int
    results: int
    thumbnails: int
    feedback: int = Field(description="Jobs with feedback")
    uploads: int = Field(description="Uploads without a job")
    batches: int
    webhooks: int = Field(description="Registered webhooks")
    sessions: int = Field(
        default=0, description="Sessions of people who were signed in as this key. They are ended last"
    )
    feature_entries: int = Field(
        description="Cached features on the API's machine; workers delete theirs in a minute"
    )
    idempotency_keys: int = Field(
        description="Idempotency keys, which hold a digest of the request. They are deleted with their jobs"
    )
    usage_days: int = Field(description="Days whose counts no longer name the key")
    usage_months: int = Field(description="Months whose minutes were deleted: all but the present one")
    kept: list[str] = Field(description="What stays, and why")


@router.delete(
    "/owners/{owner}/data",
    summary="Delete everything that belongs to an API key",
    operation_id="eraseOwner",
    responses=documented(
        (422, ProblemCode.INVALID_REQUEST, "path.owner: must be an id: at most 64 letters and digits"),
        KeyNotFound,
        STORE_DOWN,
        RedisUnavailable,
    ),
)
def erase_owner(owner: OwnerName, services: ServicesDep, response: Response) -> ErasureBody:
    """Jobs (running ones are cancelled), videos, results, pictures, feedback, uploads, batches, webhooks and features.

    The key stays valid. The answer is a receipt; nothing can be restored.
    """
    caller = current_caller()
    response.headers.update(NO_STORE)
    # Before looking for the owner, so that the answer does not reveal which keys exist.
    if owner not in ("me", caller.key_id) and not caller.may(Scope.ADMIN):
        raise Forbidden(Scope.ADMIN)
    # Revoked keys are known, too. `erased` is none: it stands for all erased owners in the counts by day.
    if owner != "me" and services.keys.get(owner) is None:
        raise KeyNotFound
    receipt = Receipt(caller.key_id if owner == "me" else owner)
    try:
        services.eraser.erase(receipt)
    finally:
        # Also after a failure: most of the data may be gone. Counts only: the log must not name what was erased.
        services.audit.write(caller_name(caller), receipt.event, **_counts(receipt.to_dict()))
    return ErasureBody.model_validate(receipt.to_dict())


def _counts(receipt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in receipt.items() if name not in ("at", "kept")}
