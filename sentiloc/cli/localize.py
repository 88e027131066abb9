"""`sentiloc localize VIDEO...`: runs the service's pipeline on files, without a server."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiloc.cli.cutting import (
    AudioTrack,
    Draft,
    Labels,
    MergeGap,
    MinLength,
    Threshold,
    cut_options,
    progress_bars,
)
from sentiloc.cli.destinations import JSON, Destinations, format_of, require_place
from sentiloc.cli.output import (
    PICTURE,
    DropFrame,
    FormatOption,
    StartTimecode,
    TimelineRate,
    print_or_write,
    show_result,
    wants_picture,
)
from sentiloc.cli.videos import NewFiles, find_videos
from sentiloc.model.errors import SentilocError
from sentiloc.worker.children import decoders

if TYPE_CHECKING:
    from sentiloc.api import Model, Result

STANDARD_INPUT = "-"
_NOTHING_FOUND = "no segment is confident enough; a lower --threshold, such as 0.2, shows weaker ones"


def localize(
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO", help="Files, folders or globs; - reads one from standard input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Output file, whose suffix selects the format; or a folder for several videos.",
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
    start: Annotated[float, typer.Option(min=0, help="Localize from this second on.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0, help="Localize up to this second.")] = None,
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
    decoders.prepare()
    check_format(output_format)
    if bool(videos) == bool(watch):
        raise typer.BadParameter("give videos, or a folder to --watch", param_hint="VIDEO")
    _refuse_urls(videos or [])
    asked = {
        **cut_options(threshold, min_length, merge_gap, labels),
        "time_range": (start, end) if start or end is not None else None,
        "audio_track": audio_track,
        "draft": draft,
    }
    with _read_input(videos or []) as names:
        found = find_videos(names)
        several = watch is not None or len(found) > 1
        require_place(output, several=several)
        counting = {"start_timecode": start_timecode, "drop_frame": drop_frame, "fps": fps}
        writer = _Writer(output, output_format, counting, found, as_json=as_json, watched=watch)
        todo = found if watch is None else NewFiles(watch).forever()
        if not _localize_all(todo, model, writer, asked):
            raise typer.Exit(1)


def _refuse_urls(videos: list[str]) -> None:
    for video in videos:
        if video.lower().startswith(("http://", "https://")):
            raise typer.BadParameter(
                f"this command reads files on this machine; `sentiloc submit {video}` lets a server fetch it",
                param_hint="VIDEO",
            )


@contextmanager
def _read_input(videos: list[str]) -> Iterator[list[str]]:
    """The names, with `-` replaced by a temporary file, because decoding needs to seek."""
    if STANDARD_INPUT not in videos:
        yield videos
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard input"
        with path.open("wb") as file:
            while piece := sys.stdin.buffer.read(1 << 20):
                file.write(piece)
        yield [str(path) if video == STANDARD_INPUT else video for video in videos]


def check_format(name: str | None) -> None:
    """Refuse an unknown format before the work begins."""
    from sentiloc.app.formats import FORMATS

    known = (JSON, *FORMATS, PICTURE)
    if name is not None and name not in known:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}", param_hint="--format")


class _Writer:
    """Writes each result to the terminal, to standard output or to a file."""

    def __init__(
        self,
        output: Path | None,
        output_format: str | None,
        counting: dict[str, Any],
        videos: list[Path],
        *,
        as_json: bool,
        watched: Path | None,
    ) -> None:
        several = watched is not None or len(videos) > 1
        self._output, self._several, self._as_lines = output, several, as_json
        self._counting = counting
        self._draws = wants_picture(output_format, output, as_json)
        in_folder = output is not None and (several or output.is_dir())
        wanted = output_format or (None if in_folder else format_of(output))
        self._format = JSON if wanted in (None, PICTURE) or as_json else str(wanted)
        if several and output is None and self._format != JSON:
            raise typer.BadParameter("several videos need a folder", param_hint="--output")
        self._places: Destinations | None = None
        if output is not None and in_folder:
            output.mkdir(parents=True, exist_ok=True)
            self._places = Destinations(output, self._format, videos, watched)

    def write(self, video: Path, result: Result) -> None:
        """Draw, print or save one result; its warnings go to standard error."""
        for warning in result.warnings:
            typer.echo(f"sentiloc: {video}: {warning.detail} ({warning.code})", err=True)
        if self._draws:
            show_result(result.to_dict(), video.name)
        elif self._output is not None:
            path = self._output if self._places is None else self._places.of(video)
            print_or_write(self._text(video, result), path)
        elif self._several or self._as_lines:
            line = json.dumps({"file": str(video), "result": result.to_dict()}, allow_nan=False)
            print_or_write(f"{line}\n".encode(), None)
        else:
            print_or_write(self._text(video, result), None)

    def _text(self, video: Path, result: Result) -> bytes:
        notes = result.notes(self._format)
        if not result.segments and self._format != JSON:
            # A file without segments says nothing; someone who tries the command would take it for a fault.
            notes = [*notes, _NOTHING_FOUND]
        for note in notes:
            typer.echo(f"sentiloc: {video}: {note}", err=True)
        return result.to(self._format, **self._counting, video=video).encode()

    def fail(self, video: Path, error: SentilocError) -> None:
        """Report why a video has no result."""
        typer.echo(f"sentiloc: {video}: {error.detail} ({error.code})", err=True)
        if self._as_lines:
            failure = {"code": str(error.code), "detail": error.detail}
            print_or_write(f"{json.dumps({'file': str(video), 'error': failure})}\n".encode(), None)


def _localize_all(videos: Iterable[Path], name: str | None, writer: _Writer, asked: dict[str, Any]) -> bool:
    """Localize the videos in turn. A failure does not stop the others. Returns False if one failed."""
    import sentiloc
    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config

    settings = get_settings()
    model, whole = sentiloc.load_model(name or settings.model, config=runtime_config(settings)), True
    for video in videos:
        try:
            writer.write(video, _run(model, video, asked))
        except SentilocError as error:
            writer.fail(video, error)
            whole = False
    return whole


def _run(model: Model, video: Path, asked: dict[str, Any]) -> Result:
    """Localize a file with a progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return model.localize(video, **asked)
    with progress_bars() as bars:
        task = bars.add_task("decoding", total=1.0, note=video.name)
        return model.localize(
            video,
            **asked,
            progress=lambda stage, done: bars.update(task, description=stage, completed=done),
        )
