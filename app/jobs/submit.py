"""From a stored video to a job: exactly one, also when an answer of Redis is lost on the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kombu.exceptions import OperationalError
from redis import RedisError

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.jobs.idempotency import KeyReusedError, Once
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.services import Services

logger = logging.getLogger(__name__)

KEY_REUSED = (
    422,
    ProblemCode.IDEMPOTENCY_CONFLICT,
    "This Idempotency-Key came with another video or other options before.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A video for the job `job_id`: where it lies, or will lie once it is fetched from `url`; its name and size."""

    job_id: str
    key: str
    name: str
    bytes: int
    url: str = ""


def submit(services: Services, source: Source, options: JobOptions, once: Once | None) -> JobRecord:
    """Record the job and wake a worker; with `once` it may be the job that the same request made before.

    The video is not deleted here: while it is unknown whether the job was recorded, nobody may do that. What no
    job claims in the end, the sweep removes. Raises the problem `idempotency_conflict`, and `RedisError`.
    """
    try:
        record = services.store.submit(
            job_id=source.job_id,
            source_key=source.key,
            source_name=source.name,
            source_bytes=source.bytes,
            source_url=source.url,
            model=options.model_name or services.settings.model,
            options=options,
            once=once,
        )
    except KeyReusedError as error:
        raise ProblemError(*KEY_REUSED) from error
    except RedisError:
        known = _look_up(services, source.job_id)
        if known is None:
            raise
        record = known
    if record.id == source.job_id and record.state is JobState.QUEUED:
        _wake_worker(services, record.id)
    return record


def _look_up(services: Services, job_id: str) -> JobRecord | None:
    try:
        return services.store.get(job_id)
    except RedisError:
        return None


def _wake_worker(services: Services, job_id: str) -> None:
    try:
        services.dispatcher.send(job_id)
    except (RedisError, OperationalError) as error:
        # The job is recorded, so it is accepted; the reaper will announce it.
        logger.warning("job %s: no message could be sent yet: %s", job_id, error)
