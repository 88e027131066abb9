"""The public contract: what the API answers, with examples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.job_options import EXAMPLE_OPTIONS, JobOptions, Label
from app.job_record import JobRecord, JobState

Seconds = Annotated[float, Field(ge=0, description="Seconds from the video's start")]
Share = Annotated[float, Field(ge=0, le=1)]
LABELS: tuple[Label, ...] = ("negative", "positive")

EXAMPLE_ID = "xJ3k0cQ2Yw1uH8m5VtB7Nw"

_EXAMPLE_JOB: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "state": "extracting",
    "stage": "extracting",
    "progress": 0.42,
    "queue_position": None,
    "attempt": 1,
    "model": "fsenet-starter",
    "options": EXAMPLE_OPTIONS,
    "source": {"name": "holiday.mp4", "bytes": 1048576},
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:01Z",
    "finished_at": None,
    "labels_found": None,
    "error": None,
    "links": {"self": f"/jobs/{EXAMPLE_ID}", "result": f"/jobs/{EXAMPLE_ID}/result"},
}

EXAMPLE_QUEUED: dict[str, Any] = {
    **_EXAMPLE_JOB,
    "state": "queued",
    "stage": None,
    "progress": 0.0,
    "queue_position": 1,
}
EXAMPLE_QUEUED |= {"attempt": 0, "started_at": None}
EXAMPLE_FAILED: dict[str, Any] = {
    **_EXAMPLE_JOB,
    "state": "failed",
    "stage": None,
    "finished_at": "2026-01-31T12:00:02Z",
}
EXAMPLE_FAILED |= {"error": {"code": "corrupt_media", "detail": "The file ends in the middle of the video."}}

_EXAMPLE_SEGMENT: dict[str, Any] = {
    "start": 3.2,
    "end": 6.4,
    "label": "positive",
    "confidence": 0.83,
    "peak": 4.48,
    "evidence": {"visual": 0.0, "audio": 0.36, "face": 0.64},
}

EXAMPLE_RESULT: dict[str, Any] = {
    "schema_version": "1.0",
    "video": {
        "duration": 9.6,
        "fps": 29.97,
        "width": 1280,
        "height": 720,
        "has_audio": True,
        "faces_seen": 14,
        "start_timecode": None,
    },
    "segments": [_EXAMPLE_SEGMENT],
    "curve": {
        "step": 0.64,
        "negative": [0.08, 0.05, 0.04],
        "positive": [0.21, 0.64, 0.88],
        "non_sentiment": [0.7, 0.31, 0.09],
        "saliency": [0.3, 0.71, 0.9],
        "face_present": [False, True, True],
        "without": {"face": {"negative": [0.09, 0.07, 0.06], "positive": [0.2, 0.33, 0.41]}},
    },
    "model": {"name": "fsenet-starter", "version": "1", "spec_hash": "9f2c4e81d07ab635", "device": "cpu"},
    "timings": {"decoding": 0.41, "face": 1.1, "audio": 0.2, "localizing": 0.02},
    "options": {"threshold": 0.5, "min_length": 1.0, "merge_gap": 0.64, "labels": ["negative", "positive"]},
    "calibration": {"method": "platt", "knots": [], "slope": 7.1, "intercept": -2.4},
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Links(_Body):
    """Where to go on; paths relative to the server."""

    self: str
    result: str


class Source(_Body):
    """What was uploaded: the client's name for it and its size."""

    name: str
    bytes: int


class Failure(_Body):
    """Why a job failed."""

    code: str = Field(description="Stable, for programs")
    detail: str = Field(description="One sentence for people")


class JobBody(_Body):
    """A job as a client sees it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_EXAMPLE_JOB, EXAMPLE_QUEUED, EXAMPLE_FAILED]}
    )

    id: str
    state: JobState = Field(description="`succeeded`, `failed` and `cancelled` are final")
    stage: str | None = Field(description="What the worker does now; null while nobody works on the job")
    progress: float = Field(ge=0, le=1, description="Over all stages")
    queue_position: int | None = Field(ge=1, description="1 starts next; null when not queued")
    attempt: int = Field(ge=0, description="How often a worker has begun the job")
    model: str
    options: JobOptions = Field(description="As asked for; null stands for the model's default")
    source: Source
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    labels_found: list[Label] | None = Field(description="Labels of the segments; null until it succeeded")
    error: Failure | None
    links: Links


def job_body(record: JobRecord, queue_position: int | None) -> JobBody:
    """The record, less what is nobody's business."""
    path = f"/jobs/{record.id}"
    return JobBody(
        id=record.id,
        state=record.state,
        stage=record.stage,
        progress=record.progress,
        queue_position=queue_position,
        attempt=record.attempt,
        model=record.model,
        options=record.options,
        source=Source(name=record.source_name, bytes=record.source_bytes),
        created_at=_moment(record.created_at),
        started_at=None if record.started_at is None else _moment(record.started_at),
        finished_at=None if record.finished_at is None else _moment(record.finished_at),
        labels_found=_labels(record),
        error=Failure(code=record.error.code, detail=record.error.detail) if record.error else None,
        links=Links(self=path, result=f"{path}/result"),
    )


