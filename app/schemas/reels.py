"""The public contract of highlights, cuts and reels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from sentiloc.app.jobs.options import AnyLabel, Priority, Webhook, check_metadata
from sentiloc.app.jobs.record import JobState
from sentiloc.app.schemas.base import Body
from sentiloc.app.schemas.jobs import EXAMPLE_ID, Failure

MOST_CUT_CLIPS = 500
EXAMPLE_REEL_ID = "h2Qm0dZr5yXw4AxJ3k0cQ2"
JobRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of a job")]
Seconds = Annotated[float, Field(ge=0, description="Seconds from the video's start")]
KindName = Literal["positive", "negative", "turning_point"]
CutFormatName = Literal["edl", "fcp7", "fcpxml", "otio", "mlt", "llc"]
_CONTROL = {chr(code) for code in (*range(32), 127)}

_CLIP: dict[str, Any] = {
    "job": EXAMPLE_ID,
    "start": 2.36,
    "end": 7.4,
    "label": "positive",
    "confidence": 0.83,
}
EXAMPLE_CUT: dict[str, Any] = {"format": "mlt", "title": "Holiday", "clips": [_CLIP]}
EXAMPLE_REEL: dict[str, Any] = {
    "title": "Holiday",
    "clips": [_CLIP],
    "crossfade": 0.5,
    "captions": True,
    "max_side": 1280,
}
EXAMPLE_HIGHLIGHT: dict[str, Any] = {
    "rank": 1,
    "job": EXAMPLE_ID,
    "name": "holiday.mp4",
    "kind": "positive",
    "start": 3.2,
    "end": 6.4,
    "peak": 4.48,
    "confidence": 0.83,
    "by_hand": False,
    "cut": {"start": 2.36, "end": 7.4, "start_snap": "shot", "end_snap": "pause"},
    "thumbnail": f"/v1/jobs/{EXAMPLE_ID}/thumbnails/0",
    "video": f"/v1/jobs/{EXAMPLE_ID}/video",
}


class CutBody(Body):
    """The part of a video to show, with its handles."""

    start: Seconds
    end: Seconds
    start_snap: Literal["shot", "pause", "edge", "none"] = Field(
        description="What the cut was moved to: a shot change, a pause, the video's edge, or nothing"
    )
    end_snap: Literal["shot", "pause", "edge", "none"]


class HighlightBody(Body):
    """A moment, and how it would be cut."""

    rank: int = Field(ge=1, description="1 for the best")
    job: str
    name: str = Field(description="The file name of the video")
    kind: KindName
    start: Seconds
    end: Seconds
    peak: Seconds
    confidence: float = Field(
        ge=0, le=1, description="The model's probability that the moment is right; 1 for a person's segment"
    )
    by_hand: bool = Field(description="Whether a person drew or changed a segment of it")
    cut: CutBody
    thumbnail: str | None = Field(description="Path of a picture of the moment; null if there is none")
    video: str = Field(description="Path of the whole video")


class HighlightsBody(Body):
    """Highlights in the order in which they would be shown: by video, then by time."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "highlights": [EXAMPLE_HIGHLIGHT],
                    "videos": 3,
                    "skipped": [],
                    "not_searched": 0,
                    "seconds": 5.04,
                }
            ]
        },
    )

    highlights: list[HighlightBody]
    videos: int = Field(ge=0, description="Videos that were searched")
    skipped: list[str] = Field(
        description="Jobs that were left out: their model finds no sentiment, or the result expired"
    )
    not_searched: int = Field(
        0,
        ge=0,
        description="Videos with less certain segments that were not searched, because there are too many",
    )
    seconds: float = Field(ge=0, description="Length of all cuts")


class ClipRequest(BaseModel):
    """A part of a job's video, in seconds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    job: JobRef
    start: Seconds
    end: float = Field(gt=0, description="Seconds from the video's start")
    label: AnyLabel | None = Field(None, description="What the part shows; named in the cut and in captions")
    confidence: float | None = Field(None, ge=0, le=1, description="null for a part that a person chose")


class _WithTitle(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    title: str = Field(
        "Highlights", min_length=1, max_length=120, description="Name of the sequence and file"
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        description="Frames per second, one of the standard rates; null: that of most clips",
    )

    @field_validator("title")
    @classmethod
    def _printable(cls, value: str) -> str:
        if _CONTROL & set(value):
            raise ValueError("contains control characters")
        return value


class CutRequest(_WithTitle):
    """Clips in the order in which they are shown, and the format to write."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE_CUT]}
    )

    clips: list[ClipRequest] = Field(min_length=1, max_length=MOST_CUT_CLIPS)
    format: CutFormatName
    drop_frame: bool | None = Field(
        None, description="Whether timecode drops frame numbers, at 29.97 and 59.94"
    )
    start_timecode: str = Field(
        "01:00:00:00",
        pattern=r"^\d{2}:\d{2}:\d{2}[:;]\d{2}$",
        description="Timecode of the sequence's first frame",
    )
    folder: str = Field(
        "",
        max_length=1000,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Folder of the videos: a path or a `file:` URL; empty: the folder of the exported file",
    )


class ReelRequest(_WithTitle):
    """Clips in the order in which they are shown, and the look of the reel."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE_REEL]}
    )

    clips: list[ClipRequest] = Field(min_length=1, max_length=MOST_CUT_CLIPS)
    crossfade: float = Field(0.5, ge=0, le=5, description="Seconds that neighbours overlap; 0: hard cuts")
    captions: bool = Field(False, description="Write label, confidence and time into the picture")
    max_side: int = Field(1280, ge=64, le=3840, description="Longest side in pixels; nothing is enlarged")
    priority: Priority = Priority.INTERACTIVE
    webhook: Webhook | None = None
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Your own data, returned with the reel; at most 4096 bytes of JSON"
    )

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return check_metadata(value)


EXAMPLE_REEL_BODY: dict[str, Any] = {
    "id": EXAMPLE_REEL_ID,
    "state": "succeeded",
    "progress": 1.0,
    "title": "Holiday",
    "seconds": 5.04,
    "frames": 126,
    "rate": "25/1",
    "width": 1280,
    "height": 720,
    "clips": 1,
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": "2026-03-02T12:00:09Z",
    "error": None,
    "job": f"/v1/jobs/{EXAMPLE_REEL_ID}",
    "video": f"/v1/reels/{EXAMPLE_REEL_ID}/video",
}


class ReelBody(Body):
    """A reel: a job that renders a video. Follow, cancel and delete it under `/v1/jobs`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [EXAMPLE_REEL_BODY],
        },
    )

    id: str
    state: JobState
    progress: float = Field(ge=0, le=1)
    title: str
    seconds: float = Field(description="Length")
    frames: int = Field(description="Length in frames at `rate`")
    rate: str = Field(description="Frames per second as a fraction")
    width: int
    height: int
    clips: int
    created_at: datetime
    expires_at: datetime | None = Field(description="When the video is deleted; null while that is not known")
    error: Failure | None
    job: str = Field(description="Path of the job")
    video: str | None = Field(description="Path of the video; null until it is rendered")


class ReelListBody(Body):
    """A page of reels, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reels": [EXAMPLE_REEL_BODY], "next_cursor": None}]},
    )

    reels: list[ReelBody]
    next_cursor: str | None = Field(description="The cursor of the next page; null on the last page")
