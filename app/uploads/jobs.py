"""Creates the job of a resumable upload. An upload has at most one job, whose id is the upload's id."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

from sentiloc.app.http.problems import ProblemError
from sentiloc.app.jobs.idempotency import IdempotencyKey
from sentiloc.app.jobs.options import JobOptions, read_options
from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.store import UploadEndedError
from sentiloc.app.jobs.submit import Submitter
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.failures import Failures
from sentiloc.app.uploads.problems import UploadBusy, UploadGone, UploadUnfinished, UploadUsed
from sentiloc.app.uploads.record import UploadRecord, UploadState
from sentiloc.app.uploads.store import UploadStore
from sentiloc.model.errors import SentilocError

logger = logging.getLogger(__name__)

_COMPLETION_SECONDS = 2.0
"""How long a request for the job waits for the request that brought the last byte."""


@dataclass(frozen=True, slots=True)
class UploadJobs:
    """Creates the jobs of complete uploads and removes uploads that have expired."""

    settings: Settings
    submitter: Submitter
    storage: Storage
    uploads: UploadStore

    def localize(
        self, upload: UploadRecord, options: JobOptions, key: IdempotencyKey | None = None
    ) -> tuple[JobRecord, bool]:
        """The upload's job, and whether this call created it. May be repeated.

        Raises `UploadBusy`, `UploadGone`, `UploadUnfinished`, `UploadUsed` and `IdempotencyConflict`.
        """
        # Looked up first: after a lost answer the client asks again, and the upload is then marked as used.
        job = self.submitter.find(upload.id)
        if job is not None:
            if job.asked != options:
                raise UploadUsed
            return job, False
        upload = self._settled(upload)
        new = NewJob(
            id=upload.id,
            source_key=upload.source_key,
            source_name=upload.name,
            source_bytes=upload.length or 0,
            model=options.model_name or self.settings.model,
            options=options,
            # The owner is the upload's, because the sweep runs without a request.
            key_id=upload.key_id,
            is_of_upload=True,
            idempotency=key,
        )
        try:
            record = self.submitter.submit(new)
        except UploadEndedError as error:
            raise UploadGone from error
        # Another request may have created the upload's job meanwhile.
        if record.id == upload.id and record.asked != options:
            raise UploadUsed
        # With an idempotency key the store may return the job of an earlier request, which has another id.
        return record, record.id == upload.id

    def complete(self, upload: UploadRecord) -> UploadRecord:
        """The upload, if all of its bytes have arrived and it has no job.

        Raises `UploadBusy`, `UploadGone`, `UploadUnfinished` and `UploadUsed`.
        """
        if upload.state is UploadState.USED or self.submitter.store.get(upload.id) is not None:
            raise UploadUsed
        return self._settled(upload)

    def begin_by_itself(self, upload: UploadRecord) -> JobRecord | None:
        """The job of a complete upload whose client asked for it in advance; None if there is nothing to do."""
        upload = self.uploads.settle(upload)
        if upload.options is None or upload.state is not UploadState.COMPLETE:
            return None
        options, knows_all = read_options(upload.options)
        # During an upgrade, the server that took the upload may be newer and then creates the job.
        return self.localize(upload, options)[0] if knows_all else None

    def sweep(self) -> None:
        """Remove expired uploads, and create the jobs that a server had no time to create before it stopped.

        Bytes that cannot be deleted stop nothing. Raises the first `storage_unavailable` at the end.
        """
        failures = Failures()
        for upload_id in takewhile(lambda _: not failures.are_hopeless, self.uploads.expired()):
            upload = self.uploads.find(upload_id)
            if upload is not None:
                # A request may have reset the expiry since the list was read.
                with failures.kept():
                    if self.uploads.end(upload, only_expired=True):
                        logger.info("upload %s has expired", upload_id)
        for upload_id in self.uploads.waiting():
            upload = self.uploads.find(upload_id)
            if upload is not None:
                # One bad upload must not stop the sweep; the client sees its problem when it asks.
                with suppress(ProblemError, SentilocError):
                    self.begin_by_itself(upload)
        with failures.kept():
            self.uploads.sweep_files()
        failures.raise_first()

    def _settled(self, upload: UploadRecord) -> UploadRecord:
        """The upload, if it is complete. Waits for a request that has brought the last byte to record it."""
        deadline = time.monotonic() + _COMPLETION_SECONDS
        upload = self.uploads.settle(upload)
        while self._is_being_completed(upload):
            if time.monotonic() > deadline:
                raise UploadBusy
            time.sleep(0.02)
            found = self.uploads.find(upload.id)
            if found is None:
                raise UploadGone
            upload = self.uploads.settle(found)
        self._require_complete(upload)
        return upload

    def _is_being_completed(self, upload: UploadRecord) -> bool:
        is_open = upload.state is UploadState.OPEN and upload.length is not None
        return is_open and self.uploads.offset(upload) == upload.length

    def _require_complete(self, upload: UploadRecord) -> None:
        if upload.state is UploadState.OPEN:
            raise UploadUnfinished(self.uploads.offset(upload), upload.length)
        if upload.state is not UploadState.COMPLETE or self.storage.size(upload.source_key) is None:
            raise UploadGone
