"""Converts JSON to dataclasses and back by their declared types."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import UnexpectedAnswerError

T = TypeVar("T")
NOT_JSON = (ValueError, RecursionError)
"""What the parser of JSON raises; the second for lists in lists in lists."""


def decode(kind: type[T], raw: Any) -> T:
    """Convert `raw` to `kind`. Unknown fields are ignored. Raises `UnexpectedAnswerError` if it does not fit."""
    return cast("T", _decode(kind, raw, kind.__name__))


def encode(value: Any) -> Any:
    """A dataclass as JSON, without fields that are None."""
    if is_dataclass(value) and not isinstance(value, type):
        # None means the server's default, which is not the same as null in every request.
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: encode(found) for name, found in pairs if found is not None}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def _decode(kind: Any, raw: Any, place: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return None if raw is None else _decode(_without_none(kind), raw, place)
    if kind is Any:
        return raw
    if origin is tuple:
        return _tuple(kind, raw, place)
    if _is_subclass(origin, Mapping):
        return _mapping(kind, raw, place)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, raw, place)
    return _scalar(kind, origin, raw, place)


def _without_none(kind: Any) -> Any:
    return next(option for option in get_args(kind) if option is not type(None))


def _is_subclass(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _tuple(kind: Any, raw: Any, place: str) -> tuple[Any, ...]:
    _require(isinstance(raw, list), place, "a list", raw)
    first, *rest = get_args(kind)
    if rest == [Ellipsis]:
        return tuple(_decode(first, item, f"{place}[{i}]") for i, item in enumerate(raw))
    kinds = (first, *rest)
    _require(len(raw) == len(kinds), place, f"{len(kinds)} values", raw)
    return tuple(_decode(one, item, place) for one, item in zip(kinds, raw, strict=True))


def _mapping(kind: Any, raw: Any, place: str) -> dict[str, Any]:
    _require(isinstance(raw, dict), place, "an object", raw)
    value = get_args(kind)[1]
    return {name: _decode(value, item, f"{place}.{name}") for name, item in raw.items()}


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _dataclass(kind: type, raw: Any, place: str) -> Any:
    _require(isinstance(raw, dict), place, "an object", raw)
    # Only fields that this version knows are read, so that a newer server can add some.
    known = fields(cast("Any", kind))
    missing = [one.name for one in known if one.name not in raw and _is_required(one)]
    _require(not missing, place, f"with {', '.join(missing)}", raw)
    found = {one.name: raw[one.name] for one in known if one.name in raw}
    values = {name: _decode(_types(kind)[name], item, f"{place}.{name}") for name, item in found.items()}
    return kind(**values)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _scalar(kind: Any, origin: Any, raw: Any, place: str) -> Any:
    if origin is Literal:
        _require(raw in get_args(kind), place, f"one of {', '.join(map(str, get_args(kind)))}", raw)
        return raw
    # JSON does not distinguish 1 from 1.0, and bool is a subclass of int.
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return _parsed(float, raw, place)
    if kind is datetime or _is_subclass(kind, Enum):
        return _parsed(kind, raw, place)
    fits = isinstance(raw, kind) and (kind is bool or not isinstance(raw, bool))
    _require(fits, place, f"a {kind.__name__}", raw)
    return raw


def _parsed(kind: Any, raw: Any, place: str) -> Any:
    try:
        return datetime.fromisoformat(raw) if kind is datetime else kind(raw)
    except (TypeError, ValueError, OverflowError) as error:
        detail = f"{place}: {str(raw)[:80]!r} is not a {kind.__name__} that this client knows"
        raise UnexpectedAnswerError(detail) from error


def _require(fits: bool, place: str, wanted: str, raw: Any) -> None:
    if not fits:
        raise UnexpectedAnswerError(f"{place}: expected {wanted}, got {str(raw)[:80]!r}")
