"""`/webhooks`: webhooks that are registered once and receive the events of every job and batch of an API key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.address import address
from sentiloc.app.http.body import UploadCutOff, UploadStalled, parse_body, read_body
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemCode,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.checks import check_webhook
from sentiloc.app.jobs.request import MAX_REQUEST_BYTES
from sentiloc.app.routes.deps import NO_STORE, json_body
from sentiloc.app.schemas.base import Body, moment
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.signing import SigningSecret
from sentiloc.app.webhooks.endpoints import MAX_ENDPOINTS, Endpoint, EventType, TooManyEndpointsError
from sentiloc.model.errors import ErrorCode

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

_ID = "wXk2Qp8Rt5Yz1Bc7"
_ASKED: dict[str, Any] = {
    "url": "https://edit.example/hooks",
    "events": ["job.succeeded", "batch.finished"],
    "description": "edit suite",
}
_HOOK: dict[str, Any] = {
    **_ASKED,
    "id": _ID,
    "enabled": True,
    "created_at": "2026-01-31T12:00:00Z",
    "secrets": 1,
}
HookId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", examples=[_ID])]
BAD_HOOK_ID = (
    422,
    ProblemCode.INVALID_REQUEST,
    "path.webhook_id: must be an id: at most 64 letters, digits, - or _",
)
_FORBIDDEN_URL = (422, ErrorCode.URL_FORBIDDEN, "url: The URL must begin with http:// or https://.")


class WebhookNotFound(TypedProblem):
    """The id is unknown, or the webhook belongs to another API key."""

    of_status = 404
    of_code = ProblemCode.WEBHOOK_NOT_FOUND
    example = "There is no webhook with this id."


class TooManyWebhooks(TypedProblem):
    """A key has a limited number of webhooks."""

    of_status = 409
    of_code = ProblemCode.TOO_MANY_WEBHOOKS
    example = f"A key has {MAX_ENDPOINTS} webhooks at most. Delete one first."


class WebhookRequest(BaseModel):
    """A webhook to register. Until it is deleted, it receives the events of every job and batch of the API key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ASKED]})

    url: str = Field(max_length=2048, description="http or https, at a public address")
    events: list[EventType] | None = Field(None, min_length=1, description="The events to send; null: all")
    secret: SigningSecret | None = Field(
        None, description="`whsec_` and 24 to 64 bytes in base64; default: a new one is made"
    )
    description: str = Field("", max_length=255)


class WebhookChanges(BaseModel):
    """The changes. Fields that are left out keep their values."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"enabled": False}], "minProperties": 1}
    )

    url: str | None = Field(None, max_length=2048)
    events: list[EventType] | None = Field(None, min_length=1, description="null: all")
    description: str | None = Field(None, max_length=255)
    enabled: bool | None = Field(
        None, description="False: nothing is sent. Also set when a receiver answers 410"
    )

    def changes(self) -> dict[str, Any]:
        """The fields that were sent; null means all for `events` and nothing for the others."""
        sent = self.model_dump(include=self.model_fields_set)
        if "events" in sent:
            sent["events"] = None if sent["events"] is None else tuple(sent["events"])
        return {name: value for name, value in sent.items() if value is not None or name == "events"}


class WebhookBody(Body):
    """A registered webhook, without its secrets."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_HOOK]})

    id: str
    url: str
    events: list[EventType] | None = Field(description="null: all")
    description: str
    enabled: bool
    created_at: datetime
    secrets: int = Field(ge=1, description="Secrets that sign: 2 after a rotation")


class NewWebhookBody(WebhookBody):
    """A webhook with its new secret, which is shown only now."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**_HOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}]},
    )

    secret: str


class WebhookListBody(Body):
    """The webhooks of the caller's key, oldest first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"webhooks": [_HOOK]}]})

    webhooks: list[WebhookBody]


class SentEvent(Body):
    """One delivery attempt to a registered webhook."""

    event_id: str = Field(description="The `webhook-id` of the delivery")
    at: datetime
    seconds: float
    attempt: int
    status: int | None = Field(description="The status of the receiver's answer; null without one")
    error: str | None = Field(description="A stable code that says why there was no answer")


_SENT: dict[str, Any] = {
    "event_id": "msg_xJ3k0cQ2Yw1uH8m5VtB7Nw",
    "at": "2026-01-31T12:00:09Z",
    "seconds": 0.21,
    "attempt": 1,
    "status": 204,
    "error": None,
}


class DeliveriesBody(Body):
    """The last 100 delivery attempts to a webhook, oldest first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"deliveries": [_SENT]}]})

    deliveries: list[SentEvent]


def find_hook(webhook_id: HookId, services: ServicesDep) -> Endpoint:
    """The webhook of the request's path; raises `WebhookNotFound`."""
    found = services.endpoints.get(webhook_id)
    # One answer for both, so that ids of other keys cannot be probed.
    if found is None or not current_caller().may_see(found.key_id or None):
        raise WebhookNotFound
    return found


HookDep = Annotated[Endpoint, Depends(find_hook)]


