"""Explains pydantic's validation errors in plain words, for messages of the API, of settings and of commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBER, _WHOLE, _SWITCH = "must be a number", "must be a whole number", "must be true or false"
_LIST, _OBJECT = "must be a list", "must be an object"
_DATE, _TIME = "must be a date, such as 2026-01-31", "must be a time, such as 2026-01-31T12:00:00Z"
_WORDS = {
    "missing": "is required",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "string_unicode": "must be text in Unicode",
    "string_too_short": "must have at least {characters}",
    "string_too_long": "must have at most {characters}",
    "too_short": "must have at least {items}",
    "too_long": "must have at most {items}",
    "json_invalid": "is not JSON: {error}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "none_required": "must be null",
    "timezone_aware": "must have an offset from UTC, such as 2026-01-31T12:00:00Z",
    **dict.fromkeys(("date_type", "date_parsing"), _DATE),
    **dict.fromkeys(("date_from_datetime_parsing", "date_from_datetime_inexact"), _DATE),
    **dict.fromkeys(("datetime_type", "datetime_parsing"), _TIME),
    **dict.fromkeys(("datetime_object_invalid", "datetime_from_date_parsing"), _TIME),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _SWITCH),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), _LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), _OBJECT),
}
# Parts of a request whose names are parameters; elsewhere they are fields.
_PARAMETERS = {"query", "path", "header", "cookie"}
# Patterns of this project's fields. A pattern itself would mean nothing to most people.
_PATTERNS = {
    r"^\d{2}:\d{2}:\d{2}[:;]\d{2}$": "must be a timecode, HH:MM:SS:FF or HH:MM:SS;FF",
    r"^[^\x00-\x1f\x7f]*$": "must not contain control characters",
    r"^[^\x00-\x1f\x7f]+$": "must not contain control characters",
    "^[^=]+=": "must be KEY=VALUE",
    "^[a-z][a-z0-9_-]{0,39}$": "must be the name of a class, in small letters",
    r"^https?://[A-Za-z0-9.*:-]+$": "must be a site without a path, such as https://example.com",
    r"^openid( [!#-\[\]-~]+)*$": "must be names of scopes with one space between them, openid first",
}
_CHOICE = re.compile(r"\^\(([a-z0-9_|-]+)\)\$")
_ID = re.compile(r"\^\[([A-Za-z0-9_-]+)\]\{1,(\d+)\}\$")
_LETTERS = {
    "A-Za-z0-9_-": "letters, digits, - or _",
    "A-Za-z0-9": "letters and digits",
    "a-z0-9": "small letters and digits",
}


def plain_reason(error: Mapping[str, Any]) -> str:
    """What is wrong, as the end of a sentence that begins with the name of the value; `error` is one of pydantic's."""
    kind, context, message = error["type"], error.get("ctx", {}), str(error["msg"])
    if kind == "extra_forbidden":
        return f"unknown {'parameter' if error['loc'][:1] and error['loc'][0] in _PARAMETERS else 'field'}"
    if kind == "string_pattern_mismatch":
        return _about_pattern(str(context.get("pattern", "")))
    if kind in ("value_error", "assertion_error"):
        return message.partition(" error, ")[2] or message
    if kind in _WORDS:
        return _WORDS[kind].format_map({**context, **_limits(context), **_lengths(context)})
    # "Input should be …" and "String should …".
    return re.sub(r"^[A-Z]\w+ should ", "must ", message)


def _limits(context: Mapping[str, Any]) -> dict[str, str]:
    """Limits without the decimals of a whole number: 1 for 1.0."""
    given = {name: context.get(name) for name in ("gt", "ge", "lt", "le")}
    return {
        name: str(int(limit)) if limit.is_integer() else repr(limit)
        for name, limit in given.items()
        if isinstance(limit, float)
    }


def _lengths(context: Mapping[str, Any]) -> dict[str, str]:
    length = context.get("min_length", context.get("max_length"))
    return {f"{noun}s": f"{length} {noun}{'' if length == 1 else 's'}" for noun in ("character", "item")}


def _about_pattern(pattern: str) -> str:
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if choice := _CHOICE.fullmatch(pattern):
        return f"must be one of {', '.join(choice[1].split('|'))}"
    if (one := _ID.fullmatch(pattern)) and one[1] in _LETTERS:
        return f"must be an id: at most {one[2]} {_LETTERS[one[1]]}"
    return f"must match {pattern}"
