"""Highlights, cuts and reels: their models, and the requests that both clients make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict
from urllib.parse import quote

from .calls import API, Call, one
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
    """What is shown of a video. The snaps say what an edge was moved to: shot, pause, edge or none."""

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
    """Highlights by video, then by time; how many videos were looked at; jobs that were left out."""

    highlights: tuple[Highlight, ...]
    videos: int
    skipped: tuple[str, ...]
    seconds: float


class HighlightOptions(TypedDict, total=False):
    """What highlights are found by; what is left out has the server's default."""

    created_after: datetime
    created_before: datetime
    count: int
    kind: Sequence[str]
    min_confidence: float
    max_seconds: float
    handle: float
    snap: float
    corrected: bool


class ReelOptions(TypedDict, total=False):
    """How a reel looks; what is left out has the server's default."""

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
    """The best moments of these jobs, or of all jobs of the time."""
    params: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in options.items()
    }
    if jobs:
        params["job"] = list(jobs)
    return Call(method="GET", path=f"{API}/highlights", parse=one(Highlights), params=params)


def cut(clips: Sequence[Clip], name: str, title: str, folder: str) -> Call[bytes]:
    """Clips as a sequence for an editing program."""
    body = {"clips": [encode(clip) for clip in clips], "format": name, "title": title, "folder": folder}
    return Call(method="POST", path=f"{API}/cuts", parse=lambda response: response.content, json=body)


def create(clips: Sequence[Clip], options: ReelOptions, key: str) -> Call[Reel]:
    """Let the server render clips; sent with a key, so that a retry is the same reel."""
    body = {"clips": [encode(clip) for clip in clips], **options}
    return Call(
        method="POST", path=f"{API}/reels", parse=one(Reel), headers={"Idempotency-Key": key}, json=body
    )


def get(reel_id: str) -> Call[Reel]:
    """A reel as it is now."""
    return Call(method="GET", path=_reel(reel_id), parse=one(Reel))


def video(reel_id: str) -> Call[bytes]:
    """The rendered MP4."""
    return Call(method="GET", path=_reel(reel_id, "/video"), parse=lambda response: response.content)


def _reel(reel_id: str, rest: str = "") -> str:
    return f"{API}/reels/{quote(reel_id, safe='')}{rest}"
