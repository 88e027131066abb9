"""Clips of several videos on one timeline, in frames. Every cut format is written from it.

A clip's first frame is counted at its video's rate, its length at the sequence's rate. If both rates are equal, as
usual, every cut is frame-exact in every format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import PurePosixPath

from sentiloc.app.formats.timeline import (
    Timebase,
    Timeline,
    TimelineError,
    TimelineOptions,
    confidence_text,
    make_timeline,
    title_of,
)
from sentiloc.model.names import folded, folder_path, link_to, shown_name
from sentiloc.model.segments import VideoInfo

_UNSAFE = re.compile(r"[^\w .()-]+")
_MAX_STEM = 80
DEFAULT_START = "01:00:00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenClip:
    """A part of a video to show, in seconds, with its label.

    `start` and `end` are rounded to frames. `label` may be empty; `confidence` is None for a part that a person chose.
    """

    source_id: str
    start: float
    end: float
    label: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSource:
    """A video: its id, its file name, its properties, and its folder if that differs from the options'."""

    id: str
    name: str
    video: VideoInfo
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A video of a sequence. Its `name` is unique in the sequence, because editing programs find the file by it.

    `on_disk` is the name with characters that print nothing, and `link` is that as part of a URL. `folder` is the
    folder of the file: a path, a `file:` URL, or empty for the folder of the exported file.
    """

    number: int
    id: str
    name: str
    on_disk: str
    link: str
    uploaded_name: str
    folder: str
    timeline: Timeline

    @property
    def base(self) -> Timebase:
        """How the video's frames are counted."""
        return self.timeline.base

    @property
    def video(self) -> VideoInfo:
        """The properties of the video."""
        return self.timeline.video

    @property
    def first(self) -> int:
        """Number of the file's first frame in its own timecode."""
        return self.timeline.source_start

    @property
    def frames(self) -> int:
        """Length of the video in frames."""
        return self.timeline.frames

    @property
    def channels(self) -> int:
        """Sound channels to show: none, one or two."""
        return self.timeline.channels

    @property
    def path(self) -> str:
        """The file as a path, without quoting."""
        if not self.folder:
            return self.name
        folder = folder_path(self.folder)
        return f"{shown_name(folder) if folder else ''}/{self.name}"

    @property
    def path_on_disk(self) -> str:
        """The file as a path, with characters that print nothing."""
        return f"{folder_path(self.folder)}/{self.on_disk}" if self.folder else self.on_disk

    @property
    def url(self) -> str:
        """The file as a URL: relative, or `file://` with an absolute path."""
        if not self.folder:
            return self.link
        folder = folder_path(self.folder)
        if "://" in folder:
            return f"{folder}/{self.link}"
        place = f"{link_to(folder)}/{self.link}"
        if folder.startswith("//"):
            return f"file:{place}"
        return f"file://localhost{'' if place.startswith('/') else '/'}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A part of a source on the sequence.

    `first` and `source_frames` count frames of the source from its start; `start` and `frames` count frames of the
    sequence from its start. `until` is the source's first frame after the cut; `last` may differ from it by a frame,
    because it follows the rounded length.
    """

    source: Source
    first: int
    until: int
    source_frames: int
    start: int
    frames: int
    label: str = ""
    confidence: float | None = None

    @property
    def end(self) -> int:
        """The first frame of the sequence after the clip."""
        return self.start + self.frames

    @property
    def last(self) -> int:
        """The first frame of the source after the clip."""
        return self.first + self.source_frames

    def counted_at(self, rate: Fraction, ahead: Fraction, margin: Fraction = Fraction(0)) -> tuple[int, int]:
        """The clip's first frame and number of frames in its source, counted at `rate`. No frame shows a picture from
        outside the cut. A program may show each picture `ahead` of its time: by half a frame if it shows the nearest
        picture. A program that shows pictures which begin slightly later needs a `margin` at the end. Both are in
        frames of the source.
        """
        scale = rate / self.source.base.rate
        ends = (self.first - ahead, self.until - ahead - margin)
        first, end = (max(0, ceil(frame * scale)) for frame in ends)
        return first, max(1, end - first)

    @property
    def title(self) -> str:
        """The title shown to editors: `Positive 92%`, or the file name without a label."""
        if not self.label:
            return self.source.name
        by_hand = self.confidence is None
        return title_of(
            self.label.replace("_", " "), confidence_text(self.confidence or 0.0, by_hand=by_hand)
        )

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end of the cut in seconds of the source, at frame boundaries."""
        rate = self.source.base.rate
        return float(self.first / rate), float(self.until / rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Consecutive clips. `first` is the frame number of the sequence's start timecode."""

    title: str
    base: Timebase
    width: int
    height: int
    first: int
    clips: tuple[Clip, ...]
    sources: tuple[Source, ...]

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.clips[-1].end

    @property
    def channels(self) -> int:
        """The most sound channels of any source."""
        return max(source.channels for source in self.sources)

    @property
    def file_stem(self) -> str:
        """The title as a file name without its ending."""
        return _UNSAFE.sub("_", self.title).strip(" .")[:_MAX_STEM] or "cut"

    def renamed(self) -> list[str]:
        """One sentence for each video that must be renamed because another one has the same name."""
        return [
            f"Two videos are named {source.uploaded_name}: rename that of job {source.id} to {source.name}."
            for source in self.sources
            if source.name != source.uploaded_name
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceOptions:
    """How a sequence counts frames. `fps` None means the rate of most clips; `folder` is the folder of the videos."""

    title: str = "Highlights"
    fps: float | None = None
    drop_frame: bool | None = None
    start_timecode: str = DEFAULT_START
    folder: str = ""


def make_sequence(
    clips: SequenceOf[GivenClip], sources: Iterable[GivenSource], options: SequenceOptions
) -> Sequence:
    """Put clips on one timeline, in the given order.

    Sources without a clip are left out. The picture size is that of the first clip.

    Raises:
        TimelineError: There is no clip, a clip has no source or lies outside of it, or the options are impossible.
    """
    if not clips:
        raise TimelineError("A cut needs at least one clip.")
    known = {source.id: source for source in sources}
    used = list(dict.fromkeys(clip.source_id for clip in clips))
    if missing := [name for name in used if name not in known]:
        raise TimelineError(f"There is no source {missing[0]}.")
    made = _sources([known[name] for name in used], options.folder)
    base = _base(clips, made, options)
    return Sequence(
        title=options.title,
        base=base,
        width=made[clips[0].source_id].video.width,
        height=made[clips[0].source_id].video.height,
        first=base.parse(options.start_timecode),
        clips=tuple(_place(clips, made, base)),
        sources=tuple(made.values()),
    )


def _sources(given: Iterable[GivenSource], folder: str) -> dict[str, Source]:
    made: dict[str, Source] = {}
    names: set[str] = set()
    for number, source in enumerate(given, 1):
        shown = shown_name(source.name)
        name = unused_name(shown, names)
        names.add(folded(name))
        on_disk = source.name if name == shown else name
        made[source.id] = Source(
            number=number,
            id=source.id,
            name=name,
            on_disk=on_disk,
            link=link_to(on_disk),
            uploaded_name=shown,
            folder=folder if source.folder is None else source.folder,
            timeline=make_timeline(name, source.video, ()),
        )
    return made


def unused_name(name: str, taken: set[str]) -> str:
    """`clip.mp4` as `clip-2.mp4` if the name is taken; `taken` are folded names."""
    path, found, number = PurePosixPath(name), name, 1
    while folded(found) in taken:
        number += 1
        found = f"{path.stem}-{number}{path.suffix}"
    return found


def _base(clips: SequenceOf[GivenClip], sources: dict[str, Source], options: SequenceOptions) -> Timebase:
    """The requested rate, or that of most clips. In a tie, the rate that comes first wins."""
    rates = Counter(sources[clip.source_id].base for clip in clips)
    usual = rates.most_common(1)[0][0]
    if options.fps is None and options.drop_frame is None:
        return usual
    like = next(source for source in sources.values() if source.base == usual)
    # Only the counting is wanted; a start timecode may not exist at the rate asked for.
    drops = usual.drop_frame if usual.may_drop else like.video.drop_frame
    video = replace(like.video, start_timecode=None, drop_frame=drops)
    return make_timeline(
        "", video, (), options=TimelineOptions(fps=options.fps, drop_frame=options.drop_frame)
    ).base


def _place(clips: Iterable[GivenClip], sources: dict[str, Source], base: Timebase) -> Iterable[Clip]:
    start = 0
    for clip in clips:
        source = sources[clip.source_id]
        first, until, frames, source_frames = _frames(clip, source, base)
        yield Clip(
            source=source,
            first=first,
            until=until,
            source_frames=source_frames,
            start=start,
            frames=frames,
            label=clip.label,
            confidence=clip.confidence,
        )
        start += frames


def _frames(clip: GivenClip, source: Source, base: Timebase) -> tuple[int, int, int, int]:
    """A clip's first frame and end frame (source rate, end exclusive), and its length at the sequence's and at the
    source's rate.
    """
    rate = source.base.rate
    first = min(source.base.frame(clip.start), source.frames - 1)
    if first < 0 or not clip.start < min(clip.end, source.video.duration):
        detail = f"{clip.start:g} to {clip.end:g} s is not part of {source.name}, which lasts"
        raise TimelineError(f"{detail} {source.video.duration:g} s.")
    # A clip shorter than a frame shows one.
    last = max(first + 1, min(source.base.frame(clip.end), source.frames))
    # Deliberately rounded twice: the source's length follows the sequence's, so picture and sound fill whole frames.
    frames = max(1, round(Fraction(last - first) / rate * base.rate))
    source_frames = max(1, round(Fraction(frames) / base.rate * rate))
    return first, last, frames, min(source_frames, source.frames - first)
