"""Text files of a data set: UTF-8 with or without a byte order mark, which spreadsheets write."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import category

from sentiloc.model.data.video_files import VIDEO_SUFFIXES
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.names import folded, is_text

_LONGEST_NAME = 251
"""Bytes. File systems allow 255, of which `.npy` needs four."""
_SHOWN = 60
_DIGITS = 18


def read_text(path: Path) -> str:
    """The file's text; raises `invalid_data` that names the file if it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing") from error
    except OSError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{path}: line {line}: not UTF-8 text; save the file as UTF-8"
        ) from error


class _RepeatedKeyError(ValueError):
    """A key that one JSON object has twice."""


def read_json(path: Path) -> Any:
    """The file's JSON value; raises what `read_text` raises.

    Raises `invalid_data` that names the file for text that is not JSON, and for an object with a repeated key: of two
    labels of one video, the parser would silently take the second.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_each_once)
    except _RepeatedKeyError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {error}") from error
    except RecursionError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not JSON: nested too deeply") from error
    except ValueError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not JSON: {error}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise _RepeatedKeyError(f"{twice!r} is there more than once")
    return found


def read_names(path: Path) -> list[str]:
    """Names of videos, one per line; none if the file does not exist. Raises what `read_text` raises.

    Raises `invalid_data` for a name that cannot be a file name, with its line, and for a repeated name.
    """
    # Not exists(), which is also False for a dangling or circular link.
    if not os.path.lexists(path):
        return []
    lines = read_text(path).splitlines()
    names = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, name in names:
        problem = name_problem(name)
        if problem:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {number}: {problem}")
    twice = [name for name, count in Counter(name for _, name in names).items() if count > 1]
    if twice:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: names {listed(twice)} more than once")
    return [name for _, name in names]


def listed(names: Sequence[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def name_problem(name: str, longest: int = _LONGEST_NAME) -> str | None:
    """Why a video cannot have this name of at most `longest` bytes, which is also that of its feature files; None if it
    can.
    """
    shown = repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")
    # Not isprintable(), which refuses the spaces of Japanese titles and the joiners of emojis.
    if "/" in name or name in (".", "..") or any(category(char) == "Cc" for char in name):
        return f"{shown} is not the name of a video: it is also the name of a file"
    # `read_names` would read a different name, or two names.
    if name != name.strip() or len(name.splitlines()) > 1:
        return (
            f"{shown} is not the name of a video: it begins or ends with white space, or has a line separator"
        )
    if not is_text(name):
        return f"{shown} is not the name of a video: it is not UTF-8"
    if len(os.fsencode(name)) > longest:
        return f"{shown} is too long for the name of a file"
    return None


def whole_number(text: str | None, column: str) -> int:
    """The whole number in a cell; raises ValueError that names the column.

    Python's `int` also reads `1_0` and digits of other scripts, which are mistakes here.
    """
    cell = (text or "").strip()
    if not (cell.isascii() and cell.lstrip("+-").isdigit() and len(cell) <= _DIGITS):
        raise ValueError(f"{column} {text!r} is not a whole number")
    try:
        return int(cell)
    except ValueError:
        raise ValueError(f"{column} {text!r} is not a whole number") from None


def real_number(value: object) -> float | None:
    """A number of a JSON or CSV file, which may also be written as a string; None for anything else.

    Python's `float` also reads `1_0` and digits of other scripts, which are mistakes here.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def without_suffix(name: str) -> str:
    """A file's name without the ending of a video or of features; other dots are part of the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and f"{dot}{ending}".lower() in VIDEO_SUFFIXES | {".npy"} else name


def look_alikes(missing: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Each missing name with one of the others that differs only in case, accents' encoding or a video's ending."""
    by_look = {_look(name): name for name in others}
    return [(name, by_look[_look(name)]) for name in missing if _look(name) in by_look]


def _look(name: str) -> str:
    return folded(without_suffix(name.strip()))


def read_lines(path: Path) -> list[str]:
    """The lines that are not empty, without surrounding spaces; raises what `read_text` raises."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """These columns of a CSV, with line numbers and without spaces around; cells that a row lacks are empty.

    Empty rows are left out. Raises `invalid_data` that names the file if a column is missing or repeated, and what
    `read_cells` and `check_width` raise.
    """
    (_, header), *rows = read_cells(path) or [(1, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{path}: has no column {', '.join(missing)}{other_separator(header)}"
        )
    check_columns(path, header, columns)
    for line, cells in rows:
        check_width(path, line, cells, header)
    found = [(line, dict(zip(header, [*cells, *[""] * len(header)], strict=False))) for line, cells in rows]
    return [(line, {name: row[name] for name in columns}) for line, row in found]


def read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV that are not empty, with the line on which each ends, and without spaces around the cells.

    Raises `invalid_data` that names the line for a quoted cell that does not end, and what `read_text` raises.
    """
    # Strict: a quote that is not closed would silently swallow all rows after it.
    rows = csv.reader(StringIO(read_text(path), newline=""), strict=True)
    try:
        stripped = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {rows.line_num}: {error}") from error
    return [(line, row) for line, row in stripped if any(row)]


def other_separator(header: Sequence[str]) -> str:
    """The end of a message about a missing column if cells are not separated by commas; empty otherwise."""
    mark = next((mark for mark in (";", "\t") if any(mark in name for name in header)), None)
    return f"; its cells are separated by {mark!r}: save it with commas" if mark else ""


def check_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `invalid_data` if one of these columns occurs twice, because it is unclear which one is meant."""
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: has the column {twice[0]} more than once")


def check_width(path: Path, line: int, cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise `invalid_data` for a row with more cells than the header has, whose values are in the wrong columns."""
    if any(cells[len(header) :]):
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{path}: line {line}: {len(cells)} cells, but {len(header)} columns; a cell with a comma needs quotes",
        )
