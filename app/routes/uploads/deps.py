"""Shared by the upload routes: the path parameter, and the upload of a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from sentiloc.app.access.caller import current_caller
from sentiloc.app.schemas.uploads import EXAMPLE_UPLOAD_ID
from sentiloc.app.services import Services
from sentiloc.app.uploads.problems import UploadGone, UploadNotFound
from sentiloc.app.uploads.record import UploadRecord, UploadState

UploadId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=[EXAMPLE_UPLOAD_ID])]


def new_upload(services: Services, record: UploadRecord) -> UploadRecord:
    """Record a new upload; raises `TooManyUploads` and `KeyLimitReached`."""
    services.uploads.create(record)
    return record


def find_upload(services: Services, upload_id: str) -> UploadRecord:
    """The caller's upload; raises `UploadNotFound` and `UploadGone`."""
    record = services.uploads.find(upload_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise UploadNotFound
    if record.state is UploadState.GONE:
        raise UploadGone
    return record
