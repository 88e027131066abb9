"""Result formats: one function each, from a `Timeline` to text, listed in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sentiloc.app.formats import edl, elan, fcp7, fcpxml, report, subtitles, tables
from sentiloc.app.formats.timeline import Timeline


def _no_notes(timeline: Timeline) -> list[str]:  # noqa: ARG001
    return []


def _otio_json(timeline: Timeline) -> str:
    # OpenTimelineIO takes a while to import, and few results are written for it.
    from sentiloc.app.formats import otio

    return otio.otio_json(timeline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An output format: its title, media type, file name suffix and the function that writes it.

    `notes` returns one sentence for each thing that the format cannot represent exactly. `wants_details` is True for a
    format that shows `Timeline.details`. `counts_frames` is False for a format that only has seconds, so timeline
    options do not change it.
    """

    title: str
    media_type: str
    extension: str
    render: Callable[[Timeline], str]
    qualifier: str = ""
    notes: Callable[[Timeline], list[str]] = _no_notes
    wants_details: bool = False
    counts_frames: bool = True

    def file_name(self, video_name: str) -> str:
        """`holiday.mp4` as `holiday.edl`, or as `holiday.premiere.csv` where another format has the same ending."""
        stem = video_name.rpartition(".")[0] or video_name
        return (
            ".".join((stem, self.qualifier, self.extension)) if self.qualifier else f"{stem}.{self.extension}"
        )


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format(title="CSV", media_type="text/csv", extension="csv", render=tables.csv_table),
        "vtt": Format(
            title="WebVTT",
            media_type="text/vtt",
            extension="vtt",
            render=subtitles.webvtt,
            counts_frames=False,
        ),
        "srt": Format(
            title="SubRip",
            media_type="application/x-subrip",
            extension="srt",
            render=subtitles.srt,
            counts_frames=False,
        ),
        "edl": Format(
            title="DaVinci Resolve markers (EDL)",
            media_type="application/x-edl",
            extension="edl",
            render=edl.resolve_markers,
            notes=edl.cut_by_overlap,
        ),
        "fcp7": Format(
            title="Premiere Pro (FCP7 XML)",
            media_type="application/vnd.apple.xmeml+xml",
            extension="xml",
            render=fcp7.fcp7_xml,
        ),
        "fcpxml": Format(
            title="Final Cut Pro (FCPXML)",
            media_type="application/vnd.apple.fcpxml+xml",
            extension="fcpxml",
            render=fcpxml.fcpxml,
        ),
        "otio": Format(
            title="OpenTimelineIO",
            media_type="application/vnd.opentimelineio+json",
            extension="otio",
            render=_otio_json,
        ),
        "premiere": Format(
            title="Premiere Pro marker list",
            media_type="text/tab-separated-values",
            extension="csv",
            render=tables.premiere_markers,
            qualifier="premiere",
        ),
        "audacity": Format(
            title="Audacity labels",
            media_type="text/plain",
            extension="txt",
            render=tables.audacity_labels,
            qualifier="audacity",
            counts_frames=False,
        ),
        "html": Format(
            title="Report (HTML, prints to PDF)",
            media_type="text/html",
            extension="html",
            render=report.html_report,
            wants_details=True,
        ),
        "eaf": Format(
            title="ELAN annotations",
            media_type="application/vnd.mpi.elan+xml",
            extension="eaf",
            render=elan.eaf,
            counts_frames=False,
        ),
    }
)
