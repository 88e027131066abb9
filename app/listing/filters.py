"""Which jobs are listed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sentiloc.app.jobs.record import JobKind, JobState
from sentiloc.app.listing.rows import JobRow


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """The filter of a list. None and empty tuples match every job. Times are Unix seconds."""

    states: tuple[JobState, ...] = ()
    label: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    tags: tuple[str, ...] = ()
    batch: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    min_confidence: float | None = None
    corrected: bool | None = None
    kind: JobKind = JobKind.LOCALIZE

    @property
    def has_filters(self) -> bool:
        """True if the filter can leave out jobs within the time range."""
        return self != JobFilter(created_after=self.created_after, created_before=self.created_before)

    @property
    def is_empty(self) -> bool:
        """True if every job matches."""
        return self == JobFilter()

    def matches(self, row: JobRow) -> bool:
        """True if the job matches. The times are not checked, because the index has already applied them."""
        return (
            row.kind is self.kind
            and (not self.states or row.state in self.states)
            and (self.batch is None or row.batch_id == self.batch)
            and (self.label is None or self.label in row.labels)
            and (self.corrected is None or row.is_corrected is self.corrected)
            # casefold, because a lower-case comparison misses pairs such as ß and SS.
            and (self.text is None or self.text.casefold() in row.name.casefold())
            and self._fits_numbers(row)
            and (not self.tags or set(self.tags) <= set(row.tags))
            and (not self.metadata or self._has_metadata(row.metadata))
        )

    def _fits_numbers(self, row: JobRow) -> bool:
        return (
            (self.min_duration is None or (row.duration is not None and row.duration >= self.min_duration))
            and (
                self.max_duration is None or (row.duration is not None and row.duration <= self.max_duration)
            )
            and (self.min_confidence is None or (row.confidence(self.label) or 0.0) >= self.min_confidence)
        )

    def _has_metadata(self, metadata: dict[str, Any]) -> bool:
        """True if every key has its value, as a text or as JSON."""
        return all(
            key in metadata
            # A query string has only text, so the number 3 is found as `3`.
            and value == (metadata[key] if isinstance(metadata[key], str) else json.dumps(metadata[key]))
            for key, value in self.metadata
        )
