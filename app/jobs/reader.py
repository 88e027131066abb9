"""Reads single jobs for status polls, the most frequent request."""

from __future__ import annotations

from dataclasses import dataclass

from sentiloc.app.jobs.keys import job_key, queue_key
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import read_record
from sentiloc.app.redis.shared_connection import SharedConnection, pairs


@dataclass(frozen=True, slots=True)
class JobReader:
    """Reads single jobs in coroutines over the shared connection, without a thread."""

    shared: SharedConnection
    prefix: str

    async def get(self, job_id: str) -> tuple[JobRecord | None, int | None]:
        """A job's record and its position in the queue (1 starts next); each is None if it does not exist."""
        record, queue = job_key(self.prefix, job_id), queue_key(self.prefix)
        fields, rank = await self.shared.ask(("HGETALL", record), ("ZRANK", queue, job_id))
        return read_record(pairs(fields)), None if rank is None else rank + 1
