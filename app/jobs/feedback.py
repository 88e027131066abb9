"""Feedback: editors' corrections of results, kept beside the job and exported in the layout that training reads."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Collection, Iterable, Iterator
from enum import IntEnum
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from redis import Redis

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.usage import HELD
from sentiloc.app.jobs.found import write_corrected
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Label
from sentiloc.app.redis.scripts import Scripts

# The history of corrections of one job; further ones are refused with `feedback_full`.
MAX_ENTRIES = 50
# More than a segment every four seconds of a two-hour video.
MAX_MARKS = 2000
# Jobs whose feedback is read in one round trip.
_CHUNK = 100
_LARGE_CHUNK = 1000
# The labels and class indexes of TSL300's annotation files.
_LETTERS = {"negative": "n", "positive": "p"}
_CLASSES = {"negative": 0, "positive": 1}
# Half a millisecond, and a margin for floating-point errors.
_ROUNDING = 0.00051
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False, description="Seconds from the start of the video")]

EXAMPLE_FEEDBACK: dict[str, Any] = {
    "segments": [{"start": 3.2, "end": 6.08, "label": "positive"}],
    "points": [{"time": 4.5, "label": "positive"}],
    "note": "The laugh ends earlier.",
}


class _Marks(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CorrectSegment(_Marks):
    """A segment with sentiment."""

    start: Moment
    end: Moment
    label: Label
    confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The model's confidence, for a segment of the model that was not changed; null for a person's",
    )

    @model_validator(mode="after")
    def _in_order(self) -> CorrectSegment:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class CorrectPoint(_Marks):
    """A moment with sentiment."""

    time: Moment
    label: Label


class Feedback(_Marks):
    """An editor's complete annotation of a video. An empty list of segments means: no sentiment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [EXAMPLE_FEEDBACK],
            "anyOf": [{"required": ["segments"]}, {"required": ["points"]}],
        },
    )

    segments: list[CorrectSegment] | None = Field(None, max_length=MAX_MARKS)
    points: list[CorrectPoint] | None = Field(None, max_length=MAX_MARKS)
    note: str | None = Field(None, max_length=2000)

    @model_validator(mode="after")
    def _says_something(self) -> Feedback:
        if self.segments is None and self.points is None:
            raise ValueError("give segments, points or both")
        return self

    def latest(self) -> float:
        """The latest time in the feedback, in seconds."""
        ends = [segment.end for segment in self.segments or ()]
        return max([0.0, *ends, *(point.time for point in self.points or ())])


class KeptFeedback(_Marks):
    """Feedback with the properties of the video that training needs."""

    job_id: str
    at: float
    fps: float
    duration: float
    feedback: Feedback


class Added(IntEnum):
    """The outcome of adding feedback."""

    FULL = 0
    KEPT = 1
    OUTDATED = 2
    """Another client gave feedback first."""
    GONE = 3
    """The job was deleted."""
    KEY_FULL = 4
    """The corrections of the API key's jobs have as many bytes as they may."""