@router.post(
    "",
    status_code=201,
    operation_id="createWebhook",
    summary="Register a webhook",
    openapi_extra=json_body(WebhookRequest),
    responses=documented(
        TooManyWebhooks,
        BodyTooLarge,
        UploadStalled,
        UploadCutOff,
        InvalidRequest,
        _FORBIDDEN_URL,
        RedisUnavailable,
    ),
)
async def create(request: Request, response: Response, services: ServicesDep) -> NewWebhookBody:
    """The secret in the answer signs every event; it is not shown again."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    made = await to_thread.run_sync(_create, services, parse_body(WebhookRequest, body))
    response.headers["Location"] = address(f"/webhooks/{made.id}")
    response.headers.update(NO_STORE)
    return _with_secret(made)


def _create(services: Services, asked: WebhookRequest) -> Endpoint:
    # The secret is a placeholder: a registered webhook always has one, so only the URL is checked.
    check_webhook(asked.url, "made here", services.settings, "")
    owner = current_caller().key_id or ""
    try:
        return services.endpoints.create(owner, asked.url, asked.events, asked.secret, asked.description)
    except TooManyEndpointsError as error:
        raise TooManyWebhooks from error


@router.get("", operation_id="listWebhooks", summary="List webhooks", responses=documented(RedisUnavailable))
def list_hooks(services: ServicesDep, response: Response) -> WebhookListBody:
    """The webhooks of the caller's key."""
    response.headers.update(NO_STORE)
    found = services.endpoints.of_key(current_caller().key_id or "")
    return WebhookListBody(webhooks=[_body(one) for one in found])


@router.get(
    "/{webhook_id}",
    operation_id="getWebhook",
    summary="Get a webhook",
    responses=documented(WebhookNotFound, BAD_HOOK_ID, RedisUnavailable),
)
def get(hook: HookDep) -> WebhookBody:
    """The webhook without its secrets."""
    return _body(hook)


@router.patch(
    "/{webhook_id}",
    operation_id="updateWebhook",
    summary="Change a webhook",
    openapi_extra=json_body(WebhookChanges),
    responses=documented(
        WebhookNotFound,
        BodyTooLarge,
        UploadStalled,
        UploadCutOff,
        InvalidRequest,
        BAD_HOOK_ID,
        _FORBIDDEN_URL,
        RedisUnavailable,
    ),
)
async def update(hook: HookDep, request: Request, services: ServicesDep) -> WebhookBody:
    """Changes the address, the events, or whether anything is sent. Events that are due go to the new address."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    changes = parse_body(WebhookChanges, body).changes()
    if "url" in changes:
        check_webhook(changes["url"], "its own", services.settings, "")
    return _body(_still_there(await to_thread.run_sync(services.endpoints.update, hook.id, changes)))


@router.delete(
    "/{webhook_id}",
    status_code=204,
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    responses=documented(WebhookNotFound, BAD_HOOK_ID, RedisUnavailable),
)
def delete(hook: HookDep, services: ServicesDep) -> Response:
    """Nothing more is sent to the webhook, not even events that are due."""
    services.endpoints.delete(hook)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate",
    operation_id="rotateWebhookSecret",
    summary="Make a new secret for a webhook",
    responses=documented(WebhookNotFound, BAD_HOOK_ID, RedisUnavailable),
)
def rotate(hook: HookDep, services: ServicesDep, response: Response) -> NewWebhookBody:
    """The previous secret also signs until the next rotation, so that receivers refuse no event in the meantime."""
    response.headers.update(NO_STORE)
    return _with_secret(_still_there(services.endpoints.rotate(hook.id)))


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="listWebhookDeliveries",
    summary="List the deliveries to a webhook",
    responses=documented(WebhookNotFound, BAD_HOOK_ID, RedisUnavailable),
)
def deliveries(hook: HookDep, services: ServicesDep, response: Response) -> DeliveriesBody:
    """What was sent in the last 30 days, and what the receiver answered."""
    response.headers.update(NO_STORE)
    sent = [
        SentEvent(
            event_id=event_id,
            at=moment(one.at),
            seconds=one.seconds,
            attempt=one.attempt,
            status=one.status,
            error=one.error,
        )
        for event_id, one in services.webhooks.endpoint_log(hook.id)
    ]
    return DeliveriesBody(deliveries=sent)


def _still_there(hook: Endpoint | None) -> Endpoint:
    """The webhook after a change; raises `WebhookNotFound` if it was deleted meanwhile."""
    if hook is None:
        raise WebhookNotFound
    return hook


def _fields(hook: Endpoint) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": None if hook.events is None else list(hook.events),
        "description": hook.description,
        "enabled": hook.enabled,
        "created_at": moment(hook.created_at),
        "secrets": len(hook.secrets),
    }


def _body(hook: Endpoint) -> WebhookBody:
    return WebhookBody(**_fields(hook))


def _with_secret(hook: Endpoint) -> NewWebhookBody:
    return NewWebhookBody(**_fields(hook), secret=hook.secrets[0])
