"""Job records in Redis.

Every change is one atomic script in `jobs/lua`, so it is safe if processes compete for a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from redis import RedisError

from sentiloc.app.access.idempotency_keys import job_request_key
from sentiloc.app.jobs.idempotency import IdempotencyKey, KeyReusedError
from sentiloc.app.jobs.keys import job_key, queue_key
from sentiloc.app.jobs.leases import Leases, listed, read_pairs, read_record, read_strings
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.record import TERMINAL, JobError, JobRecord, JobState, NewJob, sources
from sentiloc.app.redis.shared_connection import SharedConnection, pairs

# Batch jobs have sequence numbers behind those of all interactive jobs.
FIRST_BATCH_SEQUENCE = 10**12
_UPLOAD_ENDED = ["upload", "gone"]
_KEY_FULL = ["key", "full"]
_NO_ROOM = ["key", "stored"]
# A healthy replica answers in milliseconds. Longer waits would only block requests.
_REPLICATION_MILLISECONDS = 1000
# Jobs per round trip when many are cancelled.
_CHUNK = 100


class UploadEndedError(Exception):
    """The upload for the job was ended or has expired."""


class QueueFullError(Exception):
    """The API key has as many queued jobs as it may have."""


class StorageFullForKeyError(Exception):
    """The API key stores as many bytes as it may."""


class NotReplicatedError(RedisError):
    """Too few replicas hold what was written."""


class JobStore(Leases):
    """All jobs. Raises `redis.RedisError` when Redis cannot be reached."""

    def submit(self, job: NewJob, max_queued: int = 0, max_stored: int = 0) -> JobRecord:
        """Record a new job as queued. The job is accepted once this returns. May be repeated.

        The queue is fair: the owners of queued jobs (API keys) take turns, according to the weights of their keys.
        `max_queued` is the number of queued jobs that one key may have, and `max_stored` that of the bytes that it may
        store; 0: any number.

        If the same request was sent before with the same idempotency key, its job is returned instead; that job has
        another id. An upload with the job's id is marked as used in the same atomic step.

        Raises `KeyReusedError` when the key came with another request, `UploadEndedError` when the upload is gone or
        its job was deleted, `QueueFullError` when the API key has too many queued jobs, `StorageFullForKeyError` when
        its videos and results would take too many bytes.
        After a `redis.RedisError` the job may still have been recorded: look up `job.id`.
        """
        offset = FIRST_BATCH_SEQUENCE if job.options.priority is Priority.BATCH else 0
        # Lua takes field and value in turn.
        changes = [item for pair in job.fields().items() for item in pair]
        key = job.idempotency
        digest, seconds = ("", 0) if key is None else (key.digest, key.seconds)
        extra = [] if key is None else [job_request_key(self.prefix, job.key_id, key.text)]
        limits = (max_queued, int(job.is_of_upload), max_stored)
        found = self.run("submit", job.id, offset, digest, seconds, *limits, *changes, extra=extra)
        if found == _UPLOAD_ENDED:
            raise UploadEndedError
        if found == _KEY_FULL:
            raise QueueFullError
        if found == _NO_ROOM:
            raise StorageFullForKeyError
        record = read_record(read_pairs(found))
        if record is None:
            raise KeyReusedError
        return record

    def seen(self, key: IdempotencyKey, key_id: str | None) -> JobRecord | None:
        """The job of an idempotency key, if any; raises `KeyReusedError` if the request was a different one."""
        found = self.job_of_key(key.text, key_id)
        if found is None:
            return None
        record, digest = found
        if digest != key.digest:
            raise KeyReusedError
        return record

    def job_of_key(self, text: str, key_id: str | None) -> tuple[JobRecord, str] | None:
        """The job of an idempotency key, and the digest of the request that created it; None without a job."""
        kept = cast("str | None", self.redis.get(job_request_key(self.prefix, key_id, text)))
        digest, _, job_id = (kept or "").partition(" ")
        record = self.get(job_id) if job_id else None
        return None if record is None else (record, digest)

    def replicate(self, replicas: int) -> None:
        """Wait up to a second until `replicas` hold all that was written so far; 0 does not wait.

        Raises `NotReplicatedError`. What was written stays written.
        """
        if replicas == 0:
            return
        # WAIT only covers writes of its own connection, and the pool may return another one. So we write once more on
        # this connection: replication is ordered, so that write comes after all earlier ones.
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.set(f"{self.prefix}replicated", 1)
        pipeline.wait(replicas, _REPLICATION_MILLISECONDS)
        held = int(pipeline.execute()[1])
        if held < replicas:
            raise NotReplicatedError(f"{held} of {replicas} replicas hold the job")

    def wait(self, job_ids: Sequence[str], error: JobError, seconds: float) -> list[JobState | None]:
        """Note that no worker can run the model of these queued jobs, for the reason in `error`.

        A job that has waited for `seconds` fails with `error`. Returns the new states, None for a job that is not
        queued.
        """
        calls = [(self._keys(job_id), (error.code, error.detail, seconds)) for job_id in job_ids]
        answers = self._scripts.run_many("wait", calls)
        return [JobState(str(answer)) if answer else None for answer in answers]

    def served(self, job_ids: Sequence[str]) -> None:
        """Note that a worker can run the model of these jobs again. Their messages are due at once."""
        self._scripts.run_many("served", [(self._keys(job_id), ()) for job_id in job_ids])

    def cancel(self, job_id: str) -> bool:
        """Cancel a queued or running job; its worker notices at its next renewal. False if the job had ended."""
        return bool(self.run("cancel", job_id, listed(sources(JobState.CANCELLED))))

    def change(self, job_id: str, seen: Mapping[str, str], new: Mapping[str, str]) -> bool | None:
        """Set fields of the record if their values are still those in `seen`.

        False if another client has changed them; None if the job is gone.
        """
        pairs_of = [item for part in (seen, new) for pair in part.items() for item in pair]
        answer = self.run("change", job_id, len(seen), *pairs_of)
        return {0: None, 1: True, 2: False}[int(str(answer))]

    def hash(self, job_id: str) -> dict[str, str]:
        """The record as Redis holds it; empty for an unknown id."""
        return cast("dict[str, str]", self.redis.hgetall(self._job_key(job_id)))

    def cancel_many(self, job_ids: Sequence[str]) -> list[bool]:
        """`cancel` of many, in one round trip for each hundred: Redis answers other requests in between."""
        allowed = listed(sources(JobState.CANCELLED))
        answers: list[bool] = []
        for start in range(0, len(job_ids), _CHUNK):
            calls = [(self._keys(job_id), (allowed,)) for job_id in job_ids[start : start + _CHUNK]]
            answers += map(bool, self._scripts.run_many("cancel", calls))
        return answers

    def delete_many(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Delete ended jobs and their events, in one round trip.

        Returns their records; None for each that has not ended or does not exist.
        """
        calls = [(self._keys(job_id), (listed(TERMINAL),)) for job_id in job_ids]
        return [read_record(read_pairs(answer)) for answer in self._scripts.run_many("delete", calls)]

    def keep_until(self, job_id: str, what: str, moment: float) -> bool:
        """Set when `uploads`, `results` or `records` of an ended job are deleted; False if the job is gone."""
        return bool(self.run("keep", job_id, what, f"{moment:.6f}"))

    def should_announce(self, job_id: str, wait_seconds: float, broker_is_empty: bool) -> bool:
        """True if the message of a queued job should be sent again. It returns True once per waiting time.

        The waiting time doubles each time, unless the broker has no message at all.
        """
        argv = (wait_seconds, int(broker_is_empty))
        return bool(self.run("announce", job_id, *argv))

    def get(self, job_id: str) -> JobRecord | None:
        """The record; None for an unknown id."""
        return read_record(self.redis.hgetall(self._job_key(job_id)))

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """The records in the order of their ids, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hgetall(self._job_key(job_id))
        return [read_record(fields) for fields in pipe.execute()]

    def queue_positions(self, job_ids: Sequence[str]) -> list[int | None]:
        """`queue_position` of many, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.zrank(queue_key(self.prefix), job_id)
        return [None if rank is None else rank + 1 for rank in pipe.execute()]

    def queue_position(self, job_id: str) -> int | None:
        """1 for the job that starts next; None if the job is not queued."""
        return self.queue_positions([job_id])[0]

    def queued(self, limit: int = 1000, start: int = 0) -> list[str]:
        """The ids of the next jobs to start, in order, without the first `start`."""
        return read_strings(self.redis.zrange(queue_key(self.prefix), start, start + limit - 1))

    def events(self, job_id: str, after: str = "-") -> list[tuple[str, dict[str, str]]]:
        """The job's events, oldest first, as (event id, fields). Exactly one has the kind `final`."""
        start = after if after == "-" else f"({after}"
        return cast(
            "list[tuple[str, dict[str, str]]]", self.redis.xrange(self._events_key(job_id), min=start)
        )


@dataclass(frozen=True, slots=True)
class JobReader:
    """Reads single jobs for status polls, the most frequent request, without a thread."""

    shared: SharedConnection
    prefix: str

    async def get(self, job_id: str) -> tuple[JobRecord | None, int | None]:
        """A job's record and its position in the queue (1 starts next); each is None if it does not exist."""
        record, queue = job_key(self.prefix, job_id), queue_key(self.prefix)
        fields, rank = await self.shared.ask(("HGETALL", record), ("ZRANK", queue, job_id))
        return read_record(pairs(fields)), None if rank is None else rank + 1
