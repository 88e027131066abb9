"""Reads stored results of jobs, with people's corrections, and says why there is none."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace

from sentiloc.app.http.problems import ProblemError
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.routes.deps import NO_STORE, reload
from sentiloc.app.routes.results.problems import (
    NO_LONGER_STORED,
    IsReel,
    ResultExpired,
    ResultNotReady,
    missing,
)
from sentiloc.app.services import Services
from sentiloc.app.storage.keys import partial_key
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.cut import GivenSegment, given_segments
from sentiloc.model.results.result import Result
from sentiloc.model.results.task_result import AnyResult, parse_any


def read_result(services: Services, record: JobRecord) -> AnyResult:
    """The stored result of a job.

    Raises the problem that says why there is none: 409 and 410 for a result that does not exist or no longer exists,
    503 while the object store cannot be reached.
    """
    key = require_result(record)
    try:
        data = services.storage.read(key)
    except SentilocError as error:
        raise missing(error, NO_LONGER_STORED) from error
    return parse_any(json.loads(data))


def read_corrected(services: Services, record: JobRecord) -> AnyResult:
    """The stored result of a job with the segments of the last feedback, if there is any; raises as `read_result`."""
    stored = read_result(services, record)
    return corrected(services, record, stored) or stored


def read_partial(services: Services, record: JobRecord) -> AnyResult:
    """The partial result of a running job, else its result; raises the problem that says why there is neither."""
    if record.state.is_running:
        with suppress(SentilocError):
            return parse_any(json.loads(services.storage.read(partial_key(record.id, record.attempt))))
    # Read again: the job may have ended since, and the partial result been deleted.
    return read_result(services, reload(services, record.id))


def require_result(record: JobRecord) -> str:
    """The storage key of the result; raises the problem that says why there is none.

    An expired result counts as gone even before the sweep deletes it.
    """
    if record.reel is not None:
        raise IsReel(record.id)
    return require_stored(record)


def require_stored(record: JobRecord) -> str:
    """The storage key of a job's output, a result or a reel; raises as `require_result` does."""
    if record.state is not JobState.SUCCEEDED or record.result_key is None:
        raise _no_result(record)
    if record.result_expires_at is not None and time.time() >= record.result_expires_at:
        raise ResultExpired
    return record.result_key


def corrected(services: Services, record: JobRecord, stored: AnyResult) -> Result | None:
    """The result with the segments of the last feedback; None without feedback, and for tasks without feedback."""
    given = _corrections(services, record) if isinstance(stored, Result) else None
    if given is None or not isinstance(stored, Result):
        return None
    return replace(
        stored, segments=given_segments(stored.curve, stored.video.duration, given, stored.segments)
    )


def _corrections(services: Services, record: JobRecord) -> list[GivenSegment] | None:
    """The segments of the last feedback; None without feedback."""
    given = services.feedback.last_segments(record.id)
    if given is None:
        return None
    return [
        GivenSegment(start=one.start, end=one.end, label=one.label, confidence=one.confidence)
        for one in given
    ]


def _no_result(record: JobRecord) -> ProblemError:
    if record.error is not None:
        return ProblemError(409, record.error.code, record.error.detail, NO_STORE)
    if record.state is JobState.CANCELLED:
        return ProblemError(409, ErrorCode.CANCELLED, "The job was cancelled.", NO_STORE)
    return ResultNotReady(record.state)
