"""From an upload in pieces to its job: an upload has one job at most, whose id is the upload's."""

from __future__ import annotations

import logging
from contextlib import suppress
from contextvars import copy_context

from sentiloc.app.access.caller import Caller, set_caller
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.jobs.idempotency import Once
from sentiloc.app.jobs.options import JobOptions, parse_options
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.submit import Source, submit
from sentiloc.app.services import Services
from sentiloc.app.uploads.record import UploadRecord, UploadState
from sentiloc.model.errors import SentilocError

logger = logging.getLogger(__name__)

GONE = (410, ProblemCode.UPLOAD_GONE, "The upload was ended, has expired, or its job was deleted.")
UNFINISHED = (409, ProblemCode.UPLOAD_UNFINISHED, "The upload is at byte 1048576 of 209715200.")
USED = (409, ProblemCode.UPLOAD_USED, "This upload is a job already, with other options.")


def localize_upload(
    services: Services, upload: UploadRecord, options: JobOptions, once: Once | None = None
) -> JobRecord:
    """The upload's job; asked again, the same one. Raises the problems `GONE`, `UNFINISHED` and `USED`."""
    job = services.store.get(upload.id)
    if job is not None and job.options != options:
        raise ProblemError(*USED)
    upload = services.uploads.settle(upload)
    if job is None:
        _require_complete(services, upload)
    source = Source(job_id=upload.id, key=upload.source_key, name=upload.name, bytes=upload.length or 0)
    job = submit(services, source, options, once)
    if job.id == upload.id:
        services.uploads.use(upload)
    return job


def begin_by_itself(services: Services, upload: UploadRecord) -> JobRecord | None:
    """The job of a complete upload whose client asked for it in advance; None where there is nothing to do."""
    upload = services.uploads.settle(upload)
    if upload.options is None or upload.state is not UploadState.COMPLETE:
        return None
    context = copy_context()
    context.run(set_caller, Caller(key_id=upload.key_id))
    return context.run(localize_upload, services, upload, parse_options(upload.options))


def sweep_uploads(services: Services) -> None:
    """Remove uploads whose time has run out, and begin jobs that were to begin when the server ended."""
    for upload_id in services.uploads.expired():
        upload = services.uploads.find(upload_id)
        if upload is not None:
            logger.info("upload %s has expired", upload_id)
            services.uploads.end(upload)
    for upload_id in services.uploads.waiting():
        upload = services.uploads.find(upload_id)
        if upload is not None:
            with suppress(ProblemError, SentilocError):
                begin_by_itself(services, upload)
    services.uploads.sweep_files()


def _require_complete(services: Services, upload: UploadRecord) -> None:
    if upload.state is UploadState.OPEN:
        offset = services.uploads.offset(upload)
        of_all = "" if upload.length is None else f" of {upload.length}"
        raise ProblemError(*UNFINISHED[:2], f"The upload is at byte {offset}{of_all}.")
    if upload.state is not UploadState.COMPLETE or services.storage.size(upload.source_key) is None:
        raise ProblemError(*GONE)
