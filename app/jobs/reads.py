"""What can be asked about job records without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from redis import Redis

from sentiloc.app.jobs.record import JobRecord, parse_record


def job_key(prefix: str, job_id: str) -> str:
    """Where a job's record is."""
    return f"{prefix}job:{job_id}"


def events_key(prefix: str, job_id: str) -> str:
    """Where a job's events are."""
    return f"{prefix}events:{job_id}"


def queue_key(prefix: str) -> str:
    """Where the ids of queued jobs are, in their order."""
    return f"{prefix}queue"


class JobReads:
    """Reads job records. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str = "sentiloc:") -> None:
        self.redis = redis
        self.prefix = prefix

    def get(self, job_id: str) -> JobRecord | None:
        """The record, or None for an id that does not exist."""
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
        """1 for the job that starts next, None when the job is not queued."""
        return self.queue_positions([job_id])[0]

    def expired(self) -> list[str]:
        """Ids of running jobs whose lease has run out."""
        seconds, micros = self.redis.time()
        now = seconds + micros / 1e6
        return _strings(self.redis.zrangebyscore(f"{self.prefix}leases", "-inf", now))

    def leased_beyond(self, seconds: float) -> list[str]:
        """Ids of running jobs whose lease ends later than in so many seconds."""
        now, micros = self.redis.time()
        after = f"({now + micros / 1e6 + seconds}"
        return _strings(self.redis.zrangebyscore(f"{self.prefix}leases", after, "+inf"))

    def leased(self) -> list[str]:
        """Ids of all running jobs."""
        return _strings(self.redis.zrange(f"{self.prefix}leases", 0, -1))

    def queued(self, limit: int = 1000) -> list[str]:
        """Ids of the jobs that start next, in order."""
        return _strings(self.redis.zrange(queue_key(self.prefix), 0, limit - 1))

    def events(self, job_id: str, after: str = "-") -> list[tuple[str, dict[str, str]]]:
        """What happened to the job, oldest first: (event id, fields); exactly one is of kind `final`."""
        start = after if after == "-" else f"({after}"
        return cast(
            "list[tuple[str, dict[str, str]]]", self.redis.xrange(self._events_key(job_id), min=start)
        )

    def uptime_seconds(self) -> float:
        """How long Redis has been up."""
        return float(self.redis.info("server")["uptime_in_seconds"])

    def _job_key(self, job_id: str) -> str:
        return job_key(self.prefix, job_id)

    def _events_key(self, job_id: str) -> str:
        return events_key(self.prefix, job_id)


def _strings(value: object) -> list[str]:
    return list(cast("list[str]", value))


def read_record(fields: object) -> JobRecord | None:
    found = cast("dict[str, str]", fields)
    return parse_record(found) if found else None
