"""Text files of a data set: UTF-8 with or without a byte order mark, which spreadsheets write."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError


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
