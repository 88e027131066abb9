"""Shows a result on a terminal, or writes it to a file or to standard output.

The module loads neither the client nor a library for terminals: `sentiloc localize` in a script needs none of them.
"""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import replacing

if TYPE_CHECKING:
    from sentiloc.client import Result
    from sentiloc.model.results.task_result import EmotionResult, ExpressionResult

PICTURE = "text"


def wants_picture(output_format: str | None, output: Path | None, as_json: bool) -> bool:
    """True if the result is drawn: on request, or by default on a terminal."""
    if output_format is not None or as_json:
        return output_format == PICTURE and not as_json
    return output is None and sys.stdout.isatty()


def show_result(raw: Mapping[str, Any], title: str) -> None:
    """Draw the timeline of a stored result of any task and list its segments."""
    from rich.console import Console

    from sentiloc.cli.drawing.drawing import draw
    from sentiloc.cli.drawing.task_drawing import draw_task
    from sentiloc.client import Result
    from sentiloc.model.names import shown_name

    # Rich would colour all numbers, and here colours stand for labels.
    console = Console(highlight=False)
    result, size, name = read_any_result(raw), (console.width, console.encoding), shown_name(title)
    with _naming("standard output"):
        console.print(
            draw(result, name, *size) if isinstance(result, Result) else draw_task(result, name, *size)
        )


def read_any_result(raw: Mapping[str, Any]) -> Result | EmotionResult | ExpressionResult:
    """A stored result of any task; raises `invalid_data` for anything else."""
    from sentiloc.model.results import result, task_result

    is_task = isinstance(raw, Mapping) and raw.get("task", "sentiment") != "sentiment"
    found = task_result.parse_any(raw) if is_task else None
    return read_result(raw) if found is None or isinstance(found, result.Result) else found


def read_result(raw: Mapping[str, Any]) -> Result:
    """A stored result of sentiment; raises `invalid_data` for anything else."""
    from sentiloc.client import Result
    from sentiloc.client.decoding import decode
    from sentiloc.client.errors import UnexpectedAnswerError

    try:
        # The decoder only accepts JSON types; a result of this process has tuples.
        return decode(Result, json.loads(json.dumps(raw)))
    except UnexpectedAnswerError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"this is not a result of `sentiloc`: {error}") from error


def print_or_write(data: bytes, output: Path | None) -> None:
    """Write to a file (as `whole_file` does) or to standard output.

    Ends the process if the output is a pipe whose reader has closed it, such as standard output under its name
    `/dev/stdout`.
    """
    try:
        with _naming(str(output or "standard output")):
            _write(data, output)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. At exit Python would try again to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Add the name of the place to errors of writing, because the system does not name an open file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, place) from error


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.flush()
        # Without the buffer, which fails if another program has made the descriptor non-blocking.
        target = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        rest = memoryview(data)
        # A write may end early, also when the reader closes the pipe.
        while rest:
            written = target.write(rest)
            if written is None:
                # The reader is slow.
                select.select([], [target], [])
            rest = rest[written or 0 :]
        return
    with whole_file(output) as path, path.open("ab") as file:
        file.write(data)


@contextmanager
def whole_file(output: Path) -> Iterator[Path]:
    """A path to write to. It becomes `output` at the end, so that a reader of the folder never sees half a file.

    A link stays, and its target is replaced. A device, a pipe or an open file (`/dev/stdout`) is written itself.

    Raises:
        PermissionError: The file is read-only.
    """
    if is_written_itself(output):
        yield output
        return
    # Checked here, because a new file could replace it in spite of that.
    if output.exists() and not os.access(output, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(output))
    with replacing(output.resolve()) as path:
        yield path


def is_written_itself(output: Path) -> bool:
    """Whether `output` is written directly instead of replaced: it is a device, a pipe, a folder, or an open file."""
    folder = output.parent.resolve()
    # A name in `/dev` may lead to a regular file that another program has open; that program would not see a new file.
    is_open_file = folder == Path("/dev") or folder.is_relative_to("/proc")
    return is_open_file or (output.exists() and not output.is_file())
