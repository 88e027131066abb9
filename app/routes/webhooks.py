"""`/jobs/{id}/webhooks`: how the deliveries of a job's event went, and once more on request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.routes.jobs import BAD_ID, NO_REDIS, NO_STORE, UNKNOWN, JobId, find_job
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.services import ServicesDep
from sentiloc.app.webhooks.sender import is_wanted
from sentiloc.app.webhooks.store import WebhookState, WebhookStatus, event_id

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
NO_WEBHOOK = (409, ProblemCode.NO_WEBHOOK, "The job has no webhook, or it has no event for it yet.")


class DeliveryBody(BaseModel):
    """One try."""

    at: datetime
    seconds: float
    attempt: int = Field(description="Counted from 1 again after a redelivery was asked for")
    status: int | None = Field(description="What the receiver answered; null when it did not")
    error: str | None = Field(description="Why there was no answer: a stable code")


class WebhookLog(BaseModel):
    """A job's event. All is null or empty where there is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOG]})

    url: str | None = None
    event_id: str | None = Field(None, description="`webhook-id` of every delivery")
    type: str | None = None
    state: WebhookState | None = None
    attempts: int = Field(0, description="Tries since the event, or since redelivery was asked for")
    next_attempt_at: datetime | None = None
    deliveries: list[DeliveryBody] = Field(default=[], description="Oldest first, the last 100")


@router.get(
    "/jobs/{job_id}/webhooks",
    summary="See a webhook's deliveries",
    responses=documented(UNKNOWN, BAD_ID, NO_REDIS),
)
def log(job_id: JobId, services: ServicesDep, response: Response) -> WebhookLog:
    """What was sent, when, and what the receiver answered."""
    response.headers.update(NO_STORE)
    record = find_job(services, job_id)
    return _body(record, services.webhooks.status(job_id))


@router.post(
    "/jobs/{job_id}/webhooks",
    status_code=202,
    summary="Deliver a webhook again",
    responses=documented(UNKNOWN, NO_WEBHOOK, BAD_ID, NO_REDIS),
)
def deliver_again(job_id: JobId, services: ServicesDep) -> WebhookLog:
    """Sends the event now, under the same id, whether it was accepted before or not."""
    record = find_job(services, job_id)
    if not is_wanted(record):
        raise ProblemError(*NO_WEBHOOK)
    if not services.webhooks.send_again(job_id):
        raise ProblemError(*UNKNOWN)
    return _body(record, services.webhooks.status(job_id))


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
        next_attempt_at=_moment(status.next_at),
        deliveries=[
            DeliveryBody(
                at=datetime.fromtimestamp(one.at, UTC),
                seconds=one.seconds,
                attempt=one.attempt,
                status=one.status,
                error=one.error,
            )
            for one in status.deliveries
        ],
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
