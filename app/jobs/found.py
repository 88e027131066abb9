"""Summaries of a job's result and of its last correction, by label. Lists and totals read only these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sentiloc.model.segments import Segment

# Milliseconds; the summary is stored in every record, so it should be short.
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class LabelFound:
    """The segments of one label: their number, their total seconds, and the confidence of the best one (0 to 1)."""

    segments: int
    seconds: float
    confidence: float


Found = Mapping[str, LabelFound]


def found_in(segments: Iterable[Segment]) -> dict[str, LabelFound]:
    """The summary of a result's segments by label, sorted by label."""
    by_label: dict[str, list[Segment]] = {}
    for segment in segments:
        by_label.setdefault(segment.label, []).append(segment)
    return {
        label: LabelFound(
            segments=len(of_label),
            seconds=round(sum(one.end - one.start for one in of_label), _DECIMALS),
            confidence=round(max(one.confidence for one in of_label), _DECIMALS),
        )
        for label, of_label in sorted(by_label.items())
    }


def write_found(found: Found) -> str:
    """The summary as stored in the record."""
    return json.dumps({label: [one.segments, one.seconds, one.confidence] for label, one in found.items()})


def read_found(text: str | None) -> dict[str, LabelFound] | None:
    """Parse what `write_found` wrote; None for jobs without a result or of older versions."""
    return {label: LabelFound(*row) for label, row in json.loads(text).items()} if text else None


@dataclass(frozen=True, slots=True)
class LabelCorrected:
    """The segments of one label in a correction: their number and their total seconds."""

    segments: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """The last correction of a job's segments. `at` is its time in Unix seconds."""

    at: float
    labels: Mapping[str, LabelCorrected]


def write_corrected(at: float, segments: Iterable[tuple[str, float]]) -> str:
    """The summary of a correction as stored in the record; `segments` are labels and seconds."""
    by_label: dict[str, list[float]] = {}
    for label, seconds in segments:
        by_label.setdefault(label, []).append(seconds)
    labels = {label: [len(all_), round(sum(all_), _DECIMALS)] for label, all_ in sorted(by_label.items())}
    return json.dumps({"at": at, "labels": labels})


def read_corrected(text: str | None) -> Corrected | None:
    """Parse what `write_corrected` wrote; None for jobs that nobody has corrected."""
    if not text:
        return None
    stored = json.loads(text)
    labels = {label: LabelCorrected(*row) for label, row in stored["labels"].items()}
    return Corrected(stored["at"], labels)
