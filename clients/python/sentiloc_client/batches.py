"""Requests and models for batches, changes of jobs, and the account."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx

from .answers import deleted, file_content, one, sentiment
from .calls import API, Call, filter_params
from .decoding import NOT_JSON, decode, encode
from .errors import UnexpectedAnswerError
from .models import Failure, Filters, Job, JobOptions, JobState, Webhook
from .results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One video of a batch: `url` (http, https or `s3://bucket/key`) or the id of an `upload`."""

    url: str | None = None
    upload: str | None = None
    name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """Jobs by state. Their sum is the number of jobs of the batch."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it was when the server answered. `job_ids` is only set in the answer to `submit_batch`."""

    id: str
    name: str | None
    state: Literal["queued", "running", "finished"]
    progress: float
    total: int
    counts: BatchCounts
    created_at: datetime
    finished_at: datetime | None
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """Batches, newest first; `next_cursor` is None on the last page."""

    batches: tuple[Batch, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """The state and result of one item; `state` is `deleted` for a deleted job. Results of other tasks stay JSON."""

    index: int
    job_id: str
    state: str
    name: str | None
    result: Result | Mapping[str, Any] | None
    error: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    index: int
    job_id: str
    state: str
    name: str | None = None
    result: Mapping[str, Any] | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTotal:
    """One label over many jobs."""

    jobs: int
    segments: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts and totals of the jobs that match a filter."""

    count: int
    states: Mapping[str, int]
    tags: Mapping[str, int]
    duration: float
    labels: Mapping[str, LabelTotal]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The outcome of a deletion by filter; repeat the call with `next_cursor` until `complete`."""

    deleted: int
    cancelled: int
    skipped: int
    complete: bool
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfUse:
    """The usage of one key on one day; `key_id` is None for jobs without a key."""

    day: str
    key_id: str | None
    succeeded: int
    failed: int
    cancelled: int
    media_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usage:
    days: tuple[DayOfUse, ...]


def submit(
    items: Sequence[BatchItem],
    options: JobOptions | None,
    name: str | None,
    webhook: Webhook | None,
    idempotency_key: str | None,
) -> Call[Batch]:
    """Submit a batch, with an idempotency key, so that a retry creates no second batch."""
    asked: dict[str, Any] = {"items": [_item(item) for item in items]}
    if options is not None:
        # Options with default values are not sent, because the server's defaults differ: in a batch the default
        # priority is `batch`.
        asked["options"] = {key: value for key, value in encode(options).items() if value != "interactive"}
    if name is not None:
        asked["name"] = name
    if webhook is not None:
        asked["webhook"] = {key: value for key, value in encode(webhook).items() if key != "events"}
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Call(method="POST", path=f"{API}/batches", parse=one(Batch), headers=headers, json=asked)


def get(batch_id: str) -> Call[Batch]:
    """The current state of the batch."""
    return Call(method="GET", path=_batch(batch_id), parse=one(Batch))


def page(limit: int, cursor: str | None) -> Call[BatchPage]:
    """One page of the list of batches."""
    params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
    return Call(method="GET", path=f"{API}/batches", parse=one(BatchPage), params=params)


def results(batch_id: str) -> Call[tuple[BatchLine, ...]]:
    """The state and result of every item."""
    return Call(method="GET", path=_batch(batch_id, "/results"), parse=_lines, is_file=True)


def result_lines(batch_id: str) -> Call[str]:
    """The state and result of every item as JSON lines, as the server wrote them."""
    return Call(method="GET", path=_batch(batch_id, "/results"), parse=_text, is_file=True)


def export(batch_id: str, name: str) -> Call[bytes]:
    """All results in one format as a zip archive."""
    params = {"format": name}
    return Call(
        method="GET", path=_batch(batch_id, "/export"), parse=file_content, params=params, is_file=True
    )


def cancel(batch_id: str) -> Call[Batch]:
    """Cancel the jobs that have not ended."""
    return Call(method="POST", path=_batch(batch_id, "/cancel"), parse=one(Batch))


def delete(batch_id: str) -> Call[bool]:
    """True if it was deleted; False if it was only cancelled, in which case the next call deletes it."""
    return Call(method="DELETE", path=_batch(batch_id), parse=deleted(Batch))


def update(job_id: str, changes: Mapping[str, Any]) -> Call[Job]:
    """Change a job's name, metadata and tags."""
    return Call(method="PATCH", path=_job(job_id), parse=one(Job), json=dict(changes))


def partial(job_id: str) -> Call[Result]:
    """The provisional result of a running job."""
    params = {"partial": True, "format": "json"}
    return Call(method="GET", path=_job(job_id, "/result"), parse=sentiment, params=params)


def summary(filters: Filters) -> Call[Summary]:
    """Counts and totals of jobs."""
    return Call(method="GET", path=f"{API}/jobs/summary", parse=one(Summary), params=filter_params(filters))


def delete_jobs(filters: Filters, *, cancel_others: bool, cursor: str | None) -> Call[Deleted]:
    """Delete the ended jobs that match."""
    params = {**filter_params(filters), "cancel": cancel_others}
    if cursor is not None:
        params["cursor"] = cursor
    # Not repeatable: the next answer would not count the jobs that this one has deleted, and failed deletions would
    # fail again.
    return Call(method="DELETE", path=f"{API}/jobs", parse=one(Deleted), params=params, repeatable=False)


def usage(first: date | None, last: date | None) -> Call[tuple[DayOfUse, ...]]:
    """Usage by day and key."""
    given = {"from": first, "to": last}
    params = {name: day.isoformat() for name, day in given.items() if day is not None}
    return Call(method="GET", path=f"{API}/usage", parse=lambda r: one(_Usage)(r).days, params=params)


def _item(item: BatchItem) -> dict[str, Any]:
    return {name: value for name, value in encode(item).items() if value not in ({}, [])}


def _text(response: httpx.Response) -> str:
    # Not with the charset that the answer names: the server's is UTF-8, and httpx raises LookupError for some.
    return file_content(response).decode(errors="replace")


def _lines(response: httpx.Response) -> tuple[BatchLine, ...]:
    # Not `splitlines`: texts in JSON may contain other line ends, such as U+2028.
    return tuple(_line(line) for line in _text(response).split("\n") if line)


def _line(text: str) -> BatchLine:
    try:
        raw = decode(_Line, json.loads(text))
        state = raw.state if raw.state == "deleted" else JobState(raw.state)
    except NOT_JSON as error:
        raise UnexpectedAnswerError(f"{text[:80]!r} is not a line of a batch's results") from error
    found = raw.result
    is_sentiment = found is not None and found.get("task", "sentiment") == "sentiment"
    return BatchLine(
        index=raw.index,
        job_id=raw.job_id,
        state=state,
        name=raw.name,
        result=decode(Result, found) if is_sentiment else found,
        error=raw.error,
    )


def _batch(batch_id: str, rest: str = "") -> str:
    return f"{API}/batches/{quote(batch_id, safe='')}{rest}"


def _job(job_id: str, rest: str = "") -> str:
    return f"{API}/jobs/{quote(job_id, safe='')}{rest}"
