"""The result for one video: segments, the curve from which they were cut, and their origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import Calibration, parse_calibration
from sentiloc.model.proposals.rule import DEFAULT_RULE, fuse
from sentiloc.model.results.sound import Sound, parse_sound
from sentiloc.model.results.warnings import ResultWarning, parse_warnings
from sentiloc.model.segments import (
    Evidence,
    FrameScores,
    Segment,
    VideoInfo,
    known_fields,
    parse_stored_video,
)
from sentiloc.model.spec import CLASSES, NEGATIVE, NON_SENTIMENT, POSITIVE

SCHEMA_VERSION = "1.1"
# Finer differences are below the network's own error, and would only make results larger.
_DECIMALS = 4
_SERIES = ("negative", "positive", "non_sentiment", "saliency", "face_present")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Scores per snippet: value i holds for [i * step, (i + 1) * step) seconds; all in [0, 1].

    negative, positive and non_sentiment are FSENet's scores (eq. 9), saliency is W_sent (eq. 3). `without` maps a
    stream ("visual", "audio", "face") to the fused label curves (`proposals.rule.fuse`) with that stream masked, from
    which evidence is computed. `faces` counts the visible faces, and `face_boxes` has the one that was used: x1, y1,
    x2, y2 as shares of the picture, empty without a face. Both are empty in results of older versions.
    """

    step: float
    negative: tuple[float, ...]
    positive: tuple[float, ...]
    non_sentiment: tuple[float, ...]
    saliency: tuple[float, ...]
    face_present: tuple[bool, ...] = ()
    faces: tuple[int, ...] = ()
    face_boxes: tuple[tuple[float, ...], ...] = ()
    without: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)

    def frame_scores(self) -> FrameScores:
        """The curve as FSENet's output, as stored."""
        columns = np.array([self.negative, self.positive, self.non_sentiment], np.float32)
        return FrameScores(scores=columns.T, saliency=np.array(self.saliency, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """The weights and the device that computed a result."""

    name: str
    version: str
    spec_hash: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """How segments are cut from a curve: minimum confidence, times in seconds, labels to show."""

    threshold: float
    min_length: float = DEFAULT_RULE.min_length
    merge_gap: float = DEFAULT_RULE.merge_gap
    labels: tuple[str, ...] = CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The complete result of a video; `timings` are seconds per stage.

    `options` and `calibration` are those with which the segments were cut, so that they can be cut again from the
    curve. A `provisional` result was cut before the whole video was processed; `scored_until` is the end of its curve
    in seconds. `sound` is None where there is none, and in results of older versions. `warnings` say what could not be
    read. `shots` are the seconds at which new shots begin; empty in results of older versions.
    """

    video: VideoInfo
    faces_seen: int
    segments: tuple[Segment, ...]
    curve: Curve
    model: ModelIdentity
    timings: Mapping[str, float]
    options: SegmentOptions
    calibration: Calibration
    sound: Sound | None = None
    warnings: tuple[ResultWarning, ...] = ()
    shots: tuple[float, ...] = ()
    provisional: bool = False
    scored_until: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form, as the API returns and stores it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": "sentiment",
            "video": {**asdict(self.video), "faces_seen": self.faces_seen},
            "segments": [asdict(segment) for segment in self.segments],
            "curve": {part.name: getattr(self.curve, part.name) for part in fields(self.curve)},
            "model": asdict(self.model),
            "timings": dict(self.timings),
            "options": asdict(self.options),
            "calibration": asdict(self.calibration),
            "sound": self.sound and asdict(self.sound),
            "warnings": [warning.to_dict() for warning in self.warnings],
            "provisional": self.provisional,
            "scored_until": self.scored_until,
            "shots": [round(moment, 3) for moment in self.shots],
        }


def parse_result(raw: Mapping[str, Any]) -> Result:
    """Read `Result.to_dict`; raises `invalid_data` for anything else."""
    try:
        video = dict(raw["video"])
        return Result(
            faces_seen=video.pop("faces_seen"),
            video=parse_stored_video(video),
            segments=tuple(_segment(row) for row in raw["segments"]),
            curve=_curve(raw["curve"]),
            model=parse_identity(raw["model"]),
            timings=raw["timings"],
            options=parse_segment_options(raw["options"]),
            calibration=parse_stored_calibration(raw["calibration"]),
            sound=parse_sound(raw.get("sound")),
            warnings=parse_warnings(raw.get("warnings")),
            provisional=raw.get("provisional", False),
            scored_until=raw.get("scored_until"),
            shots=tuple(raw.get("shots", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"not a stored result: {error}") from error


def parse_identity(raw: Mapping[str, Any]) -> ModelIdentity:
    """The model that a stored result names."""
    return ModelIdentity(**known_fields(ModelIdentity, raw))


def parse_segment_options(raw: Mapping[str, Any]) -> SegmentOptions:
    """The options with which a stored result was cut."""
    return SegmentOptions(**{**known_fields(SegmentOptions, raw), "labels": tuple(raw["labels"])})


def parse_stored_calibration(raw: Mapping[str, Any]) -> Calibration:
    """The calibration that a stored result holds."""
    # Through JSON, because this parser also checks the values.
    return parse_calibration(json.dumps(known_fields(Calibration, raw)))


def _curve(raw: Mapping[str, Any]) -> Curve:
    series = {name: tuple(raw[name]) for name in _SERIES}
    # Added in a later 1.x version, so they may be missing.
    faces, boxes = tuple(raw.get("faces", ())), tuple(tuple(box) for box in raw.get("face_boxes", ()))
    return Curve(step=raw["step"], without=raw["without"], faces=faces, face_boxes=boxes, **series)


def _segment(raw: Mapping[str, Any]) -> Segment:
    # Unknown fields are dropped: a newer 1.x version may have stored more.
    evidence = Evidence(**known_fields(Evidence, raw["evidence"])) if raw["evidence"] else None
    return Segment(**{**known_fields(Segment, raw), "evidence": evidence})


def make_curve(
    scores: FrameScores, step: float, face_present: tuple[bool, ...], without: Mapping[str, FrameScores]
) -> Curve:
    """Round FSENet's output to its stored precision, so that segments cut again later are identical."""
    return Curve(
        step=step,
        negative=_rounded(scores.scores[:, NEGATIVE]),
        positive=_rounded(scores.scores[:, POSITIVE]),
        non_sentiment=_rounded(scores.scores[:, NON_SENTIMENT]),
        saliency=_rounded(scores.saliency),
        face_present=face_present,
        without={
            stream: dict(zip(CLASSES, map(_rounded, fuse(less.scores, less.saliency).T), strict=True))
            for stream, less in without.items()
        },
    )


def _rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(round(float(value), _DECIMALS) for value in values)