def _labels(record: JobRecord) -> list[Label] | None:
    return (
        None if record.labels_found is None else [label for label in LABELS if label in record.labels_found]
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class JobListBody(_Body):
    """A page of jobs, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"jobs": [_EXAMPLE_JOB], "next_cursor": "MTc2OTg2MDgwMC41IHhKM2swY1EyWXcxdUg4bTVWdEI3Tnc"}
            ]
        },
    )

    jobs: list[JobBody]
    next_cursor: str | None = Field(description="Ask for the next page with it; null when this is the last")


class VideoBody(_Body):
    """What the decoder found."""

    duration: Seconds
    fps: float = Field(gt=0, description="Average frames per second of the source")
    width: int = Field(gt=0, description="Pixels as displayed")
    height: int = Field(gt=0, description="Pixels as displayed")
    has_audio: bool
    faces_seen: int = Field(ge=0, description="Snippets in which a face was found")
    start_timecode: str | None = Field(None, description="HH:MM:SS:FF, where the file carries one")


class EvidenceBody(_Body):
    """How much each stream contributed to a segment; the shares add up to 1."""

    visual: Share
    audio: Share
    face: Share


class SegmentBody(_Body):
    """A stretch of video that conveys one sentiment."""

    start: Seconds
    end: Seconds
    label: Label
    confidence: float = Field(ge=0, le=1, description="Probability that the segment is right")
    peak: Seconds
    evidence: EvidenceBody | None = None


class WithoutBody(_Body):
    """The fused label curves when the network is told that one stream is absent: what evidence comes from."""

    negative: list[Share]
    positive: list[Share]


class CurveBody(_Body):
    """Scores over time: value i covers [i·step, (i+1)·step) seconds."""

    step: float = Field(gt=0, description="Seconds per value")
    negative: list[Share]
    positive: list[Share]
    non_sentiment: list[Share]
    saliency: list[Share] = Field(description="How much sentiment of either kind")
    face_present: list[bool]
    without: dict[Literal["visual", "audio", "face"], WithoutBody]


class ModelBody(_Body):
    """What computed the result."""

    name: str
    version: str
    spec_hash: str
    device: str = Field(description="What really executed")


class OptionsBody(_Body):
    """What the segments were cut with."""

    threshold: Share = Field(description="Least confidence of a segment")
    min_length: Seconds
    merge_gap: Seconds = Field(description="Neighbours of one label at most so far apart are joined")
    labels: list[Label]


class CalibrationBody(_Body):
    """How a segment's score became its confidence."""

    method: Literal["identity", "isotonic", "platt"]
    knots: list[tuple[float, float]]
    slope: float
    intercept: float


class ResultBody(_Body):
    """When the video conveys which sentiment. Segments are sorted by start."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_RESULT]})

    schema_version: Literal["1.0"]
    video: VideoBody
    segments: list[SegmentBody]
    curve: CurveBody
    model: ModelBody
    timings: dict[str, float] = Field(description="Seconds by stage")
    options: OptionsBody
    calibration: CalibrationBody


class HealthBody(_Body):
    """The process answers."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"status": "ok", "version": "0.1.0"}]}
    )

    status: Literal["ok"] = "ok"
    version: str


class WorkerBody(_Body):
    """A worker that was heard of lately."""

    model: str
    model_version: str | None
    device: str | None = Field(description="What executes, by name; null while no model is loaded")
    error: str | None


class ReadyBody(_Body):
    """Whether a video that is uploaded now will be localized."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "ready": True,
                    "redis": True,
                    "workers": [
                        {"model": "fsenet-starter", "model_version": "1", "device": "cpu", "error": None}
                    ],
                    "reasons": [],
                }
            ]
        },
    )

    ready: bool
    redis: bool
    workers: list[WorkerBody]
    reasons: list[str] = Field(description="Why it is not ready; empty when it is")
