"""Requests and answers of the server as frozen dataclasses with the names of `/openapi.json`.

A test compares every field, state and code with the document. Fields that a newer server adds are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict

from .results import Label, Segment


class JobState(StrEnum):
    """The states of a job."""

    QUEUED = "queued"
    DECODING = "decoding"
    EXTRACTING = "extracting"
    LOCALIZING = "localizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """True if the job has ended."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How segments are cut from the curve; None means the default."""

    threshold: float | None = None
    min_length: float | None = None
    merge_gap: float | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineOptions:
    """How editing formats count frames and timecode; None means: as the video does.

    `start_timecode` is `HH:MM:SS:FF`, or `HH:MM:SS;FF` for drop frame. `fps` is a standard rate, such as 23.976.
    """

    start_timecode: str | None = None
    drop_frame: bool | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """A part of a video in seconds; if `end` is None, to the end of the video."""

    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The receiver of a signed POST request at a job's end; `events` None means all events."""

    url: str
    secret: str | None = None
    events: tuple[Literal["job.succeeded", "job.failed", "job.cancelled"], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions(Cut):
    """The options of a job; None means the server's default."""

    model: str | None = None
    priority: Literal["interactive", "batch"] = "interactive"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] | None = None
    time_range: TimeRange | None = None
    audio_track: int | None = None
    quality: Literal["full", "draft"] | None = None
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Next steps, as paths relative to the server."""

    self: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The video: its name, its size (None until it is fetched), and its URL if the server fetches it."""

    name: str
    bytes: int | None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed: a stable `code`, and a sentence for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What keeps a queued job from its turn, such as a model that no worker can run. At `until` the job fails."""

    code: str
    detail: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFound:
    """The segments of one label: their number, their total seconds, and the confidence of the best one."""

    segments: int
    seconds: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCorrected:
    """The segments of one label in a correction: their number and their total seconds."""

    segments: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The last correction of a job's segments by a person, summarized by label."""

    at: datetime
    labels: Mapping[str, LabelCorrected]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was when the server answered."""

    id: str
    state: JobState
    stage: str | None
    progress: float
    queue_position: int | None
    attempt: int
    model: str
    options: JobOptions
    source: Source
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    labels_found: tuple[str, ...] | None
    error: Failure | None
    links: Links
    duration: float | None = None
    found: Mapping[str, LabelFound] | None = None
    corrected: Corrected | None = None
    batch_id: str | None = None
    rerun_of: str | None = None
    video_expires_at: datetime | None = None
    expires_at: datetime | None = None
    kind: str = "localize"
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver an event: the receiver's status, or a code that says why there was no answer."""

    at: datetime
    seconds: float
    attempt: int
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookLog:
    """A job's event and its deliveries, oldest first. Fields are None or empty if there is no event."""

    url: str | None = None
    event_id: str | None = None
    type: str | None = None
    state: Literal["pending", "delivered", "failed"] | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedForm:
    """A form for uploading a video to the object store. Its `id` is then used to create the job."""

    id: str
    url: str
    fields: Mapping[str, str]
    expires_at: datetime


class Filters(TypedDict, total=False):
    """The filters of a job list: jobs in any of the states that match all other filters. Times need an offset."""

    state: tuple[JobState, ...]
    label: Label
    created_after: datetime
    created_before: datetime
    metadata: Mapping[str, str]
    q: str
    tag: tuple[str, ...]
    batch: str
    min_duration: float
    max_duration: float
    min_confidence: float
    corrected: bool
    sort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs, newest first; `next_cursor` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSegment:
    """A segment with sentiment, in seconds; `confidence` is the model's, for an unchanged segment of the model."""

    start: float
    end: float
    label: Label
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPoint:
    """A moment at which there is sentiment, in seconds."""

    time: float
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """An editor's correction: `segments` replace those of the result, `points` only state that there is sentiment."""

    segments: tuple[FeedbackSegment, ...] | None = None
    points: tuple[FeedbackPoint, ...] | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFeedback:
    """Feedback as stored by the server; `at` is in Unix seconds."""

    job_id: str
    at: float
    fps: float
    duration: float
    feedback: Feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackList:
    """All feedback on a job, oldest first; the last one counts."""

    feedback: tuple[KeptFeedback, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job: `state`, `progress`, `position`, `segment`, or `final`, which is the last one.

    A stream can be resumed after an event with an `id`. A `position` event only has `queue_position`. A `segment` event
    has provisional segments: `segments` replace all segments sent before in this attempt except the first `keep`;
    `until` is the time in the video, in seconds, up to which they go.
    """

    kind: str
    id: str | None = None
    state: JobState | None = None
    stage: str | None = None
    progress: float | None = None
    attempt: int | None = None
    at: float | None = None
    eta_seconds: float | None = None
    queue_position: int | None = None
    provisional: bool | None = None
    keep: int | None = None
    until: float | None = None
    segments: tuple[Segment, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSegment:
    """A segment of one of two results."""

    start: float
    end: float
    label: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentMatch:
    """A segment of the first result, and the matching segment of the second."""

    before: ComparedSegment
    after: ComparedSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The segments of one job compared with another's: with the same edges, with other edges, lost, and new."""

    before: str
    after: str
    task: str
    kept: tuple[SegmentMatch, ...]
    moved: tuple[SegmentMatch, ...]
    lost: tuple[ComparedSegment, ...]
    new: tuple[ComparedSegment, ...]
