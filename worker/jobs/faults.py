"""Temporary faults of this installation, not of a job's video. They never end a job at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobError, JobRecord
from sentiloc.model.errors import ErrorCode, KilledProcessError, LostProcessError, SentilocError
from sentiloc.worker.jobs.process import is_draining

if TYPE_CHECKING:
    from sentiloc.worker.pipelines.base import PackagePipeline

logger = logging.getLogger(__name__)
T = TypeVar("T")

_TEMPORARY = frozenset(
    {
        *(ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL),
        *(ErrorCode.MODEL_UNAVAILABLE, ErrorCode.WEIGHTS_MISSING, ErrorCode.DEVICE_UNAVAILABLE),
    }
)
# Doubles up to the second value: a short fault costs little time, a long one little load.
RETRY_SECONDS = 1.0
RETRY_MAX_SECONDS = 15.0


class WrongVersionError(SentilocError):
    """The job demands a version of the model that this worker does not have. The fault is permanent here."""


def is_temporary(error: SentilocError) -> bool:
    """True for a fault that may not occur in another attempt or on another worker."""
    is_lost = isinstance(error, LostProcessError)
    return is_lost or (error.code in _TEMPORARY and not isinstance(error, WrongVersionError))


def as_fault(error: SentilocError) -> JobError:
    """The error that a job shows while it waits for the fault to pass, and fails with if the fault stays.

    To a client, weights or a device that this worker lacks mean that the model is not available.
    """
    if error.code in (ErrorCode.WEIGHTS_MISSING, ErrorCode.DEVICE_UNAVAILABLE):
        return JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail=f"{error.code}: {error.detail}")
    if isinstance(error, KilledProcessError):
        # A guard of the machine's memory may have killed the process, which cannot be detected. A job whose process is
        # killed each time ends with this error.
        detail = f"{error.detail} It may need more memory than there is."
        return JobError(code=ErrorCode.RESOURCE_LIMIT, detail=detail)
    return JobError(code=error.code, detail=error.detail)


def require_known(record: JobRecord) -> None:
    """Leave a job to a worker of the release that knows its options."""
    if not record.knows_options:
        detail = "This worker is of an earlier release than the server that took the job and lacks some of its options."
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail)


def require_version(options: JobOptions, pipeline: PackagePipeline) -> None:
    """Refuse a job that demands another version of the model; raises `WrongVersionError`."""
    wanted = options.model_version
    if wanted is not None and wanted != pipeline.version:
        detail = f"This worker has version {pipeline.version} of the model, not {wanted}."
        raise WrongVersionError(ErrorCode.MODEL_UNAVAILABLE, detail)


def sleep_unless_draining(seconds: float) -> bool:
    """Sleep in short steps; False as soon as the worker is asked to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_draining():
            return False
        # Short steps, because draining is a value in shared memory that nobody signals.
        time.sleep(min(0.2, seconds))
    return not is_draining()


def persist(write: Callable[[], T], check: Callable[[], None], patience_seconds: float) -> T:
    """Repeat a write to the storage while it cannot be reached, so that a computed result is not lost.

    `check` raises once the job should stop. Raises the storage's error after `patience_seconds`.
    """
    until, pause = time.monotonic() + patience_seconds, RETRY_SECONDS
    while True:
        try:
            return write()
        except SentilocError as error:
            # A refused request would be refused again, so only temporary faults are waited for.
            if not is_temporary(error) or time.monotonic() > until:
                raise
            logger.warning("the result cannot be stored yet: %s", error.detail)
        check()
        if not sleep_unless_draining(pause):
            check()
        pause = min(2 * pause, RETRY_MAX_SECONDS)
