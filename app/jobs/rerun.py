"""Localizes the video of a job again with other options, without another upload.

The new job has its own copy of the video, so that either job can be deleted. The worker's cache finds features by the
content of the video, so other options, or another model that uses the same features, need no extraction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.file_names import display_name
from sentiloc.app.http.problems import InvalidRequest, ProblemError
from sentiloc.app.jobs.checks import require_possible
from sentiloc.app.jobs.idempotency import make_key
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobRecord, NewJob, new_job_id
from sentiloc.app.jobs.submit import Submitter
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.keys import source_key
from sentiloc.model.errors import ErrorCode

EXAMPLE_RERUN: dict[str, Any] = {"options": {"threshold": 0.4, "labels": None}}


class RerunRequest(BaseModel):
    """The differences from the first job."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_RERUN]})

    options: dict[str, Any] = Field(
        default_factory=dict,
        description="The options that change; null means the default. Options that are left out stay as they were",
    )
    name: str | None = Field(None, min_length=1, max_length=255, description="Default: the job's name")


@dataclass(frozen=True, slots=True)
class Rerunner:
    """Creates jobs from the videos of other jobs."""

    settings: Settings
    submitter: Submitter
    storage: Storage

    def rerun(self, record: JobRecord, asked: RerunRequest, key: str | None) -> tuple[JobRecord, bool]:
        """The new job, and whether this call created it.

        Raises `InvalidRequest`, `UnknownModel`, `IdempotencyConflict`, and `source_missing` if neither the video nor
        its URL is there any more.
        """
        # Not of the resulting options: they contain tags and metadata of the first job, which may change meanwhile.
        request = json.dumps([record.id, asked.options, asked.name], sort_keys=True)
        digest = hashlib.sha256(request.encode()).hexdigest()
        idempotency = make_key(key, digest, self.settings.idempotency_seconds)
        seen = self.submitter.seen(idempotency, current_caller().key_id)
        if seen is not None:
            return seen, False
        options = self._options(record, asked)
        require_possible(options, self.settings)
        job_id = new_job_id()
        is_stored = self.storage.copy(record.source_key, source_key(job_id))
        if not is_stored and record.source_url is None:
            raise ProblemError(410, ErrorCode.SOURCE_MISSING, "The video is no longer stored.")
        job = NewJob(
            id=job_id,
            source_key=source_key(job_id),
            source_name=display_name(asked.name) if asked.name else record.source_name,
            source_bytes=record.source_bytes if is_stored else 0,
            source_url=record.source_url or "",
            model=options.model_name or self.settings.model,
            options=options,
            rerun_of=record.id,
            media_seconds=_length(record, options),
            idempotency=idempotency,
        )
        new = self.submitter.submit_with_video(job, self.storage)
        return new, new.id == job.id

    def _options(self, record: JobRecord, asked: RerunRequest) -> JobOptions:
        fields = {name for name, value in asked.options.items() if value is None} & set(
            JobOptions.model_fields
        )
        kept = record.options.model_dump(mode="json", exclude_defaults=True)
        changed = {**kept, **asked.options}
        try:
            return JobOptions.model_validate(
                {name: value for name, value in changed.items() if name not in fields}, strict=False
            )
        except ValidationError as error:
            raise InvalidRequest.of_body(error, "options") from error


def _length(record: JobRecord, options: JobOptions) -> float | None:
    """The seconds of media that the new job processes; None if the first job has not found the video's length."""
    if record.duration is None or options.time_range is None:
        return record.duration
    return options.time_range.seconds(record.duration)
