"""Methods of both clients for batches, for changes of jobs, and for the account."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar, Unpack

from . import batches
from .batches import Batch, BatchItem, BatchLine, BatchPage, DayOfUse, Deleted, Summary
from .calls import Call
from .models import Filters, Job, JobOptions, Webhook
from .results import Result

T = TypeVar("T")
_POLL_SECONDS = 2.0


class Bulk(ABC):
    """The methods of `Client`."""

    @abstractmethod
    def _send(self, call: Call[T]) -> T:
        """Execute a call."""

    def submit_batch(
        self,
        items: Sequence[BatchItem],
        options: JobOptions | None = None,
        *,
        name: str | None = None,
        webhook: Webhook | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Send many videos in one request with the same options: all of them become jobs (`job_ids`), or none."""
        return self._send(batches.submit(items, options, name, webhook, idempotency_key))

    def batch(self, batch_id: str) -> Batch:
        """The current state of the batch."""
        return self._send(batches.get(batch_id))

    def wait_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Poll until every job of the batch has ended; raises `TimeoutError` after `timeout` seconds."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while (found := self.batch(batch_id)).state != "finished":
            if ends_at is not None and time.monotonic() + _POLL_SECONDS > ends_at:
                raise TimeoutError(f"batch {batch_id} is at {found.progress:.0%} after {timeout:g} seconds")
            time.sleep(_POLL_SECONDS)
        return found

    def list_batches(self, *, limit: int = 20, cursor: str | None = None) -> BatchPage:
        """One page of batches, newest first."""
        return self._send(batches.page(limit, cursor))

    def batch_results(self, batch_id: str) -> tuple[BatchLine, ...]:
        """The state and result of every item, in the order of the items."""
        return self._send(batches.results(batch_id))

    def batch_result_lines(self, batch_id: str) -> str:
        """The same as JSON, one object a line, as the server wrote it."""
        return self._send(batches.result_lines(batch_id))

    def export_batch(self, batch_id: str, name: str) -> bytes:
        """Every result in one of `formats()`, or `json`, as a zip archive."""
        return self._send(batches.export(batch_id, name))

    def cancel_batch(self, batch_id: str) -> Batch:
        """Cancel the jobs that have not ended. Never deletes anything."""
        return self._send(batches.cancel(batch_id))

    def delete_batch(self, batch_id: str) -> None:
        """Delete the batch with its jobs and their files, in any state."""
        while not self._send(batches.delete(batch_id)):
            pass

    def update(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `metadata` (merged; None removes a key) and `tags` of a job."""
        return self._send(batches.update(job_id, changes))

    def partial_result(self, job_id: str) -> Result:
        """The provisional result of a running job; the final result once it has ended."""
        return self._send(batches.partial(job_id))

    def summary(self, **filters: Unpack[Filters]) -> Summary:
        """Counts and totals of the jobs that match."""
        return self._send(batches.summary(filters))

    def delete_jobs(self, *, cancel: bool = False, **filters: Unpack[Filters]) -> Deleted:
        """Delete the ended jobs that match; `cancel` also cancels those that have not ended."""
        return self._send(batches.delete_jobs(filters, cancel_others=cancel))

    def usage(self, first: date | None = None, last: date | None = None) -> tuple[DayOfUse, ...]:
        """The usage of keys by day; default: the last 30 days."""
        return self._send(batches.usage(first, last))


class AsyncBulk(ABC):
    """The methods of `AsyncClient`."""

    @abstractmethod
    async def _send(self, call: Call[T]) -> T:
        """Execute a call."""

    async def submit_batch(
        self,
        items: Sequence[BatchItem],
        options: JobOptions | None = None,
        *,
        name: str | None = None,
        webhook: Webhook | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Send many videos in one request with the same options: all of them become jobs (`job_ids`), or none."""
        return await self._send(batches.submit(items, options, name, webhook, idempotency_key))

    async def batch(self, batch_id: str) -> Batch:
        """The current state of the batch."""
        return await self._send(batches.get(batch_id))

    async def wait_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Poll until every job of the batch has ended; raises `TimeoutError` after `timeout` seconds."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while (found := await self.batch(batch_id)).state != "finished":
            if ends_at is not None and time.monotonic() + _POLL_SECONDS > ends_at:
                raise TimeoutError(f"batch {batch_id} is at {found.progress:.0%} after {timeout:g} seconds")
            await asyncio.sleep(_POLL_SECONDS)
        return found

    async def list_batches(self, *, limit: int = 20, cursor: str | None = None) -> BatchPage:
        """One page of batches, newest first."""
        return await self._send(batches.page(limit, cursor))

    async def batch_results(self, batch_id: str) -> tuple[BatchLine, ...]:
        """The state and result of every item, in the order of the items."""
        return await self._send(batches.results(batch_id))

    async def batch_result_lines(self, batch_id: str) -> str:
        """The same as JSON, one object a line, as the server wrote it."""
        return await self._send(batches.result_lines(batch_id))

    async def export_batch(self, batch_id: str, name: str) -> bytes:
        """Every result in one of `formats()`, or `json`, as a zip archive."""
        return await self._send(batches.export(batch_id, name))

    async def cancel_batch(self, batch_id: str) -> Batch:
        """Cancel the jobs that have not ended. Never deletes anything."""
        return await self._send(batches.cancel(batch_id))

    async def delete_batch(self, batch_id: str) -> None:
        """Delete the batch with its jobs and their files, in any state."""
        while not await self._send(batches.delete(batch_id)):
            pass

    async def update(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `metadata` (merged; None removes a key) and `tags` of a job."""
        return await self._send(batches.update(job_id, changes))

    async def partial_result(self, job_id: str) -> Result:
        """The provisional result of a running job; the final result once it has ended."""
        return await self._send(batches.partial(job_id))

    async def summary(self, **filters: Unpack[Filters]) -> Summary:
        """Counts and totals of the jobs that match."""
        return await self._send(batches.summary(filters))

    async def delete_jobs(self, *, cancel: bool = False, **filters: Unpack[Filters]) -> Deleted:
        """Delete the ended jobs that match; `cancel` also cancels those that have not ended."""
        return await self._send(batches.delete_jobs(filters, cancel_others=cancel))

    async def usage(self, first: date | None = None, last: date | None = None) -> tuple[DayOfUse, ...]:
        """The usage of keys by day; default: the last 30 days."""
        return await self._send(batches.usage(first, last))
