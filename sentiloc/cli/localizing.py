"""The work of `sentiloc localize`: runs the service's pipeline on files, without a server.

The module loads neither the parser of options nor a library for terminals. It imports what a result needs only when the
result is written. For a short video, imports would otherwise take most of the time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiloc.cli.destinations import (
    JSON,
    Destinations,
    format_of,
    require_frames,
    require_json,
    require_other_file,
    require_place,
    require_printed,
)
from sentiloc.cli.given import load_model
from sentiloc.cli.messages import about_error, say, wrong_usage
from sentiloc.cli.output import PICTURE, print_or_write, show_result, wants_picture
from sentiloc.cli.progress import progress_bars
from sentiloc.cli.videos import NewFiles, find_videos
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.children import decoders

if TYPE_CHECKING:
    from sentiloc.api import Model, Result

STANDARD_INPUT = "-"
_INPUT_NAME = "standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How results are written: where, in which format, and with which timecode. The default is JSON or a picture.

    `in_folder`: the output is a folder also for one video.
    """

    output: Path | None = None
    in_folder: bool = False
    format: str | None = None
    as_json: bool = False
    counting: Mapping[str, Any] = field(default_factory=dict)


def localize_files(
    videos: list[str],
    *,
    model: str | None = None,
    watch: Path | None = None,
    written: Written | None = None,
    asked: Mapping[str, Any] | None = None,
) -> bool:
    """Localize files, or the files that appear in a folder, and write their results.

    Args:
        videos: Files, folders or globs; `-` is standard input.
        model: A model package; default: the setting.
        watch: Localize each video that appears in this folder.
        written: How results are written.
        asked: Further arguments of `Model.localize`.

    Returns:
        Whether every video has a result.

    Raises:
        typer.BadParameter: There is no such file, format, model or label, or no place for the output.
    """
    _prepare_decoders()
    written, asked = written or Written(), asked or {}
    check_format(written.format)
    require_json(written.format, as_json=written.as_json)
    require_printed(written.format, written.output)
    _refuse_urls(videos)
    with _place_of_input(videos) as names:
        # Before the models are loaded, which takes seconds: a wrong name is reported at once.
        found = find_videos(names)
        several = watch is not None or len(found) > 1
        require_place(written.output, several=several, in_folder=written.in_folder)
        require_other_file(written.output, found)
        copies = {Path(name) for name, video in zip(names, videos, strict=True) if video == STANDARD_INPUT}
        writer = _Writer(written, found, watched=watch, copies=copies)
        loaded = _load(model, asked.get("labels") or ())
        # After all checks of the usage, because a film may take minutes to arrive.
        for path in copies:
            _read_input(path)
        todo = found if watch is None else NewFiles(watch).forever()
        return _localize_all(todo, loaded, writer, asked)


def _load(name: str | None, labels: Iterable[str]) -> Model:
    """The model, once for all videos."""
    from sentiloc.worker.config import configured

    return load_model(name, *configured(), labels)


def _prepare_decoders() -> None:
    """Fork the process that forks decoders as soon as there is something to share with it, but before threads start."""
    # One thread of OpenBLAS is enough for the linear algebra here. Starting more costs as much as importing it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import_module("numpy")
    decoders.prepare(in_place=True)


def _refuse_urls(videos: list[str]) -> None:
    for video in videos:
        if video.lower().startswith(("http://", "https://")):
            raise wrong_usage(
                f"this command reads files on this machine; `sentiloc submit {video}` lets a server fetch it",
                "VIDEO",
            )


@contextmanager
def _place_of_input(videos: list[str]) -> Iterator[list[str]]:
    """The names, with `-` replaced by a temporary file, still empty, because decoding needs to seek."""
    if STANDARD_INPUT not in videos:
        yield videos
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        # Messages and pictures show this name.
        path = Path(folder) / _INPUT_NAME
        path.touch()
        yield [str(path) if video == STANDARD_INPUT else video for video in videos]


def _read_input(path: Path) -> None:
    with path.open("wb") as file:
        # In pieces: a pipe states no size, and a film does not fit into memory.
        while piece := sys.stdin.buffer.read(1 << 20):
            file.write(piece)


def _about_nothing(result: Result) -> str:
    """Why no segment was found, and the option with which one would be found."""
    weaker, threshold = result.recut(threshold=0.0).segments, result.options.threshold
    best = max((segment.confidence for segment in weaker), default=1.0)
    if best < threshold:
        return f"no segment is confident enough; --threshold {_lower_threshold(result, best):g} shows a weaker one"
    # At threshold 0 a segment may be joined with weaker ones; without them it may be too short.
    hiding = _hiding(result, threshold if weaker else 0.0)
    return f"no segment matches {hiding}" if hiding else "nothing stands out"


def _lower_threshold(result: Result, best: float) -> float:
    """The highest round threshold, at most `best`, that shows a segment. For a joined segment it may be lower."""
    tenths = (step / 10 for step in range(int(best * 10), 0, -1))
    hundredths = (step / 100 for step in range(min(int(best * 100), 9), 0, -1))
    return next((one for one in (*tenths, *hundredths) if result.recut(threshold=one).segments), 0.0)


