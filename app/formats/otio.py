"""OpenTimelineIO JSON."""

from __future__ import annotations

import opentimelineio as oti

from sentiloc.app.formats.timeline import Marker, Timeline

_COLOURS = {
    "positive": oti.schema.MarkerColor.BLUE,
    "negative": oti.schema.MarkerColor.RED,
}


def otio_json(timeline: Timeline) -> str:
    """`.otio`: a timeline with the video as one clip and the segments as markers of the clip."""
    return str(oti.adapters.write_to_string(_build(timeline), "otio_json"))


def _build(timeline: Timeline) -> oti.schema.Timeline:
    """One clip with its markers, which count in the time of its media, as OpenTimelineIO defines it."""
    rate = float(timeline.base.rate)
    available = _range(timeline.source_start, timeline.frames, rate)
    clip = oti.schema.Clip(
        name=timeline.title,
        media_reference=oti.schema.ExternalReference(
            # A relative URL: the editor looks beside the file.
            target_url=timeline.link,
            available_range=available,
        ),
        source_range=available,
        markers=[_marker(marker, timeline.source_start, rate) for marker in timeline.markers],
    )
    track = oti.schema.Track(name="V1", kind=oti.schema.TrackKind.Video, children=[clip])
    start = oti.opentime.RationalTime(timeline.start, rate)
    built = oti.schema.Timeline(name=timeline.title, global_start_time=start)
    built.tracks.append(track)
    return built


def _marker(marker: Marker, first: int, rate: float) -> oti.schema.Marker:
    return oti.schema.Marker(
        name=marker.name,
        marked_range=_range(first + marker.start, marker.end - marker.start, rate),
        color=_COLOURS.get(marker.label, oti.schema.MarkerColor.YELLOW),
        metadata={"sentiloc": _about(marker)},
    )


def _about(marker: Marker) -> dict[str, str | float]:
    if marker.by_hand:
        return {"label": marker.label, "source": "person"}
    # The name of a marker has only whole percent; programs can read the value here.
    return {"label": marker.label, "source": "model", "confidence": round(marker.confidence, 4)}


def _range(start: int, duration: int, rate: float) -> oti.opentime.TimeRange:
    return oti.opentime.TimeRange(
        oti.opentime.RationalTime(start, rate), oti.opentime.RationalTime(duration, rate)
    )
