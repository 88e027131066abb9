"""The few job fields by which lists are filtered, sorted and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sentiloc.app.jobs.found import LabelFound, read_found
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobKind, JobState
from sentiloc.app.jobs.store import JobStore

_FIELDS = (
    *("state", "source_name", "key_id", "batch", "created_at", "finished_at", "duration", "reel"),
    "corrected",
    *("found", "labels_found", "options", "metadata", "tags"),
)


@dataclass(frozen=True)
class JobRow:
    """One job in a list. Times are Unix seconds."""

    id: str
    state: JobState
    name: str
    key_id: str | None
    batch_id: str | None
    created_at: float
    finished_at: float | None
    duration: float | None
    texts: tuple[str, str, str, str, str]
    kind: JobKind = JobKind.LOCALIZE
    is_corrected: bool = False

    @cached_property
    def found(self) -> dict[str, LabelFound] | None:
        """The summary of each label; None without a result."""
        return read_found(self.texts[0])

    @property
    def labels(self) -> Sequence[str]:
        """The labels of the result's segments."""
        return self.texts[1].split(",") if self.state is JobState.SUCCEEDED and self.texts[1] else ()

    @cached_property
    def _options(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.texts[2])) if self.texts[2] else {}

    @property
    def metadata(self) -> dict[str, Any]:
        """The current metadata."""
        return dict(json.loads(self.texts[3]) if self.texts[3] else self._options.get("metadata", {}))

    @property
    def tags(self) -> list[str]:
        """The current tags."""
        return list(json.loads(self.texts[4]) if self.texts[4] else self._options.get("tags", ()))

    def confidence(self, label: str | None) -> float | None:
        """The confidence of the best segment (of `label`, if given); None without a segment."""
        found = self.found or {}
        kept = [one.confidence for name, one in found.items() if label in (None, name)]
        return max(kept, default=None)


def read_rows(store: JobStore, job_ids: Sequence[str]) -> Iterator[JobRow | None]:
    """The rows of jobs in the order of their ids, in one round trip; None for a job that is gone."""
    pipe = store.redis.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hmget(job_key(store.prefix, job_id), _FIELDS)
    for job_id, values in zip(job_ids, pipe.execute(), strict=True):
        yield _row(job_id, values)


def _row(job_id: str, values: list[str | None]) -> JobRow | None:
    state, name, key_id, batch, created, finished, duration, reel, corrected, *texts = values
    if state is None or created is None:
        return None
    found, labels, options, metadata, tags = (text or "" for text in texts)
    return JobRow(
        id=job_id,
        state=JobState(state),
        name=name or "",
        key_id=key_id or None,
        batch_id=batch or None,
        created_at=float(created),
        finished_at=float(finished) if finished else None,
        duration=float(duration) if duration else None,
        texts=(found, labels, options, metadata, tags),
        kind=JobKind.REEL if reel else JobKind.LOCALIZE,
        is_corrected=bool(corrected),
    )
