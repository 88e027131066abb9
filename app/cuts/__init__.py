"""Clips of several videos as one sequence, in the formats of editing programs, listed in `CUT_FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sentiloc.app.cuts import edl, fcp7, fcpxml, losslesscut, mlt, otio
from sentiloc.app.cuts.sequence import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFile:
    """A written sequence."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFormat:
    """An output format: its title, media type, file name suffix and the function that writes it.

    `notes` returns one sentence for each thing that the format cannot represent exactly.
    """

    title: str
    media_type: str
    extension: str
    render: Callable[[Sequence], str]
    notes: Callable[[Sequence], list[str]] = Sequence.renamed

    def write(self, sequence: Sequence) -> CutFile:
        """The sequence in this format."""
        name = f"{sequence.file_stem}.{self.extension}"
        return CutFile(name=name, media_type=self.media_type, data=self.render(sequence).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneVideoFormat(CutFormat):
    """A format for a single video. A sequence of several videos becomes an archive with one file for each video."""

    def write(self, sequence: Sequence) -> CutFile:
        if len(sequence.sources) == 1:
            return CutFile(
                name=losslesscut.file_name(sequence.sources[0]),
                media_type=self.media_type,
                data=self.render(sequence).encode(),
            )
        data = losslesscut.archive(sequence)
        return CutFile(name=f"{sequence.file_stem}.llc.zip", media_type="application/zip", data=data)


CUT_FORMATS: Mapping[str, CutFormat] = MappingProxyType(
    {
        "edl": CutFormat(
            title="CMX3600 edit decision list",
            media_type="application/x-edl",
            extension="edl",
            render=edl.cmx3600,
            notes=edl.notes,
        ),
        "fcp7": CutFormat(
            title="Premiere Pro, DaVinci Resolve (FCP7 XML)",
            media_type="application/vnd.apple.xmeml+xml",
            extension="xml",
            render=fcp7.fcp7_sequence,
        ),
        "fcpxml": CutFormat(
            title="Final Cut Pro (FCPXML)",
            media_type="application/vnd.apple.fcpxml+xml",
            extension="fcpxml",
            render=fcpxml.fcpxml_sequence,
        ),
        "otio": CutFormat(
            title="OpenTimelineIO",
            media_type="application/vnd.opentimelineio+json",
            extension="otio",
            render=otio.otio_sequence,
        ),
        "mlt": CutFormat(
            title="Kdenlive, Shotcut (MLT XML)",
            media_type="application/vnd.mlt+xml",
            extension="mlt",
            render=mlt.mlt_sequence,
        ),
        "llc": _OneVideoFormat(
            title="LosslessCut",
            media_type="application/json5",
            extension="llc",
            render=losslesscut.losslesscut_project,
            notes=losslesscut.notes,
        ),
    }
)
