"""Wrong values are explained in plain words, without those of the library that finds them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from sentiloc.app.http.problems import InvalidRequest
from sentiloc.app.jobs.options import parse_options
from sentiloc.app.main import create_app
from sentiloc.app.reasons import plain_reason
from sentiloc.app.settings import Settings, get_settings
from sentiloc.model.errors import ErrorCode, SentilocError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"threshold": 2}', "threshold: must be at most 1"),
        ('{"min_length": -0.5}', "min_length: must be at least 0"),
        ('{"time_range": {"end": 0}}', "time_range.end: must be greater than 0"),
        ('{"time_range": {"start": 5, "end": 2}}', "time_range: end must be after start"),
        ('{"treshold": 1}', "treshold: unknown field"),
        ('{"threshold": "x"}', "threshold: must be a number"),
        ('{"audio_track": 1.5}', "audio_track: must be a whole number"),
        ('{"tags": "x"}', "tags: must be a list"),
        ('{"tags": [""]}', "tags.0: must have at least 1 character"),
        ('{"time_range": 3}', "time_range: must be an object"),
        ('{"quality": "best"}', "quality: must be 'full' or 'draft'"),
        ('{"labels": ["No!"]}', "labels.0: must be the name of a class, in small letters"),
        ('{"webhook": {}}', "webhook.url: is required"),
        ('{"model": 3}', "model: must be text"),
        ('{"metadata": {"a": [1e999]}}', "metadata: must have finite numbers only"),
    ],
)
def test_a_wrong_option(text: str, expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_options(text)
    assert InvalidRequest.of(raised.value.errors()).detail == expected
    assert InvalidRequest.of(raised.value.errors(), "options").detail == f"options.{expected}"


def test_only_the_first_wrong_values_are_named() -> None:
    with pytest.raises(ValidationError) as few:
        parse_options(json.dumps(dict.fromkeys(map(str, range(12)))))
    detail = InvalidRequest.of_body(few.value, "options").detail
    assert detail.startswith("options.0: unknown field; ") and detail.endswith("; and 2 more")
    with pytest.raises(ValidationError) as many:
        parse_options(json.dumps(dict.fromkeys(map(str, range(2000)))))
    assert InvalidRequest.of_body(many.value, "options").detail == "options: 2000 values are wrong"


def about(kind: str, message: str = "Input should be odd", place: str = "query", **context: object) -> str:
    return plain_reason({"type": kind, "loc": (place, "name"), "msg": message, "ctx": context})


def test_parameters_patterns_and_all_else() -> None:
    assert about("extra_forbidden") == "unknown parameter"
    assert about("extra_forbidden", place="body") == "unknown field"
    assert about("string_pattern_mismatch", pattern="^(json|csv)$") == "must be one of json, csv"
    assert about("string_pattern_mismatch", pattern="^[A-Za-z0-9_-]{1,64}$").startswith(
        "must be an id: at most 64"
    )
    assert about("string_pattern_mismatch", pattern="^x+$") == "must match ^x+$"
    assert about("value_error", "Value error, has 3 tags") == "has 3 tags"
    assert about("of_next_year") == "must be odd"
    assert about("less_than_equal", le=0.25) == "must be at most 0.25"
    assert about("less_than_equal", le=2_592_000.0) == "must be at most 2592000"
    assert about("greater_than_equal", ge=date(1970, 1, 1)) == "must be at least 1970-01-01"
    assert about("too_long", max_length=1) == "must have at most 1 item"
    assert about("too_long", max_length=2) == "must have at most 2 items"


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        ("^[A-Za-z0-9_-]{1,64}$", "letters, digits, - or _"),
        ("^[A-Za-z0-9]{1,64}$", "letters and digits"),
        ("^[a-z0-9]{1,64}$", "small letters and digits"),
    ],
)
def test_the_letters_of_an_id(pattern: str, letters: str) -> None:
    assert about("string_pattern_mismatch", pattern=pattern) == f"must be an id: at most 64 {letters}"


def patterns(schema: object) -> set[str]:
    """All patterns in a JSON schema."""
    if isinstance(schema, list):
        return {pattern for part in schema for pattern in patterns(part)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
    return own | patterns(list(schema.values()))


def test_every_pattern_has_words() -> None:
    document = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()
    found = patterns([document, Settings.model_json_schema()])
    assert "^[a-z0-9]{1,64}$" in found and "^[A-Za-z0-9]{1,64}$" in found
    shown = [about("string_pattern_mismatch", pattern=pattern) for pattern in found]
    assert [words for words in shown if words.startswith("must match")] == []


class Kinds(BaseModel):
    day: date = date(2026, 1, 31)
    at: AwareDatetime = datetime(2026, 1, 31, tzinfo=UTC)
    names: frozenset[str] = frozenset()
    title: str = Field("", max_length=9)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("day", "2026-01-31T12:00:00Z", "must be a date, such as 2026-01-31"),
        ("day", "31.1.2026", "must be a date, such as 2026-01-31"),
        ("day", [], "must be a date, such as 2026-01-31"),
        ("at", "2026-01-31T12:00:00", "must have an offset from UTC, such as 2026-01-31T12:00:00Z"),
        ("at", "2026-01-31T25:00:00Z", "must be a time, such as 2026-01-31T12:00:00Z"),
        ("at", "today", "must be a time, such as 2026-01-31T12:00:00Z"),
        ("at", [], "must be a time, such as 2026-01-31T12:00:00Z"),
        ("names", "x", "must be a list"),
        ("title", "\ud800", "must be text in Unicode"),
    ],
)
def test_dates_times_sets_and_texts(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Kinds.model_validate({name: value})
    (error,) = raised.value.errors()
    assert plain_reason(error) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEVICE", "gpu", "SENTILOC_DEVICE: must be 'cpu', 'openvino', 'cuda' or 'tensorrt'"),
        ("PORT", "http", "SENTILOC_PORT: must be a whole number"),
        ("OUTBOUND_ALLOW", "x", 'SENTILOC_OUTBOUND_ALLOW: must be a list in JSON, such as ["one", "two"]'),
        ("OIDC_SCOPES", "x", "SENTILOC_OIDC_SCOPES: must be an object in JSON"),
        ("REDIS_TIMEOUT_SECONDS", "inf", "SENTILOC_REDIS_TIMEOUT_SECONDS: must be a finite number"),
        ("KEEP_UPLOADS_SECONDS", "1e308", "SENTILOC_KEEP_UPLOADS_SECONDS: must be at most 1000000000"),
        ("MAX_FRAMES", "9" * 20, "SENTILOC_MAX_FRAMES: must be at most 9007199254740992"),
        ("MAX_FRAME_PIXELS", "9999999999", "SENTILOC_MAX_FRAME_PIXELS: must be at most 2147483647"),
        ("CORS_ORIGINS", '["a", 1]', "SENTILOC_CORS_ORIGINS.1: must be text"),
        (
            "ROOT_PATH",
            "sentiloc/",
            "SENTILOC_ROOT_PATH: must be a path such as /sentiloc, encoded as in a URL, without / at its end",
        ),
        (
            "STALL_SECONDS",
            "99999",
            "SENTILOC_STALL_SECONDS is 99999; it must not be greater than SENTILOC_STALL_BUSY_SECONDS, which is 40",
        ),
    ],
)
def test_a_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"SENTILOC_{name}", value)
    get_settings.cache_clear()
    with pytest.raises(SentilocError) as raised:
        get_settings()
    get_settings.cache_clear()
    assert raised.value.code is ErrorCode.INVALID_DATA
    assert raised.value.detail == f"bad settings: {expected}"
