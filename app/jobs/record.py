"""Job records: their fields, their states, and the transitions between states. This module does not use Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.address import current_base
from sentiloc.app.ids import new_id
from sentiloc.app.jobs.found import Corrected, LabelFound, read_corrected, read_found
from sentiloc.app.jobs.idempotency import IdempotencyKey
from sentiloc.app.jobs.options import JobOptions, TimeRange, read_options
from sentiloc.app.telemetry.tracing import current_traceparent
from sentiloc.model.errors import ErrorCode, SentilocError

# A job's cost in the fair queue is its seconds of media. It is estimated when the job is queued, and corrected when the
# video is fetched and when the job ends.
# The shortest video takes time as well, for claiming, fetching, opening and storing.
_OF_ANY_JOB = 5.0
# Four megabits per second, as in most videos for the web. A wrong estimate is corrected when the job ends.
_BYTES_PER_SECOND = 500_000
# A video behind a URL, whose size is unknown until a worker fetches it.
_UNKNOWN_SECONDS = 60.0
# The largest estimate. A wrong one delays the other jobs of the key by no more than this.
_LONGEST_ESTIMATE = 4 * 3600.0


class JobKind(StrEnum):
    """What a job does; part of the public contract."""

    LOCALIZE = "localize"
    REEL = "reel"


class JobState(StrEnum):
    """The states of a job; part of the public contract."""

    QUEUED = "queued"
    DECODING = "decoding"
    EXTRACTING = "extracting"
    LOCALIZING = "localizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """True if the job has ended for good."""
        return self in TERMINAL

    @property
    def is_running(self) -> bool:
        """True while a worker holds the job."""
        return self in RUNNING


CHANGEABLE = ("metadata", "tags")
"""Options that may change after the job was submitted, because they do not affect the work."""
RUNNING = (JobState.DECODING, JobState.EXTRACTING, JobState.LOCALIZING)
TERMINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

# A running job may keep its state, skip one, or return to the queue. A queued one fails if no worker can run its model
# for too long. A terminal state never changes.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.DECODING, JobState.CANCELLED, JobState.FAILED}),
    JobState.DECODING: frozenset({*RUNNING, *TERMINAL, JobState.QUEUED}),
    JobState.EXTRACTING: frozenset({*RUNNING[1:], *TERMINAL, JobState.QUEUED}),
    JobState.LOCALIZING: frozenset({*RUNNING[2:], *TERMINAL, JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def sources(target: JobState) -> tuple[JobState, ...]:
    """The states from which a job may move to `target`."""
    # The scripts in Lua get these states as an argument, so the table above is the only definition.
    return tuple(state for state in JobState if target in TRANSITIONS[state])


def new_job_id() -> str:
    """An unguessable id, see `new_id`."""
    return new_id()


def _current_key() -> str | None:
    return current_caller().key_id


def _current_base() -> str:
    return str(current_base())


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A checked request for a job. It is passed from the route to the store as a whole.

    `source_bytes` is 0 for a video that a worker still has to fetch from `source_url`. By default a new job belongs to
    the API key and the trace of the request that creates it. `base` is the root path and version of that request, for
    the links in its webhook. `reel` is the plan of a reel as JSON; a job with a plan renders it and has no video of its
    own. `is_of_upload` is True for the job of a resumable upload, which has the upload's id. `media_seconds` is the
    length of what is processed, None if it is not known yet.
    """

    id: str = field(default_factory=new_job_id)
    source_key: str
    source_name: str
    source_bytes: int
    source_url: str = ""
    model: str
    batch_id: str | None = None
    rerun_of: str | None = None
    options: JobOptions = field(default_factory=JobOptions)
    key_id: str | None = field(default_factory=_current_key)
    trace: str = field(default_factory=current_traceparent)
    base: str = field(default_factory=_current_base)
    reel: str = ""
    is_of_upload: bool = False
    media_seconds: float | None = None
    idempotency: IdempotencyKey | None = None

    @property
    def cost(self) -> float:
        """The cost in seconds by which its key takes turns."""
        if self.media_seconds is not None:
            return cost_of(self.media_seconds)
        return expected_cost(self.source_bytes, self.options.time_range)

    def fields(self) -> dict[str, str]:
        """The fields of the record that come from the client's request, as stored in Redis."""
        return {
            "source_key": self.source_key,
            "source_name": self.source_name,
            "source_bytes": str(self.source_bytes),
            "source_url": self.source_url,
            "model": self.model,
            "priority": self.options.priority,
            "options": self.options.canonical(),
            "key_id": self.key_id or "",
            "webhook": self.options.webhook_host,
            "trace": self.trace,
            "base": self.base,
            "batch": self.batch_id or "",
            "rerun_of": self.rerun_of or "",
            "reel": self.reel,
            "cost": written_cost(self.cost),
        }


