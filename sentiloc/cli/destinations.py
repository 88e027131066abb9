"""The output files of several videos, and the format that a file name implies."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sentiloc.cli.given import flag
from sentiloc.cli.messages import wrong_usage
from sentiloc.cli.output import PICTURE, is_written_itself

JSON = "json"
# Several formats have these suffixes. The most common format is meant.
_AMBIGUOUS = {"xml": "fcp7", "txt": "audacity", "csv": "csv"}


def format_of(output: Path | None) -> str | None:
    """The format of a file name's ending; None without an ending.

    Raises:
        typer.BadParameter: No format has this ending.
    """
    ending = "" if output is None else output.suffix.lower().lstrip(".")
    if not ending:
        return None
    known = _endings()
    if ending not in known:
        endings = ", ".join(f".{one}" for one in sorted(known))
        raise wrong_usage(
            f"no format ends in .{ending}; there are {endings}, or name one with --format", "--output"
        )
    return known[ending]


def _endings() -> dict[str, str]:
    """The format of each ending."""
    # Imported late: without a suffix no format is needed, and the start of a command should be quick.
    from sentiloc.app.formats import FORMATS

    return {JSON: JSON, **{found.extension: name for name, found in FORMATS.items()}, **_AMBIGUOUS}


def require_json(name: str | None, *, as_json: bool) -> None:
    """Refuse `--json` with another format; raises `typer.BadParameter`."""
    if as_json and name not in (None, JSON):
        raise wrong_usage(f"it prints JSON, and --format asks for {name}", "--json")


def require_printed(name: str | None, output: Path | None) -> None:
    """Refuse to write the picture, which is drawn for a terminal, to a file; raises `typer.BadParameter`."""
    if name == PICTURE and output is not None:
        raise wrong_usage(
            "the format text is for terminals; choose another one for -o, or redirect with `> FILE`",
            "--format",
        )


def require_frames(name: str, counting: Mapping[str, Any]) -> None:
    """Refuse timeline options, given by parameter name, if the format counts no frames or a value is wrong.

    Raises:
        typer.BadParameter: One of the options is not None although the format only has seconds, or its value is
        impossible for every video.
    """
    given = [option for option, value in counting.items() if value is not None]
    if not given:
        return
    from sentiloc.app.formats import FORMATS

    framed = [known for known, found in FORMATS.items() if found.counts_frames]
    # A server of another version may know formats that this table does not have.
    seconds_only = name in FORMATS and name not in framed
    if name in (JSON, PICTURE) or seconds_only:
        raise wrong_usage(f"the format {name} counts no frames; {', '.join(framed)} do", flag(given[0]))
    require_timeline(**counting)


def require_timeline(**counting: Any) -> None:
    """Refuse options of a timeline that are wrong for every video; raises `typer.BadParameter`."""
    from sentiloc.app.formats.timeline import TimelineError, TimelineOptions, check_options

    # The options were added one by one, so the last one is at fault.
    for names in (("start_timecode",), ("fps",), ("fps", "drop_frame")):
        try:
            check_options(TimelineOptions(**{name: counting.get(name) for name in names}))
        except TimelineError as error:
            raise wrong_usage(str(error), flag(names[-1])) from error


def file_name(name: str, video_name: str) -> str:
    """`holiday.mp4` as `holiday.csv`."""
    if name == JSON:
        # Not `Path.stem`, which keeps the dot of `a.mov.` (see `Destinations.path_for`).
        return f"{video_name.rpartition('.')[0] or video_name}.json"
    from sentiloc.app.formats import FORMATS

    return FORMATS[name].file_name(video_name)


def is_folder(output: str | None) -> bool:
    """Whether a name can only be that of a folder, because it ends in a separator, in `.` or in `..`."""
    if not output:
        return False
    return output.replace(os.altsep or os.sep, os.sep).rpartition(os.sep)[2] in ("", os.curdir, os.pardir)


def require_name(output: str | None) -> None:
    """Refuse an empty name, which an unset variable gives and which would mean the current folder; raises
    `typer.BadParameter`.
    """
    if output == "":
        raise wrong_usage("the name is empty", "--output")


def output_file(name: str) -> Path:
    """The path of an output that is one file, for the parser of options; raises `typer.BadParameter` for a folder."""
    require_name(name)
    if is_folder(name):
        raise wrong_usage(f"{name} is a folder; a file is needed", "--output")
    return Path(name)


def named_folder(name: str) -> Path:
    """The path of a folder, for the parser of options; raises `typer.BadParameter` for an empty name, as
    `require_name` does.
    """
    if not name:
        import typer

        # The parser knows which option or argument it is.
        raise typer.BadParameter("the name is empty")
    return Path(name)


def require_place(output: Path | None, *, several: bool, in_folder: bool = False) -> None:
    """Refuse an output that cannot be written, before the work begins.

    Raises:
        typer.BadParameter: The folder of the file does not exist or takes no file, a file is where a folder is needed,
            or the file is read-only.
    """
    if output is None:
        return
    if several or in_folder:
        _require_folder(output, in_folder=in_folder)
    # The parent of a link is that of its target.
    elif not output.is_dir() and not output.resolve().parent.is_dir():
        raise wrong_usage(f"there is no folder {output.resolve().parent}", "--output")
    elif not is_written_itself(output):
        _require_writable(output)


def _require_writable(output: Path) -> None:
    """Refuse a file that is read-only, or whose folder takes no new file."""
    folder = output.resolve().parent
    if output.exists() and not os.access(output, os.W_OK):
        raise wrong_usage(f"{output} is read-only", "--output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise wrong_usage(f"no file can be created in {folder}", "--output")


def _require_folder(output: Path, *, in_folder: bool) -> None:
    """Refuse a name that cannot be a folder, or, unless `in_folder`, that probably means a file."""
    # A missing folder is created with the first file, in the deepest folder of its path that exists.
    nearest = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not nearest.is_dir():
        raise wrong_usage(f"{nearest} is a file; a folder is needed", "--output")
    if nearest == output:
        return
    if not in_folder and output.suffix:
        raise wrong_usage(
            f"{output} looks like a file; several videos need a folder, and a name that ends in {os.sep} is one: "
            f"{output}{os.sep}",
            "--output",
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise wrong_usage(f"no folder can be created in {nearest}", "--output")


def require_file(output: Path | None) -> None:
    """`require_place` for a command that writes one file, which a folder cannot be; raises `typer.BadParameter`."""
    require_place(output, several=False)
    if output is not None and output.is_dir():
        raise wrong_usage(f"{output} is a folder; a file is needed", "--output")


def require_other_file(output: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, which it would replace; raises `typer.BadParameter`."""
    if output is None or not output.is_file():
        return
    if any(one.exists() and one.samefile(output) for one in inputs):
        raise wrong_usage(f"{output} is also an input, and would be lost", "--output")


