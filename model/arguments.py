"""Checks of the arguments of the Python API. Each raises `invalid_data` with a sentence that names the argument."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from sentiloc.model.errors import ErrorCode, SentilocError

ValueT = TypeVar("ValueT")

LONGEST_SECONDS = 1e9
"""Thirty years, the longest time of the service's settings."""
LARGEST = 2**53
"""Larger whole numbers are not exact in JSON."""
MOST_THREADS = 1024
_SHOWN = 80


def refused(name: str, value: object, wanted: str) -> SentilocError:
    """The error for an argument of a wrong type or value."""
    return SentilocError(ErrorCode.INVALID_DATA, f"{name} is {_shown(value)}; it is {wanted}")


def number(name: str, value: object, least: float, most: float, wanted: str) -> float:
    """A real number from `least` to `most`, as Python's own float. NumPy's numbers are real numbers, too."""
    try:
        found = float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    except OverflowError:
        found = None
    # Comparisons with NaN are false, so this refuses it, too.
    if found is None or not least <= found <= most:
        raise refused(name, value, wanted)
    return found


def whole_number(name: str, value: object, most: int = LARGEST) -> int:
    """A whole number from 1 to `most`."""
    found = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else 0
    if found < 1:
        raise refused(name, value, "a whole number from 1 on")
    if found > most:
        raise refused(name, value, f"at most {most}")
    return found


def flag(name: str, value: object) -> bool:
    """True or False."""
    # By name, because this module is too small to load NumPy for its type.
    if type(value).__name__ not in ("bool", "bool_"):
        raise refused(name, value, "True or False")
    return bool(value)


def place(name: str, value: object) -> Path:
    """The path of a file or a folder."""
    found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(found, str) or not _can_exist(found):
        raise refused(name, value, "a path: a string or a pathlib.Path")
    return Path(found)


def instance(name: str, value: object, kind: type[ValueT]) -> ValueT:
    """An object of one class of this package."""
    if not isinstance(value, kind):
        raise refused(name, value, f"a sentiloc.{kind.__name__}")
    return value


def text(name: str, value: object, wanted: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise refused(name, value, wanted)
    return value


def texts(name: str, value: object, wanted: str) -> tuple[str, ...]:
    """Strings, from anything that gives them one by one. One string is refused, because it gives its letters."""
    found = _items(value)
    if found is None or not all(isinstance(one, str) for one in found):
        raise refused(name, value, wanted)
    return found


def pair_of_seconds(name: str, value: object) -> tuple[float, float | None]:
    """A start and an end in seconds; None as the end means the end of the video."""
    wanted = "a pair of seconds, (start, end), in which the end may be None"
    found = _items(value)
    if found is None or len(found) != 2:
        raise refused(name, value, wanted)
    start, end = (
        None
        if one is None
        else number(
            f"{name}[{index}]", one, -LONGEST_SECONDS, LONGEST_SECONDS, "a number of seconds up to 1e9"
        )
        for index, one in enumerate(found)
    )
    if start is None:
        raise refused(name, found, wanted)
    return start, end


def _can_exist(path: str) -> bool:
    """Whether the system can represent a path."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _items(value: object) -> tuple[Any, ...] | None:
    """What a list, an array or an iterator gives; None for anything else."""
    try:
        return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
    except TypeError:
        # An array without a dimension.
        return None


def _shown(value: object) -> str:
    """A value as a user wrote it, cut to a line."""
    try:
        shown = repr(value)
    except Exception:
        # For example a whole number of more digits than Python converts.
        shown = f"a {type(value).__name__} that cannot be shown"
    return " ".join((shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…").split())
