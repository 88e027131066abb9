"""Text files of a data set: UTF-8 with or without a byte order mark, which spreadsheets write."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import category

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.names import is_text

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

    Raises `invalid_data` that names the file for text that is not JSON, and for an object with a key twice: of two
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKeyError(f"{twice!r} is there more than once")
    return found


def read_names(path: Path) -> list[str]:
    """Names of videos, one per line; none if the file does not exist. Raises what `read_text` raises.

    Raises `invalid_data` for a name that cannot be that of a file, with its line, and for a name that is there twice.
    """
    # Not exists(), which is also False for a link to nowhere or to itself.
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
    # `read_names` would read another name, or two.
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
    """A number of a JSON file, which may also be written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def read_lines(path: Path) -> list[str]:
    """The lines with something on them, without spaces around; raises what `read_text` raises."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV with their line numbers; cells that a row lacks are empty.

    Raises `invalid_data` that names the file if a column is missing, and what `read_text` raises.
    """
    rows = csv.DictReader(StringIO(read_text(path), newline=""), restval="")
    try:
        missing = [name for name in columns if name not in (rows.fieldnames or ())]
        if missing:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: has no column {', '.join(missing)}")
        return [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {rows.line_num}: {error}") from error
