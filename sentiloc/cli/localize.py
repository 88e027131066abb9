"""`sentiloc localize VIDEO...`: its arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentiloc.cli.cutting import (
    AudioTrack,
    Draft,
    DropFrame,
    FormatOption,
    Labels,
    MergeGap,
    MinLength,
    StartTimecode,
    Threshold,
    TimelineRate,
    cut_options,
)
from sentiloc.cli.destinations import is_folder, require_name
from sentiloc.cli.given import finite, time_range
from sentiloc.cli.localizing import Written, localize_files
from sentiloc.cli.messages import wrong_usage


def localize(
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO", help="Files, folders or globs; - reads one from standard input."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Output file, whose suffix selects the format; or a folder, such as out/.",
        ),
    ] = None,
    output_format: FormatOption = None,
    model: Annotated[
        str | None, typer.Option(help="Model package; default: the setting SENTILOC_MODEL.")
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(help="Localize each video that appears in this folder.", exists=True, file_okay=False),
    ] = None,
    threshold: Threshold = None,
    min_length: MinLength = None,
    merge_gap: MergeGap = None,
    labels: Labels = None,
    start: Annotated[float, typer.Option(min=0, callback=finite, help="Localize from this second on.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Localize up to this second.")
    ] = None,
    start_timecode: StartTimecode = None,
    drop_frame: DropFrame = None,
    fps: TimelineRate = None,
    audio_track: AudioTrack = None,
    draft: Draft = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
) -> None:
    """Find the sentiment segments of videos. A terminal shows a timeline; elsewhere the output is JSON.

    Warnings about a video go to standard error. Exit status: 0 success, 1 at least one video could not be localized,
    2 wrong usage.
    """
    if bool(videos) == bool(watch):
        raise wrong_usage("give videos, or a folder to --watch", "VIDEO")
    require_name(output)
    asked = {
        **cut_options(threshold, min_length, merge_gap, labels),
        "time_range": time_range(start, end),
        "audio_track": audio_track,
        "draft": draft,
    }
    written = Written(
        output=None if output is None else Path(output),
        in_folder=is_folder(output),
        format=output_format,
        as_json=as_json,
        counting={"start_timecode": start_timecode, "drop_frame": drop_frame, "fps": fps},
    )
    if not localize_files(videos or [], model=model, watch=watch, written=written, asked=asked):
        raise typer.Exit(1)
