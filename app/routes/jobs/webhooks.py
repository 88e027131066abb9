"""`/jobs/{id}/webhooks`: the log of a webhook's deliveries, and redelivery on request."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, TypedProblem, documented
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.routes.deps import BAD_ID, NO_STORE, JobDep, JobNotFound
from sentiloc.app.schemas.base import moment, optional_moment
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.services import ServicesDep
from sentiloc.app.webhooks.outbox import event_id, is_wanted
from sentiloc.app.webhooks.store import WebhookState, WebhookStatus

router = APIRouter(tags=["webhooks"])

_DELIVERY: dict[str, Any] = {
    "at": "2026-01-31T12:00:02Z",
    "seconds": 0.084,
    "attempt": 1,
    "status": 503,
    "error": None,
}
_LOG: dict[str, Any] = {
    "url": "https://edit.example/hooks/sentiloc",
    "event_id": f"msg_{EXAMPLE_ID}",
    "type": "job.succeeded",
    "state": "pending",
    "attempts": 1,
    "next_attempt_at": "2026-01-31T12:00:12Z",
    "deliveries": [_DELIVERY],
}


class NoWebhook(TypedProblem):
    """There is nothing to deliver."""

    of_status = 409
    of_code = ProblemCode.NO_WEBHOOK
    example = "The job has no webhook, or no event for it yet."


class DeliveryBody(BaseModel):
    """One delivery attempt."""

    at: datetime
    seconds: float
    attempt: int = Field(description="Starts again at 1 after a redelivery was requested")
    status: int | None = Field(description="The status of the receiver's answer; null without one")
    error: str | None = Field(description="A stable code that says why there was no answer")


class WebhookLog(BaseModel):
    """The event of a job and its deliveries. Every field is null or empty if there is no event."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOG]})

    url: str | None = None
    event_id: str | None = Field(None, description="The `webhook-id` of every delivery")
    type: str | None = None
    state: WebhookState | None = None
    attempts: int = Field(0, description="Attempts since the event, or since the last requested redelivery")
    next_attempt_at: datetime | None = None
    deliveries: list[DeliveryBody] = Field(default=[], description="The last 100, oldest first")


@router.get(
    "/jobs/{job_id}/webhooks",
    summary="List a webhook's deliveries",
    operation_id="listJobDeliveries",
    responses=documented(JobNotFound, BAD_ID, RedisUnavailable),
)
def log(record: JobDep, services: ServicesDep, response: Response) -> WebhookLog:
    """The times of the deliveries, and the receiver's answers."""
    response.headers.update(NO_STORE)
    return _body(record, services.webhooks.status(record.id))


@router.post(
    "/jobs/{job_id}/webhooks",
    status_code=202,
    summary="Deliver a webhook again",
    operation_id="redeliverJobEvent",
    responses=documented(JobNotFound, NoWebhook, BAD_ID, RedisUnavailable),
)
def deliver_again(record: JobDep, services: ServicesDep) -> WebhookLog:
    """Sends the event now under the same id, even if it was accepted before."""
    if not is_wanted(record):
        raise NoWebhook
    if not services.webhooks.send_again(record.id):
        raise JobNotFound
    return _body(record, services.webhooks.status(record.id))


def _body(record: JobRecord, status: WebhookStatus) -> WebhookLog:
    webhook = record.options.webhook
    if webhook is None:
        return WebhookLog()
    if not is_wanted(record):
        return WebhookLog(url=webhook.url)
    return WebhookLog(
        url=webhook.url,
        event_id=event_id(record.id),
        type=f"job.{record.state}",
        state=status.state,
        attempts=status.attempts,
        next_attempt_at=optional_moment(status.next_at),
        deliveries=[
            DeliveryBody(
                at=moment(one.at),
                seconds=one.seconds,
                attempt=one.attempt,
                status=one.status,
                error=one.error,
            )
            for one in status.deliveries
        ],
    )
