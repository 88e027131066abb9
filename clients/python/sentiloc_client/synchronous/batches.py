# Generated from `asynchronous` by `clients/python/unasync.py`: change that one.
"""Methods of `Client` for batches: many videos sent together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from time import monotonic

from .. import batches
from ..batches import Batch, BatchItem, BatchLine, BatchPage
from ..errors import BatchTimeoutError, Code
from ..models import JobOptions, Webhook
from ..retries import AWAY
from .transport import Transport

_POLL_SECONDS = 2.0


class Batches(Transport):
    """Batches of jobs."""

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
        """Poll until every job of the batch has ended; raises `BatchTimeoutError` after `timeout` seconds."""
        ends_at = None if timeout is None else monotonic() + timeout
        found: Batch | None = None
        while True:
            try:
                found = self._send(batches.get(batch_id), ends_at)
            except AWAY as error:
                if found is None or ends_at is None or monotonic() < ends_at:
                    raise
                raise BatchTimeoutError(found, timeout or 0.0) from error
            if found.state == "finished":
                return found
            left = _POLL_SECONDS if ends_at is None else ends_at - monotonic()
            if left <= 0:
                raise BatchTimeoutError(found, timeout or 0.0)
            # The last poll is at the limit, because the batch may end until then.
            time.sleep(min(_POLL_SECONDS, left))

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
        """Delete the batch with its jobs and their files, in any state. It is not an error if it is already deleted."""
        self._remove(batches.delete(batch_id), Code.BATCH_NOT_FOUND)
