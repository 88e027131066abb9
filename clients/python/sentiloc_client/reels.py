"""Highlights, cuts and reels: their models, and the requests that both clients make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict
from urllib.parse import quote

from .answers import file_content, one
from .calls import API, Call
from .decoding import encode
from .models import Failure, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A part of a job's video, in seconds; `label` and `confidence` are named in cuts and captions."""

    job: str
    start: float
    end: float
    label: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightCut:
    """The part of a video to show. The snaps say to what an edge was moved: shot, pause, edge or none."""

    start: float
    end: float
    start_snap: str
    end_snap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A moment and how it would be cut; rank 1 is the best. Kinds: positive, negative, turning_point."""

    rank: int
    job: str
    name: str
    kind: str
    start: float
    end: float
    peak: float
    confidence: float
    by_hand: bool
    cut: HighlightCut
    thumbnail: str | None
    video: str

    def clip(self) -> Clip:
        """The cut, for `Client.cut` and `Client.create_reel`."""
        confidence = None if self.by_hand else self.confidence
        return Clip(
            job=self.job, start=self.cut.start, end=self.cut.end, label=self.kind, confidence=confidence
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlights:
    """Highlights by video, then by time; the number of videos searched; and the jobs that were left out.

    `not_searched` counts videos with less certain segments that were not searched, because there are too many.
    """

    highlights: tuple[Highlight, ...]
    videos: int
    skipped: tuple[str, ...]
    seconds: float
    not_searched: int = 0


class HighlightOptions(TypedDict, total=False):
    """Options for finding highlights. The server has a default for each."""

    created_after: datetime
    created_before: datetime
    batch: str
    count: int
    kind: Sequence[str]
    min_confidence: float
    max_seconds: float
    handle: float
    snap: float
    corrected: bool


class ReelOptions(TypedDict, total=False):
    """The look of a reel. The server has a default for each."""

    title: str
    fps: float
    crossfade: float
    captions: bool
    max_side: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reel:
    """A reel. Its `id` is that of a job: wait for it, cancel and delete it as any job."""

    id: str
    state: JobState
    progress: float
    title: str
    seconds: float
    frames: int
    rate: str
    width: int
    height: int
    clips: int
    created_at: datetime
    expires_at: datetime | None = None
    error: Failure | None = None
    job: str = ""
    video: str | None = field(default=None)


def highlights(jobs: Sequence[str], options: HighlightOptions) -> Call[Highlights]:
    """The best moments of these jobs, or of all jobs in the time range."""
    params: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in options.items()
        if value is not None
    }
    if jobs:
        params["job"] = list(jobs)
    return Call(method="GET", path=f"{API}/highlights", parse=one(Highlights), params=params)


def cut(clips: Sequence[Clip], name: str, title: str, folder: str) -> Call[bytes]:
    """Clips as a sequence for an editing program."""
    body = {"clips": [encode(clip) for clip in clips], "format": name, "title": title, "folder": folder}
    return Call(method="POST", path=f"{API}/cuts", parse=file_content, json=body, is_file=True)


def create(clips: Sequence[Clip], options: ReelOptions, key: str) -> Call[Reel]:
    """Let the server render clips, with an idempotency key, so that a retry creates no second reel."""
    body = {"clips": [encode(clip) for clip in clips], **options}
    return Call(
        method="POST", path=f"{API}/reels", parse=one(Reel), headers={"Idempotency-Key": key}, json=body
    )


def get(reel_id: str) -> Call[Reel]:
    """The current state of a reel."""
    return Call(method="GET", path=_reel(reel_id), parse=one(Reel))


def video(reel_id: str) -> Call[bytes]:
    """The rendered MP4, which may be in an object store."""
    return Call(method="GET", path=_reel(reel_id, "/video"), parse=file_content, linked=True, is_file=True)


def _reel(reel_id: str, rest: str = "") -> str:
    return f"{API}/reels/{quote(reel_id, safe='')}{rest}"