def _hiding(result: Result, threshold: float) -> str:
    """The options that hide every segment of this confidence; empty if there is none."""
    from sentiloc.model.results.task_result import labels_of

    asked, every = result.options, labels_of(result.document)
    label, length = " ".join(f"--label {one}" for one in asked.labels), f"--min-length {asked.min_length:g}"
    cuts = {
        label: result.recut(threshold=threshold, labels=every),
        length: result.recut(threshold=threshold, min_length=0.0),
        f"{length} {label}": result.recut(threshold=threshold, min_length=0.0, labels=every),
    }
    return next((options for options, cut in cuts.items() if cut.segments), "")


def check_format(name: str | None) -> None:
    """Refuse an unknown format before the work begins; raises `typer.BadParameter`."""
    if name in (None, JSON, PICTURE):
        return
    from sentiloc.app.formats import FORMATS

    known = (JSON, *FORMATS, PICTURE)
    if name not in known:
        raise wrong_usage(f"{name!r} is not one of {', '.join(known)}", "--format")


class _Writer:
    """Writes each result to the terminal, to standard output or to a file."""

    def __init__(
        self, written: Written, videos: list[Path], *, watched: Path | None, copies: Set[Path] = frozenset()
    ) -> None:
        """`copies` are temporary files of standard input, whose path means nothing to a user."""
        self._copies = copies
        # A watched folder may get any number of videos, so it counts as several.
        several, output = watched is not None or len(videos) > 1, written.output
        self._output, self._several, self._as_lines = output, several, written.as_json
        self._counting = written.counting
        self._draws = wants_picture(written.format, output, written.as_json)
        in_folder = output is not None and (several or written.in_folder or output.is_dir())
        # A dot in a folder's name does not imply a format.
        wanted = written.format or (None if in_folder else format_of(output))
        self._format = JSON if wanted in (None, PICTURE) or written.as_json else str(wanted)
        require_frames(PICTURE if self._draws else self._format, written.counting)
        if several and output is None and self._format != JSON:
            raise wrong_usage("several videos need a folder", "--output")
        self._places: Destinations | None = None
        if output is not None and in_folder:
            self._places = Destinations(output, self._format, videos, watched)

    def write(self, video: Path, result: Result) -> None:
        """Draw, print or save one result; its warnings go to standard error."""
        for warning in result.warnings:
            say(f"sentiloc: {self._title(video)}: {warning.detail} ({warning.code})")
        if self._draws:
            show_result(result.to_dict(), video.name)
        elif self._output is not None:
            path = self._output if self._places is None else self._places.path_for(video)
            print_or_write(self._text(video, result), path)
        elif self._several or self._as_lines:
            # One line for each video, so that a program can read results as they come.
            line = json.dumps({"file": self._title(video), "result": result.to_dict()}, allow_nan=False)
            print_or_write(f"{line}\n".encode(), None)
        else:
            print_or_write(self._text(video, result), None)

    def _title(self, video: Path) -> str:
        """A video as messages name it."""
        return _INPUT_NAME if video in self._copies else str(video)

    def _text(self, video: Path, result: Result) -> bytes:
        notes = result.notes(self._format, **self._counting)
        if not result.segments and self._format != JSON:
            # Explained, because somebody who tries the command would take a file without segments for a fault.
            notes = [*notes, _about_nothing(result)]
        for note in notes:
            say(f"sentiloc: {self._title(video)}: {note}")
        return result.to(self._format, **self._counting, video=video).encode()

    def fail(self, video: Path, error: Exception) -> None:
        """Report why a video has no result, or why its result was not written."""
        code, detail = ErrorCode.INTERNAL, about_error(error)
        if isinstance(error, SentilocError):
            code, detail = error.code, error.detail
        say(f"sentiloc: {self._title(video)}: {detail} ({code})")
        if self._as_lines:
            failure = {"code": str(code), "detail": detail}
            print_or_write(f"{json.dumps({'file': self._title(video), 'error': failure})}\n".encode(), None)


def _localize_all(videos: Iterable[Path], model: Model, writer: _Writer, asked: Mapping[str, Any]) -> bool:
    """Localize the videos in turn. A failure does not stop the others. Returns False if one failed."""
    whole = True
    for video in videos:
        try:
            writer.write(video, _run(model, video, asked))
        except (SentilocError, OSError, UnicodeError) as error:
            # The last two may come from writing one output, or from the name of one video.
            if os.environ.get("SENTILOC_DEBUG") and not isinstance(error, SentilocError):
                raise
            writer.fail(video, error)
            whole = False
    return whole


def _run(model: Model, video: Path, asked: Mapping[str, Any]) -> Result:
    """Localize a file with a progress bar on standard error, if that is a terminal."""
    # Nothing is drawn, so the library for progress bars is not loaded.
    if not sys.stderr.isatty():
        return model.localize(video, **asked)
    with progress_bars() as bars:
        task = bars.add_task("decoding", total=1.0, note=video.name)
        return model.localize(
            video,
            **asked,
            progress=lambda stage, done: bars.update(task, description=stage, completed=done),
        )
