"""Turns a checked request into exactly one recorded job, even if Redis's answer is lost."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kombu.exceptions import OperationalError
from redis import RedisError

from sentiloc.app.access.key_limits import KeyLimitReached, StorageQuotaExceeded
from sentiloc.app.http.problems import ProblemCode, ProblemError, TypedProblem
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.idempotency import IdempotencyKey, KeyReusedError
from sentiloc.app.jobs.presence import require_served
from sentiloc.app.jobs.record import JobRecord, JobState, NewJob
from sentiloc.app.jobs.store import JobStore, QueueFullError, StorageFullForKeyError
from sentiloc.app.storage.base import Storage

logger = logging.getLogger(__name__)


class IdempotencyConflict(TypedProblem):
    """An idempotency key belongs to one request."""

    of_status = 422
    of_code = ProblemCode.IDEMPOTENCY_CONFLICT
    example = "This Idempotency-Key was used for another video or other options. Choose a new key."


@dataclass(frozen=True, slots=True)
class Submitter:
    """Records new jobs and sends their messages. All ways to create a job (form, URL, upload) end here.

    `max_queued` is the number of queued jobs that one API key may have, `max_stored` that of the bytes that it may
    store; 0: any number.
    """

    store: JobStore
    dispatcher: Dispatcher
    max_queued: int = 0
    replicas: int = 0
    max_stored: int = 0

    def submit(self, job: NewJob) -> JobRecord:
        """Record the job and wake a worker.

        Returns the job that the same idempotency key created before, if there is one. The video is never deleted here,
        because the job may have been recorded although Redis's answer was lost. The orphan sweep removes unclaimed
        videos.

        Raises `IdempotencyConflict`, `KeyLimitReached`, `StorageQuotaExceeded`, `ModelNotServed`,
        `jobs.store.UploadEndedError` and `redis.RedisError`. After a `NotReplicatedError` the job is recorded, but may
        be lost with the primary, so the client is told to try again.
        """
        record = self.seen(job.idempotency, job.key_id)
        if record is not None:
            return record
        record = self._record(job)
        self.replicate()
        if record.id == job.id and record.state is JobState.QUEUED:
            self._wake_worker(record.id)
        return record

    def seen(self, key: IdempotencyKey | None, key_id: str | None) -> JobRecord | None:
        """The job that this idempotency key of an API key has created, if any.

        Callers ask before they check anything that may have changed since the first request, such as whether a video
        is still stored. A repeated request must get its job whatever has changed.

        Raises `IdempotencyConflict` if the key came with another request, and `redis.RedisError`.
        """
        try:
            record = self.store.seen(key, key_id) if key is not None else None
        except KeyReusedError as error:
            raise IdempotencyConflict from error
        if record is not None:
            # The first request may have been told to try again because too few replicas had the job.
            self.replicate()
        return record

    def find(self, job_id: str) -> JobRecord | None:
        """The job that an earlier request created with this id, if any; raises `redis.RedisError`, as `seen` does."""
        record = self.store.get(job_id)
        if record is not None:
            self.replicate()
        return record

    def replicate(self) -> None:
        """Wait until enough replicas hold all that was written so far; raises `jobs.store.NotReplicatedError`."""
        self.store.replicate(self.replicas)

    def is_known(self, text: str, key_id: str | None) -> bool:
        """Whether an idempotency key of an API key has a job, whatever the request was. Raises `redis.RedisError`."""
        return self.store.job_of_key(text, key_id) is not None

    def submit_with_video(self, job: NewJob, storage: Storage) -> JobRecord:
        """Record a job that has its own copy of a video; raises as `submit` does.

        The copy is deleted if the job is refused, or if the same idempotency key has created a job with another copy.
        """
        try:
            record = self.submit(job)
        except ProblemError:
            storage.delete(job.source_key)
            raise
        if record.id != job.id:
            storage.delete(job.source_key)
        return record

    def _record(self, job: NewJob) -> JobRecord:
        """Record the job. If the connection fails before Redis answers, check whether it was recorded."""
        if not job.reel:
            require_served(self.store.redis, self.store.prefix, job.model)
        try:
            return self.store.submit(job, self.max_queued, self.max_stored)
        except KeyReusedError as error:
            raise IdempotencyConflict from error
        except QueueFullError as error:
            raise KeyLimitReached(self.max_queued, "queued jobs") from error
        except StorageFullForKeyError as error:
            raise StorageQuotaExceeded(self.max_stored) from error
        except RedisError:
            known = self._look_up(job.id)
            if known is None:
                raise
            return known

    def _look_up(self, job_id: str) -> JobRecord | None:
        try:
            return self.store.get(job_id)
        except RedisError:
            return None

    def _wake_worker(self, job_id: str) -> None:
        try:
            self.dispatcher.send(job_id)
        except (RedisError, OperationalError) as error:
            # The job is recorded, so it is accepted. The reaper sends the message later.
            logger.warning("job %s: its message could not be sent yet: %s", job_id, error)
