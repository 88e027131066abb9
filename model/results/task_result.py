"""Results of the tasks besides sentiment: emotions of a video (CTEN) and facial expressions (GIM).

Each has its own kind of document, identified by `task`. Both contain the curve from which they were cut, so that other
thresholds need no second run of the network. Numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.cten.detect import EmotionScores, emotion_spans, span_class
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.spotting import SpottingRule, spot
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.proposals.nms import disjoint
from sentiloc.model.results.cut import recut
from sentiloc.model.results.result import (
    ModelIdentity,
    Result,
    SegmentOptions,
    parse_identity,
    parse_result,
    parse_segment_options,
    parse_stored_calibration,
)
from sentiloc.model.results.sound import Sound, parse_sound
from sentiloc.model.results.warnings import ResultWarning, parse_warnings
from sentiloc.model.segments import Segment, VideoInfo, known_fields, parse_stored_video

SCHEMA_VERSION = "1.1"
_DECIMALS = 4


_SENTIMENT_ONLY = ("evidence", "source")
"""Fields of a segment that results of other tasks do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCurve:
    """Named series over time: value i of each holds for [i * step, (i + 1) * step) seconds; all in [0, 1]."""

    step: float
    series: Mapping[str, tuple[float, ...]]
    face_present: tuple[bool, ...] = ()

    def matrix(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """The named series as columns, (T, len(names))."""
        return np.array([self.series[name] for name in names], dtype=np.float64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskResult:
    """The common fields of both documents."""

    video: VideoInfo
    faces_seen: int
    segments: tuple[Segment, ...]
    curve: SeriesCurve
    model: ModelIdentity
    timings: Mapping[str, float]
    options: SegmentOptions
    calibration: Calibration
    sound: Sound | None = None
    warnings: tuple[ResultWarning, ...] = ()

    def _shared(self, task: str) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "task": task,
            "video": {**asdict(self.video), "faces_seen": self.faces_seen},
            "curve": asdict(self.curve),
            "model": asdict(self.model),
            "timings": dict(self.timings),
            "options": asdict(self.options),
            "calibration": asdict(self.calibration),
            "sound": self.sound and asdict(self.sound),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionResult(_TaskResult):
    """One emotion for the whole video (`probabilities` by class), and the segments that show an emotion.

    The curve's series are `attention_visual`, `attention_audio` and each class's probability in the segment.
    """

    task: ClassVar[str] = "emotion"
    probabilities: Mapping[str, float]

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions that the model knows."""
        return tuple(self.probabilities)

    def recut(self, options: SegmentOptions) -> EmotionResult:
        """The result with segments cut by other options."""
        segments = cut_emotions(
            self.curve, self.probabilities, self.video.duration, self.calibration, options
        )
        return replace(self, segments=segments, options=options)

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form, as the API returns and stores it."""
        best = max(self.probabilities, key=lambda name: self.probabilities[name])
        return {
            **self._shared(self.task),
            "emotion": {"label": best, "confidence": self.probabilities[best]},
            "probabilities": dict(self.probabilities),
            "segments": [_plain(segment) for segment in self.segments],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionResult(_TaskResult):
    """Macro- and micro-expressions of the largest face: a segment's start, peak and end are onset, apex, offset.

    The curve's series are `intensity` and each class's score.
    """

    task: ClassVar[str] = "expression"
    classes: tuple[str, ...]

    def recut(self, options: SegmentOptions) -> ExpressionResult:
        """The result with expressions cut by other options."""
        segments = cut_expressions(self.curve, self.classes, self.video.duration, self.calibration, options)
        return replace(self, segments=segments, options=options)

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form, as the API returns and stores it."""
        return {
            **self._shared(self.task),
            "classes": list(self.classes),
            "expressions": [
                {
                    "onset": segment.start,
                    "apex": segment.peak,
                    "offset": segment.end,
                    "label": segment.label,
                    "confidence": segment.confidence,
                }
                for segment in self.segments
            ],
        }


AnyResult = Result | EmotionResult | ExpressionResult


def recut_any(result: AnyResult, options: SegmentOptions) -> AnyResult:
    """The result cut by other options, for any task, without running the network."""
    if options == result.options:
        return result
    return recut(result, options) if isinstance(result, Result) else result.recut(options)


def task_of(result: AnyResult) -> str:
    """`sentiment`, `emotion` or `expression`."""
    return "sentiment" if isinstance(result, Result) else result.task


def labels_of(result: AnyResult) -> tuple[str, ...]:
    """Every label that the model could have found."""
    return ("negative", "positive") if isinstance(result, Result) else result.classes


def cut_emotions(
    curve: SeriesCurve,
    probabilities: Mapping[str, float],
    duration: float,
    calibration: Calibration,
    options: SegmentOptions,
) -> tuple[Segment, ...]:
    """The segments of a video that show an emotion, in order of time, without overlap."""
    classes = tuple(probabilities)
    scores = EmotionScores(
        video=np.array([probabilities[name] for name in classes]),
        segments=curve.matrix(classes),
        attention=curve.matrix(("attention_visual", "attention_audio")),
    )
    fused = scores.curve
    first, stop = _known_range(scores.segments)
    found = []
    for whole in emotion_spans(scores):
        # The curve is smoothed, so a span may reach beyond the range that a job asked for.
        span = whole._replace(start=max(whole.start, first), stop=min(whole.stop, stop))
        start, end = span.start * curve.step, min(span.stop * curve.step, duration)
        if end > start:
            peak = (span.start + int(fused[span.start : span.stop].argmax()) + 0.5) * curve.step
            label = classes[span_class(scores, span)]
            found.append(_segment(start, min(peak, end), end, label, calibration.apply(span.score)))
    return _chosen(found, options, duration)


def _known_range(probabilities: NDArray[np.floating]) -> tuple[int, int]:
    """The first segment with a probability above 0, and the one after the last: outside a job's range all are 0."""
    known = np.flatnonzero(probabilities.any(axis=1))
    return (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)


def cut_expressions(
    curve: SeriesCurve,
    classes: tuple[str, ...],
    duration: float,
    calibration: Calibration,
    options: SegmentOptions,
) -> tuple[Segment, ...]:
    """Expressions in order of onset; those of one class do not overlap."""
    # No minimum contrast: the threshold on the calibrated confidence decides, and can be changed later.
    spotted = spot(curve.matrix(("intensity",))[:, 0], curve.matrix(classes), SpottingRule(min_contrast=0.0))
    found = []
    for row in spotted:
        # The offset frame belongs to the expression, so the segment ends after it.
        start, end = row.onset * curve.step, min((row.offset + 1) * curve.step, duration)
        if end > start:
            peak = min((row.apex + 0.5) * curve.step, end)
            found.append(_segment(start, peak, end, classes[row.class_index], calibration.apply(row.score)))
    by_class = [_chosen([s for s in found if s.label == label], options, duration) for label in classes]
    return tuple(sorted((s for part in by_class for s in part), key=lambda s: (s.start, s.end)))


def _chosen(found: list[Segment], options: SegmentOptions, duration: float) -> tuple[Segment, ...]:
    """The best of overlapping segments that satisfy the options: confidence, length and labels."""
    bounds = np.array([(s.start, s.end, s.confidence) for s in found]).reshape(-1, 3)
    apart = sorted((found[i] for i in disjoint(*bounds.T)), key=lambda s: s.start)
    sure = [s for s in apart if s.confidence >= options.threshold and s.label in options.labels]
    merged: list[Segment] = []
    for segment in sure:
        last = merged[-1] if merged else None
        if last and last.label == segment.label and segment.start - last.end <= options.merge_gap:
            # The label and the peak are those of the better of the two.
            best = max(last, segment, key=lambda s: s.confidence)
            merged[-1] = replace(best, start=last.start, end=segment.end)
        else:
            merged.append(segment)
    # A video shorter than the minimum can still have a segment: all of it.
    return tuple(s for s in merged if s.end - s.start >= min(options.min_length, duration))


def _segment(start: float, peak: float, end: float, label: str, confidence: float) -> Segment:
    # Microseconds: removes the noise of the multiplication by the step.
    start, peak, end = (round(value, 6) for value in (start, peak, end))
    return Segment(start=start, end=end, peak=peak, label=label, confidence=round(confidence, _DECIMALS))


def _plain(segment: Segment) -> dict[str, Any]:
    return {name: value for name, value in asdict(segment).items() if name not in _SENTIMENT_ONLY}


def make_series(
    columns: Mapping[str, NDArray[np.floating]], step: float, faces: tuple[bool, ...] = ()
) -> SeriesCurve:
    """Round series (T,) to their stored precision, so that later cuts are identical."""
    series = {
        name: tuple(round(float(value), _DECIMALS) for value in np.clip(values, 0, 1))
        for name, values in columns.items()
    }
    return SeriesCurve(step=step, series=series, face_present=faces)


def parse_any(raw: Mapping[str, Any]) -> AnyResult:
    """Read `to_dict` of any task's result; raises `invalid_data` for anything else."""
    task = raw.get("task", "sentiment") if isinstance(raw, Mapping) else None
    if task == "sentiment":
        return parse_result(raw)
    try:
        shared = _parse_shared(raw)
        if task == EmotionResult.task:
            segments = tuple(Segment(**known_fields(Segment, row)) for row in raw["segments"])
            return EmotionResult(**shared, segments=segments, probabilities=raw["probabilities"])
        if task == ExpressionResult.task:
            rows = tuple(
                Segment(
                    start=row["onset"],
                    peak=row["apex"],
                    end=row["offset"],
                    label=row["label"],
                    confidence=row["confidence"],
                )
                for row in raw["expressions"]
            )
            return ExpressionResult(**shared, segments=rows, classes=tuple(raw["classes"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"not a stored result: {error}") from error
    raise SentilocError(ErrorCode.INVALID_DATA, f"not a stored result: unknown task {task!r}")


def _parse_shared(raw: Mapping[str, Any]) -> dict[str, Any]:
    video = dict(raw["video"])
    curve = raw["curve"]
    return {
        "faces_seen": video.pop("faces_seen"),
        "video": parse_stored_video(video),
        "curve": SeriesCurve(
            step=curve["step"],
            series={name: tuple(values) for name, values in curve["series"].items()},
            face_present=tuple(curve["face_present"]),
        ),
        "model": parse_identity(raw["model"]),
        "timings": raw["timings"],
        "options": parse_segment_options(raw["options"]),
        "calibration": parse_stored_calibration(raw["calibration"]),
        "sound": parse_sound(raw.get("sound")),
        "warnings": parse_warnings(raw.get("warnings")),
    }
