"""OpenTimelineIO: one video track and one audio track, with clips of several files."""

from __future__ import annotations

import opentimelineio as oti

from sentiloc.app.cuts.sequence import Clip, Sequence, Source
from sentiloc.app.formats.timeline import Timebase


def otio_sequence(sequence: Sequence) -> str:
    """`.otio`: source ranges are counted in each file's own time and rate."""
    built = oti.schema.Timeline(
        name=sequence.title,
        global_start_time=oti.opentime.RationalTime(sequence.first, float(sequence.base.rate)),
    )
    built.tracks.append(_track("V1", oti.schema.TrackKind.Video, sequence, sounds=False))
    if sequence.channels:
        built.tracks.append(_track("A1", oti.schema.TrackKind.Audio, sequence, sounds=True))
    return str(oti.adapters.write_to_string(built, "otio_json"))


def _track(name: str, kind: str, sequence: Sequence, *, sounds: bool) -> oti.schema.Track:
    """A track of one kind. A clip without sound leaves a gap in the audio track."""
    track = oti.schema.Track(name=name, kind=kind)
    for clip in sequence.clips:
        if sounds and not clip.source.channels:
            gap = oti.opentime.TimeRange(duration=_time(clip.frames, sequence.base))
            track.append(oti.schema.Gap(source_range=gap))
        else:
            track.append(_clip(clip))
    return track


def _clip(clip: Clip) -> oti.schema.Clip:
    source = clip.source
    first = source.first + clip.first
    about: dict[str, str | float] = {"label": clip.label} if clip.label else {}
    if clip.confidence is not None:
        about["confidence"] = round(clip.confidence, 4)
    return oti.schema.Clip(
        name=clip.title,
        media_reference=_file(source),
        source_range=oti.opentime.TimeRange(
            _time(first, source.base), _time(clip.source_frames, source.base)
        ),
        metadata={"sentiloc": about},
    )


def _file(source: Source) -> oti.schema.ExternalReference:
    available = oti.opentime.TimeRange(_time(source.first, source.base), _time(source.frames, source.base))
    return oti.schema.ExternalReference(
        target_url=source.url.replace("file://localhost", "file://"),
        available_range=available,
        metadata={"sentiloc": {"name": source.name}},
    )


def _time(frames: int, base: Timebase) -> oti.opentime.RationalTime:
    return oti.opentime.RationalTime(frames, float(base.rate))
