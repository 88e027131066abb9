"""Turns the body of `POST /batches` into a recorded batch. One invalid item refuses the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import unquote

from redis import RedisError

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.key_limits import KeyLimitReached
from sentiloc.app.batches.record import BatchRecord, BatchWebhookTarget, NewBatch
from sentiloc.app.batches.request import BatchItem, BatchRequest
from sentiloc.app.batches.store import BatchStore, UploadTakenError
from sentiloc.app.http.file_names import display_name
from sentiloc.app.http.problems import InvalidRequest, ProblemError, problem_of
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.checks import check_webhook, require_possible
from sentiloc.app.jobs.idempotency import IdempotencyKey, KeyReusedError, make_key
from sentiloc.app.jobs.options import JobOptions, Priority
from sentiloc.app.jobs.record import NewJob, expected_cost, new_job_id, written_cost
from sentiloc.app.jobs.store import QueueFullError
from sentiloc.app.jobs.submit import IdempotencyConflict
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.places import SCHEME, may_read, parse_place
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import source_key
from sentiloc.app.uploads.jobs import UploadJobs
from sentiloc.app.uploads.problems import UploadGone, UploadUsed
from sentiloc.app.uploads.record import UploadRecord
from sentiloc.model.errors import ErrorCode, SentilocError

FindUpload = Callable[[str], UploadRecord]
"""The upload with this id, if the caller may see it; raises a `ProblemError` otherwise."""
_OF_ITEM = ("source_key", "source_name", "source_bytes", "source_url", "options", "cost")


@dataclass(frozen=True, slots=True)
class BatchIntake:
    """Checks and records batches."""

    settings: Settings
    batches: BatchStore
    dispatcher: Dispatcher
    upload_jobs: UploadJobs

    def accept(
        self, asked: BatchRequest, key_text: str | None, find_upload: FindUpload
    ) -> tuple[BatchRecord, bool]:
        """The batch, and whether it is new. A repeated request with the same idempotency key returns the first batch.

        Raises a `ProblemError` that names the first wrong item, and `redis.RedisError`. After a `NotReplicatedError`
        the batch is recorded, but may be lost with the primary, so the client is told to try again. No worker is woken
        then; the reaper does that later.
        """
        key = make_key(key_text, asked.digest(), self.settings.idempotency_seconds) if key_text else None
        try:
            # Before any check: a repeated request must succeed even if its uploads are used up by the first
            # one.
            seen = self._seen(key)
            return self._new(asked, key, find_upload) if seen is None else (seen, False)
        except KeyReusedError as error:
            raise IdempotencyConflict from error

    def _new(
        self, asked: BatchRequest, key: IdempotencyKey | None, find_upload: FindUpload
    ) -> tuple[BatchRecord, bool]:
        try:
            return self._accept(self._new_batch(asked, key, find_upload))
        except ProblemError:
            # The same request may have been accepted meanwhile, and have used up the uploads.
            seen = self._seen(key)
            if seen is None:
                raise
            return seen, False

    def _seen(self, key: IdempotencyKey | None) -> BatchRecord | None:
        """The batch of an idempotency key, if any; raises `KeyReusedError` if the request was a different one."""
        record = None if key is None else self.batches.seen(key, current_caller().key_id)
        if record is not None:
            # The first request may have been told to try again because too few replicas had the batch.
            self.upload_jobs.submitter.replicate()
        return record

    def _accept(self, batch: NewBatch) -> tuple[BatchRecord, bool]:
        try:
            record = self._record(batch)
        except QueueFullError as error:
            raise KeyLimitReached(self.settings.max_queued_per_key, "queued jobs") from error
        except UploadTakenError as error:
            place = f"items.{batch.job_ids.index(error.upload_id)}"
            problem = UploadGone() if error.is_gone else UploadUsed()
            raise _at(place, problem) from error
        self.upload_jobs.submitter.replicate()
        is_new = record.id == batch.id
        if is_new:
            priority = Priority.INTERACTIVE if batch.is_interactive else Priority.BATCH
            # After the record: a worker must find the job that its message names.
            self.dispatcher.send_soon(batch.job_ids, priority)
        return record, is_new

    def _record(self, batch: NewBatch) -> BatchRecord:
        """Record the batch. If the connection fails before Redis answers, check whether it was recorded."""
        try:
            return self.batches.submit(batch, self.settings.max_queued_per_key)
        except RedisError:
            known = self.batches.get(batch.id)
            if known is None:
                raise
            return known

    def _new_batch(
        self, asked: BatchRequest, key: IdempotencyKey | None, find_upload: FindUpload
    ) -> NewBatch:
        if len(asked.items) > self.settings.max_batch_items:
            most = self.settings.max_batch_items
            raise InvalidRequest(f"items: a batch may have {most} items at most, not {len(asked.items)}")
        shared = asked.shared_options()
        require_possible(shared, self.settings)
        self.batches.require_served(shared.model_name or self.settings.model)
        if asked.webhook is not None:
            check_webhook(asked.webhook.url, asked.webhook.secret, self.settings, "webhook")
        batch_id = new_job_id()
        # A job without a source, whose fields are those that all jobs of the batch share.
        likeness = NewJob(
            source_key="",
            source_name="",
            source_bytes=0,
            model=shared.model_name or self.settings.model,
            options=shared,
            batch_id=batch_id,
        ).fields()
        rows = _Rows(self.settings, self.upload_jobs, find_upload, shared, likeness["options"])
        webhook = asked.webhook
        return NewBatch(
            id=batch_id,
            name=asked.name or "",
            key_id=current_caller().key_id,
            webhook=BatchWebhookTarget(url=webhook.url, secret=webhook.secret) if webhook else None,
            shared={name: value for name, value in likeness.items() if name not in _OF_ITEM},
            rows=tuple(rows.fields(index, item) for index, item in enumerate(asked.items)),
            uploads=tuple(item.upload for item in asked.items if item.upload is not None),
            is_interactive=shared.priority is Priority.INTERACTIVE,
            idempotency=key,
        )


class _Rows:
    """Turns the items of a batch into the record fields that differ from job to job."""

    def __init__(
        self,
        settings: Settings,
        upload_jobs: UploadJobs,
        find_upload: FindUpload,
        shared: JobOptions,
        shared_text: str,
    ) -> None:
        caller = current_caller()
        self._outbound = Outbound(settings.outbound_allow)
        self._own = settings.storage_url
        # Without a key the server is open, and the operator's own places apply.
        self._prefixes = caller.s3_prefixes if caller.key_id is not None else tuple(settings.s3_sources)
        self._upload_jobs = upload_jobs
        self._find_upload = find_upload
        self._shared, self._shared_text = shared, shared_text
        self._uploads: set[str] = set()

    def fields(self, index: int, item: BatchItem) -> tuple[str, ...]:
        """The job's id, then field and value in turn; raises a `ProblemError` that names the item."""
        place = f"items.{index}"
        try:
            options = item.options(self._shared)
            source = self._of_url(item) if item.upload is None else self._of_upload(item.upload, item.name)
        except ValueError as error:
            raise InvalidRequest(f"{place}: {error}") from error
        except SentilocError as error:
            if item.upload is not None:
                # The storage is at fault, not the request.
                raise _at(place, problem_of(error)) from error
            raise ProblemError(422, error.code, f"{place}.url: {error.detail}") from error
        except ProblemError as error:
            raise _at(place, error) from error
        text = self._shared_text if options is self._shared else options.canonical()
        cost = written_cost(expected_cost(int(source[3]), options.time_range))
        values = zip(_OF_ITEM, (*source[1:], text, cost), strict=True)
        return (source[0], *(part for pair in values for part in pair))

    def _of_url(self, item: BatchItem) -> tuple[str, ...]:
        url, job_id = item.url or "", new_job_id()
        name = self._s3_name(url) if url.startswith(SCHEME) else self._http_name(url)
        return job_id, source_key(job_id), display_name(item.name or name), "0", url

    def _http_name(self, url: str) -> str:
        return unquote(self._outbound.check(url).path.rpartition("/")[2])

    def _s3_name(self, url: str) -> str:
        try:
            place = parse_place(url)
        except ValueError as error:
            raise SentilocError(ErrorCode.URL_FORBIDDEN, f"The URL {error}.") from error
        if not may_read(place, self._prefixes, self._own):
            detail = f"The object {url} is not within a place that the operator gave to this key."
            raise SentilocError(ErrorCode.URL_FORBIDDEN, detail)
        # Found without importing it: boto3 takes half a second to load, and only workers use it.
        if find_spec("boto3") is None:
            raise SentilocError(
                ErrorCode.URL_FORBIDDEN,
                "This server cannot read s3:// addresses, because boto3 is not installed. Its operator can install it.",
            )
        return place.name

    def _of_upload(self, upload_id: str, name: str | None) -> tuple[str, ...]:
        if upload_id in self._uploads:
            raise ValueError(f"upload {upload_id} is in the batch twice")
        self._uploads.add(upload_id)
        upload = self._upload_jobs.complete(self._find_upload(upload_id))
        shown = display_name(name) if name else upload.name
        return upload.id, upload.source_key, shown, str(upload.length or 0), ""


def _at(place: str, error: ProblemError) -> ProblemError:
    return ProblemError(error.status, error.code, f"{place}: {error.detail}", error.headers)