class Destinations:
    """A file for each video within a folder. Videos with equal names are distinguished by their folders."""

    def __init__(
        self, folder: Path, name: str, videos: Iterable[Path] = (), root: Path | None = None
    ) -> None:
        """With `root`, mirror the folders below it. This is used for a watched folder, whose videos are not known in
        advance.
        """
        self._folder, self._name = folder, name
        places = [video.resolve() for video in videos]
        names = Counter(file_name(name, place.name) for place in places)
        self._root = root and root.resolve()
        if any(count > 1 for count in names.values()):
            self._root = Path(os.path.commonpath([place.parent for place in places]))
        self._taken: dict[Path, Path] = {}

    def path_for(self, video: Path) -> Path:
        """The file for a video, in a folder that exists."""
        place = video.resolve()
        folder = self._folder
        if self._root is not None and place.is_relative_to(self._root):
            folder = folder / place.relative_to(self._root).parent
        folder.mkdir(parents=True, exist_ok=True)
        found = folder / file_name(self._name, place.name)
        if self._taken.setdefault(found, place) != place or found.resolve() == place:
            # `a.mov` and `a.mp4` in one folder, or a video called `a.json`: use the whole name with its suffix.
            found = folder / file_name(self._name, f"{place.name}.")
            self._taken[found] = place
        return found