class FeedbackStore:
    """Feedback in Redis: a list per job, and an index of the jobs with feedback.

    `max_bytes` is the most that the corrections of one API key's jobs may have; 0: any number.
    """

    def __init__(self, redis: Redis, prefix: str, max_bytes: int = 0) -> None:
        self._redis = redis
        self._prefix = prefix
        self.max_bytes = max_bytes
        self._scripts = Scripts(
            redis, "sentiloc.app.jobs", prefix, [HELD], growing=("add_feedback", "state_corrected")
        )

    def add(self, kept: KeptFeedback, seen: float | None = None) -> Added:
        """Store it as the job's latest feedback.

        Args:
            kept: The feedback.
            seen: The time of the feedback that it replaces, 0 for none; None replaces any feedback.
        """
        # repr keeps every digit, so the time can be compared exactly.
        args: list[str | float] = [MAX_ENTRIES, kept.model_dump_json(), repr(kept.at), kept.job_id]
        args += ["" if seen is None else repr(float(seen)), _summary(kept), self.max_bytes]
        return Added(cast("int", self._scripts.run("add_feedback", self._keys(kept.job_id), args)))

    def withdraw(self, job_id: str, seen: float | None = None) -> Added:
        """Forget all feedback on a job, so that the model's result stands again; `seen` as for `add`."""
        args: list[str | float] = [job_id, "" if seen is None else repr(float(seen))]
        return Added(cast("int", self._scripts.run("withdraw_feedback", self._keys(job_id), args)))

    def _keys(self, job_id: str) -> list[str]:
        return [self._key(job_id), f"{self._prefix}feedback", job_key(self._prefix, job_id)]

    def of_job(self, job_id: str) -> list[KeptFeedback]:
        """The feedback on a job, oldest first."""
        texts = cast("list[str]", self._redis.lrange(self._key(job_id), 0, -1))
        return [KeptFeedback.model_validate_json(text) for text in texts]

    def last_segments(self, job_id: str) -> list[CorrectSegment] | None:
        """The segments of the last feedback on a job that has some; None without any."""
        kept = self._last_with_segments(job_id)
        return None if kept is None else kept.feedback.segments

    def _last_with_segments(self, job_id: str) -> KeptFeedback | None:
        # One entry at a time from the end: the last one nearly always has segments, and fifty may have a megabyte each.
        for place in range(-1, -MAX_ENTRIES - 1, -1):
            text = cast("str | None", self._redis.lindex(self._key(job_id), place))
            if text is None:
                break
            kept = KeptFeedback.model_validate_json(text)
            if kept.feedback.segments is not None:
                return kept
        return None

    def unstated(self, cursor: int, count: int) -> tuple[int, dict[str, float]]:
        """Jobs whose feedback their record may not state, with the time of the last one, in about `count` jobs.

        Returns the cursor of the next part too: 0 after the last part. Begin with 0.
        """
        following, found = self._redis.zscan(f"{self._prefix}feedback", cursor, count=count)
        times = dict(cast("list[tuple[str, float]]", found))
        pipe = self._redis.pipeline(transaction=False)
        for job_id in times:
            pipe.hexists(job_key(self._prefix, job_id), "corrected")
        stated = zip(times, pipe.execute(), strict=True)
        return int(following), {job_id: times[job_id] for job_id, is_stated in stated if not is_stated}

    def state(self, job_id: str, latest: float) -> bool:
        """Write into a job's record what its feedback corrects the segments to.

        Returns False if no feedback has segments, or if the last one is no longer that of the time `latest`.
        """
        kept = self._last_with_segments(job_id)
        if kept is None:
            return False
        args = [job_id, repr(latest), _summary(kept)]
        return bool(self._scripts.run("state_corrected", self._keys(job_id)[1:], args))

    def latest(self) -> Iterator[KeptFeedback]:
        """The last feedback on each job that the caller may see, oldest first, read a part at a time."""
        ids = self._job_ids()
        for start in range(0, len(ids), _CHUNK):
            pipe = self._redis.pipeline(transaction=False)
            for job_id in ids[start : start + _CHUNK]:
                pipe.lindex(self._key(job_id), -1)
            yield from (KeptFeedback.model_validate_json(text) for text in pipe.execute() if text)

    def given(self, job_ids: Collection[str]) -> frozenset[str]:
        """The ids of the jobs that have feedback, among `job_ids`."""
        ids, index = list(job_ids), f"{self._prefix}feedback"
        parts = (ids[start : start + _LARGE_CHUNK] for start in range(0, len(ids), _LARGE_CHUNK))
        return frozenset(
            job_id
            for part in parts
            for job_id, at in zip(part, self._redis.zmscore(index, part), strict=True)
            if at is not None
        )

    def _job_ids(self) -> list[str]:
        """The jobs with feedback that the caller may see, by the time of the last one."""
        caller, index = current_caller(), f"{self._prefix}feedback"
        if caller.sees_all:
            return cast("list[str]", self._redis.zrange(index, 0, -1))
        # Redis intersects the two indexes, so that the cost for a key with few jobs does not depend on all other
        # feedback.
        times = {index: 1, f"{self._prefix}jobs:{caller.key_id}": 0}
        return cast("list[str]", self._redis.zinter(times))

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}feedback:{job_id}"


def _summary(kept: KeptFeedback) -> str:
    """What the job's record states about the correction; empty if it has no segments."""
    segments = kept.feedback.segments
    if segments is None:
        return ""
    return write_corrected(kept.at, [(one.label, one.end - one.start) for one in segments])


def training_files(all_kept: Iterable[KeptFeedback]) -> dict[str, str]:
    """The annotation files of `docs/training.md` by name. The name of a video is the id of its job."""
    train, fps, durations, segments = (io.StringIO() for _ in range(4))
    points = io.StringIO()
    rows = csv.writer(points, lineterminator="\n")
    rows.writerow(["video_id", "point", "class_index"])
    # Written as text one by one: as Python objects, the marks of a large service take several times as much memory.
    for kept in all_kept:
        train.write(f"{kept.job_id}\n")
        _add(fps, kept.job_id, kept.fps)
        _add(durations, kept.job_id, kept.duration)
        if kept.feedback.segments is not None:
            _add(segments, kept.job_id, _annotations(kept))
        rows.writerows(_points(kept))
    return {
        "split_train.txt": train.getvalue(),
        "fps_dict.json": f"{{{fps.getvalue()}}}",
        "len_duration_dict.json": f"{{{durations.getvalue()}}}",
        "gt.json": f'{{"database": {{{segments.getvalue()}}}}}',
        "point_gaussian/point_labels.csv": points.getvalue(),
    }


def _add(members: io.StringIO, name: str, value: object) -> None:
    """Add a member to the text of a JSON object, without its braces."""
    members.write(f"{', ' if members.tell() else ''}{json.dumps(name)}: {json.dumps(value)}")


def training_zip(all_kept: Iterable[KeptFeedback]) -> bytes:
    """`training_files` in one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in training_files(all_kept).items():
            # A ZipInfo without a date gives the same bytes each time.
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def _annotations(kept: KeptFeedback) -> dict[str, object]:
    segments = kept.feedback.segments or []
    rows = [{"segment": [str(row.start), str(row.end)], "label": _LETTERS[row.label]} for row in segments]
    return {"annotations": rows}


def _frame(seconds: float, fps: float) -> int:
    """The frame at a time, at the video's own rate, as in TSL300. Clients round the times of frames to milliseconds."""
    return int((seconds + _ROUNDING) * fps)


def _points(kept: KeptFeedback) -> Iterator[list[object]]:
    for point in kept.feedback.points or ():
        yield [kept.job_id, _frame(point.time, kept.fps), _CLASSES[point.label]]
