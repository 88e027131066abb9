"""Read the benchmark's files and score predictions against them: `sentiloc evaluate` without its printing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentiloc.model.data.text import listed, look_alikes, read_json, real_number
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.evaluation.diagnosis import ErrorBreakdown, error_breakdown
from sentiloc.model.evaluation.metrics import (
    DetectionMetrics,
    GroundTruth,
    GroundTruthSegment,
    Predictions,
    evaluate_detections,
)
from sentiloc.model.segments import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that is reported about one set of predictions.

    `unknown_videos` have predictions, but are not in the ground truth. Their proposals count as wrong, as in the
    benchmark. `without_predictions` counts the videos of the ground truth without predictions.
    """

    metrics: DetectionMetrics
    errors: ErrorBreakdown
    videos: int
    proposals: int
    unknown_videos: tuple[str, ...] = ()
    without_predictions: int = 0


def evaluate_files(ground_truth: Path, predictions: Path, subset: str = "test") -> Evaluation:
    """Score a predictions file against a ground-truth file. Raises `invalid_data` for what cannot be read, and for a
    video whose name the two files spell differently.
    """
    truth, found = read_ground_truth(ground_truth, subset), read_predictions(predictions)
    missing = [video for video in truth if video not in found]
    for video, other in look_alikes(missing, _unknown_videos(truth, found)):
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{predictions.name}: {other!r} is no video of {ground_truth.name}, but nearly {video!r}",
        )
    return evaluate_predictions(truth, found)


def evaluate_predictions(truth: GroundTruth, found: Predictions) -> Evaluation:
    """Score predictions against ground truth, both by video."""
    return Evaluation(
        metrics=evaluate_detections(truth, found),
        errors=error_breakdown(truth, found),
        videos=len(truth),
        proposals=sum(map(len, found.values())),
        unknown_videos=tuple(_unknown_videos(truth, found)),
        without_predictions=sum(not found.get(video) for video in truth),
    )


def _unknown_videos(truth: GroundTruth, found: Predictions) -> list[str]:
    return [video for video, proposals in found.items() if proposals and video not in truth]


def read_ground_truth(path: Path, subset: str = "test") -> GroundTruth:
    """One subset's videos of `{"database": {video: {"subset", "annotations": [{"segment", "label"}]}}}`.

    A video that names no subset belongs to every one. Raises `invalid_data` naming the file and the video.
    """
    database = _mapping(read_json(path), "database", path)
    truth = {
        video: [GroundTruthSegment(label, *times) for label, times in _rows(entry, path, video)]
        for video, entry in database.items()
        if not isinstance(entry, dict) or entry.get("subset", subset) == subset
    }
    if not any(truth.values()):
        # Texts, because a JSON value may be a list, which no set can contain.
        names = {f"{entry['subset']!r:.40}" for entry in database.values() if "subset" in entry}
        others = listed(sorted(names - {repr(subset), repr(None)}))
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{path.name}: no segment in subset {subset!r}" + (f"; it has {others}" if others else ""),
        )
    return truth


def read_predictions(path: Path) -> Predictions:
    """Proposals of `{"results": {video: [{"label", "score", "segment"}]}}`; raises `invalid_data`."""
    results = _mapping(read_json(path), "results", path)
    return {video: _proposals(entry, path, video) for video, entry in results.items()}


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write what `read_predictions` reads, in the benchmark's own layout."""
    results = {
        video: [{"label": row.label, "score": row.score, "segment": [row.start, row.end]} for row in rows]
        for video, rows in predictions.items()
    }
    path.write_text(json.dumps({"version": "1.3", "results": results, "external_data": {}}), encoding="utf-8")


def to_json(metrics: DetectionMetrics) -> dict[str, Any]:
    """The metrics under the names of the benchmark's own report."""
    return {
        "mAP": list(metrics.mean_ap),
        "average_mAP": metrics.average_map,
        "precision": list(metrics.precision),
        "recall": list(metrics.recall),
        "f2": list(metrics.f2),
        "ap": [list(row) for row in metrics.ap],
        "classes": list(metrics.classes),
        "tious": list(metrics.tious),
    }


def _mapping(value: object, key: str, path: Path) -> dict[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise SentilocError(ErrorCode.INVALID_DATA, f'{path.name}: needs an object under "{key}"')
    return inner


def _proposals(entry: object, path: Path, video: str) -> list[Proposal]:
    segments = list(_segments(entry, path, video))
    # `_segments` has already refused anything but a list of objects.
    scores = [_number(row.get("score"), path, video) for row in entry] if isinstance(entry, list) else []
    return [Proposal(label, score, *times) for score, (label, times) in zip(scores, segments, strict=True)]


def _rows(entry: object, path: Path, video: str) -> Iterator[tuple[str, tuple[float, float]]]:
    if not isinstance(entry, dict) or "annotations" not in entry:
        raise SentilocError(ErrorCode.INVALID_DATA, f'{path.name}: {video} needs a list under "annotations"')
    return _segments(entry["annotations"], path, video)


def _segments(rows: object, path: Path, video: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Label and times in seconds of each row, or `invalid_data`."""
    if not isinstance(rows, list):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path.name}: {video} has no list of segments")
    for row in rows:
        label = row.get("label") if isinstance(row, dict) else None
        times = row.get("segment") if isinstance(row, dict) else None
        if not isinstance(label, str) or not isinstance(times, list) or len(times) != 2:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{path.name}: {video} needs a label and [start, end], not {row!r:.80}",
            )
        start, end = (_number(value, path, video) for value in times)
        if end < start:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path.name}: {video} ends at {end} before {start}")
        yield label, (start, end)


def _number(value: object, path: Path, video: str) -> float:
    """A finite number; the benchmark writes some as strings."""
    number = real_number(value)
    if number is None or not math.isfinite(number):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path.name}: {video} has {value!r:.40}, not a number")
    return number
