"""The plan of a reel: which frames of which videos, in which order, at what size and rate."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from sentiloc.app.cuts.sequence import Clip, Sequence

_MARGIN_SECONDS = Fraction(2, 1000)
"""Longer than the rounding errors of time stamps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelClip:
    """A part of a video. `source` is its key in the storage, or its path.

    `first` and `frames` count frames at the reel's rate, from the video's start. `caption` is written into the picture.
    `seconds` is the start of the part in its video.
    """

    source: str
    name: str
    first: int
    frames: int
    caption: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelPlan:
    """A reel. Sizes are in pixels, `rate` is frames per second as a fraction, `crossfade` is in frames.

    Neighbouring clips overlap by `crossfade` frames, but by at most half of the shorter clip.
    """

    title: str
    rate: str
    width: int
    height: int
    crossfade: int
    captions: bool
    clips: tuple[ReelClip, ...]

    @property
    def frames_per_second(self) -> Fraction:
        """The rate as a number."""
        return Fraction(self.rate)

    @property
    def overlaps(self) -> tuple[int, ...]:
        """Frames that each clip shares with the one before; 0 for the first."""
        pairs = zip(self.clips, self.clips[1:], strict=False)
        # Half, so that the fades at both ends of a short clip do not overlap.
        return (0, *(min(self.crossfade, one.frames // 2, two.frames // 2) for one, two in pairs))

    @property
    def starts(self) -> tuple[int, ...]:
        """The reel's frame at which each clip begins."""
        starts, end = [], 0
        for clip, overlap in zip(self.clips, self.overlaps, strict=True):
            starts.append(end - overlap)
            end = starts[-1] + clip.frames
        return tuple(starts)

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.starts[-1] + self.clips[-1].frames

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.frames / self.frames_per_second)

    def with_sources(self, sources: dict[str, str]) -> ReelPlan:
        """The same plan with other sources."""
        return replace(self, clips=tuple(replace(clip, source=sources[clip.source]) for clip in self.clips))

    def to_json(self) -> str:
        """The plan as stored in a job's record."""
        return json.dumps(asdict(self), separators=(",", ":"))


def parse_plan(text: str) -> ReelPlan:
    """Read `ReelPlan.to_json`."""
    raw: dict[str, Any] = json.loads(text)
    return ReelPlan(**{**raw, "clips": tuple(ReelClip(**clip) for clip in raw["clips"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelLook:
    """The look of a reel: seconds of cross-fade, captions, and the longest side in pixels."""

    crossfade_seconds: float = 0.5
    captions: bool = False
    max_side: int = 1280


def make_plan(sequence: Sequence, sources: dict[str, str], look: ReelLook) -> ReelPlan:
    """The plan of a sequence; `sources` maps source ids to the keys or paths of their videos.

    The picture has the sequence's size, reduced to `max_side` and rounded to even numbers for the encoder.
    """
    scale = min(1.0, look.max_side / max(sequence.width, sequence.height))
    rate = sequence.base.rate
    return ReelPlan(
        title=sequence.title,
        # A fraction as text: JSON has no exact 30000/1001.
        rate=f"{rate.numerator}/{rate.denominator}",
        width=max(2, round(sequence.width * scale / 2) * 2),
        height=max(2, round(sequence.height * scale / 2) * 2),
        crossfade=round(look.crossfade_seconds * rate),
        captions=look.captions,
        clips=tuple(_clip(clip, sequence, sources[clip.source.id]) for clip in sequence.clips),
    )


def _clip(clip: Clip, sequence: Sequence, source: str) -> ReelClip:
    own, rate = clip.source.base.rate, sequence.base.rate
    # Sampled at the middle of each frame of the reel.
    first, frames = clip.counted_at(rate, own / rate / 2, _MARGIN_SECONDS * own)
    return ReelClip(
        source=source,
        name=clip.source.name,
        first=first,
        frames=frames,
        caption=clip.title if clip.label else "",
        seconds=clip.seconds[0],
    )
