"""Options of a job and of its output, shared by local commands and by those that talk to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sentiloc.cli.destinations import output_file
from sentiloc.cli.given import finite

Threshold = Annotated[
    float | None, typer.Option(min=0, max=1, callback=finite, help="Minimum confidence of a segment.")
]
MinLength = Annotated[
    float | None, typer.Option(min=0, callback=finite, help="Minimum length of a segment in seconds.")
]
MergeGap = Annotated[
    float | None, typer.Option(min=0, callback=finite, help="Join segments at most this many seconds apart.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="Label to keep: positive, negative or another class of the model. May be repeated."
    ),
]
AudioTrack = Annotated[int | None, typer.Option(min=1, help="Listen to this sound track, counted from 1.")]
Draft = Annotated[bool, typer.Option("--draft", help="Decode keyframes only: a quick, approximate preview.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", parser=output_file, metavar="FILE", help="Write here instead of to standard output."
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="json, csv, vtt, srt, edl, fcp7, fcpxml, otio, premiere, audacity, eaf, html; or text",
    ),
]
StartTimecode = Annotated[
    str | None,
    typer.Option(
        metavar="TIMECODE", help="Timecode of the first frame, such as 01:00:00:00; default: the video's."
    ),
]
DropFrame = Annotated[
    bool | None,
    typer.Option("--drop-frame/--no-drop-frame", help="Use drop-frame timecode, at 29.97 and 59.94 only."),
]
TimelineRate = Annotated[
    float | None,
    typer.Option("--fps", min=0, callback=finite, help="Frames per second of the timeline, such as 23.976."),
]


def cut_options(
    threshold: float | None, min_length: float | None, merge_gap: float | None, labels: list[str] | None
) -> dict[str, Any]:
    """Options for cutting segments, as keyword arguments of `Cut` and `JobOptions`; None stands for the default."""
    shown = tuple(labels) if labels else None
    return {"threshold": threshold, "min_length": min_length, "merge_gap": merge_gap, "labels": shown}