def cost_of(media_seconds: float) -> float:
    """The cost in seconds of a job that processes this much media."""
    return _OF_ANY_JOB + media_seconds


def expected_cost(source_bytes: int, part: TimeRange | None = None) -> float:
    """The cost in seconds that is expected of a video with this many bytes (0: unknown), or of a part of it."""
    guess = source_bytes / _BYTES_PER_SECOND if source_bytes else _UNKNOWN_SECONDS
    seconds = min(guess, _LONGEST_ESTIMATE)
    if part is not None and part.end is not None:
        seconds = min(seconds, part.end - part.start)
    return cost_of(seconds)


def written_cost(seconds: float) -> str:
    """A cost as the job scripts read it."""
    return f"{seconds:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed. `detail` may be shown to clients."""

    code: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a queued job waits for besides its turn. It fails with this error at `until`. Times are Unix seconds."""

    error: JobError
    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker's hold on a job. Only the worker with this owner and attempt may change the job."""

    job_id: str
    owner: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job as stored in Redis. Times are Unix seconds of Redis's clock; keys are names in the storage.

    `attempt` counts claims, so that a late worker of an earlier attempt is recognized. `crashes` counts workers that
    died while they held the job. A worker first fetches the video from `source_url`, if there is one; `source_bytes`
    is 0 until then. `reel` is the plan of a reel as JSON, None for a job that localizes a video. `key_id` is the API
    key that submitted the job, None without keys.

    `asked` are the options as submitted; `options` are the same with the current metadata and tags.
    `knows_options` is False if a newer release has recorded options that this one does not have.
    `duration` (seconds) and `found` are those of the result; None without one, and for jobs of older versions.
    `corrected` sums up the last correction with segments.
    """

    id: str
    state: JobState
    created_at: float
    updated_at: float
    source_key: str
    source_name: str
    source_bytes: int
    model: str
    options: JobOptions
    stage: str | None = None
    progress: float = 0.0
    attempt: int = 0
    crashes: int = 0
    owner: str | None = None
    lease_until: float | None = None
    started_at: float | None = None
    claimed_at: float | None = None
    finished_at: float | None = None
    result_key: str | None = None
    labels_found: tuple[str, ...] | None = None
    error: JobError | None = None
    key_id: str | None = None
    source_url: str | None = None
    thumbnails: int = 0
    trace: str | None = None
    base: str = ""
    batch_id: str | None = None
    rerun_of: str | None = None
    duration: float | None = None
    found: Mapping[str, LabelFound] | None = None
    corrected: Corrected | None = None
    asked: JobOptions = field(default_factory=JobOptions)
    video_expires_at: float | None = None
    result_expires_at: float | None = None
    record_expires_at: float | None = None
    reel: str | None = None
    waiting: Waiting | None = None
    knows_options: bool = True

    @property
    def kind(self) -> JobKind:
        """What the job does."""
        return JobKind.LOCALIZE if self.reel is None else JobKind.REEL

    @property
    def has_expiry(self) -> bool:
        """True if any part of the job has an expiry date."""
        dates = (self.video_expires_at, self.result_expires_at, self.record_expires_at)
        return any(date is not None for date in dates)

    @property
    def lease(self) -> Lease:
        """The hold of the worker that runs the job now."""
        if self.owner is None:
            raise SentilocError(ErrorCode.INTERNAL, f"job {self.id} is not leased")
        return Lease(job_id=self.id, owner=self.owner, attempt=self.attempt)


def parse_record(fields: Mapping[str, str]) -> JobRecord:
    """Parse the hash that the job scripts write; empty strings mean None."""
    asked, knows_all = read_options(fields.get("options", ""))
    return JobRecord(
        id=fields["id"],
        state=JobState(fields["state"]),
        created_at=float(fields["created_at"]),
        updated_at=float(fields["updated_at"]),
        source_key=fields["source_key"],
        source_name=fields["source_name"],
        source_bytes=int(fields["source_bytes"]),
        model=fields["model"],
        options=_changed(asked, fields),
        asked=asked,
        stage=fields.get("stage") or None,
        progress=float(fields.get("progress") or 0),
        attempt=int(fields.get("attempt") or 0),
        crashes=int(fields.get("crashes") or 0),
        owner=fields.get("owner") or None,
        lease_until=_time(fields, "lease_until"),
        started_at=_time(fields, "started_at"),
        claimed_at=_time(fields, "claimed_at"),
        finished_at=_time(fields, "finished_at"),
        result_key=fields.get("result_key") or None,
        labels_found=_labels(fields),
        error=_error(fields),
        key_id=fields.get("key_id") or None,
        source_url=fields.get("source_url") or None,
        thumbnails=int(fields.get("thumbnails") or 0),
        trace=fields.get("trace") or None,
        base=fields.get("base", ""),
        batch_id=fields.get("batch") or None,
        rerun_of=fields.get("rerun_of") or None,
        duration=_time(fields, "duration"),
        found=read_found(fields.get("found")),
        corrected=read_corrected(fields.get("corrected")),
        video_expires_at=_time(fields, "uploads_until"),
        result_expires_at=_time(fields, "results_until"),
        record_expires_at=_time(fields, "records_until"),
        reel=fields.get("reel") or None,
        waiting=_waiting(fields),
        knows_options=knows_all,
    )


def _changed(asked: JobOptions, fields: Mapping[str, str]) -> JobOptions:
    """The options with the metadata and tags that a client has changed since the job was submitted."""
    changes = {name: json.loads(fields[name]) for name in CHANGEABLE if fields.get(name)}
    return asked.model_copy(update=changes) if changes else asked


def _time(fields: Mapping[str, str], name: str) -> float | None:
    value = fields.get(name)
    return float(value) if value else None


def _labels(fields: Mapping[str, str]) -> tuple[str, ...] | None:
    if fields["state"] != JobState.SUCCEEDED:
        return None
    return tuple(filter(None, fields.get("labels_found", "").split(",")))


def _waiting(fields: Mapping[str, str]) -> Waiting | None:
    """The wait that ends the job first: for a model that no worker has, or after a temporary fault."""
    codes = {"unserved": ErrorCode.MODEL_UNAVAILABLE, "fault": fields.get("fault_code", "")}
    found = [
        Waiting(
            error=JobError(code=ErrorCode(code), detail=fields[f"{part}_why"]),
            since=float(fields[f"{part}_at"]),
            until=float(fields[f"{part}_until"]),
        )
        for part, code in codes.items()
        if fields["state"] == JobState.QUEUED and fields.get(f"{part}_until")
    ]
    return min(found, key=lambda one: one.until, default=None)


def _error(fields: Mapping[str, str]) -> JobError | None:
    code = fields.get("error_code")
    return JobError(code=ErrorCode(code), detail=fields.get("error_detail", "")) if code else None
