"""Wrong values are explained in plain words, without those of the library that finds them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sentiloc.app.http.problems import InvalidRequest
from sentiloc.app.jobs.options import parse_options
from sentiloc.app.reasons import plain_reason
from sentiloc.app.settings import get_settings
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
        ('{"tags": [""]}', "tags.0: must have at least 1 characters"),
        ('{"time_range": 3}', "time_range: must be an object"),
        ('{"quality": "best"}', "quality: must be 'full' or 'draft'"),
        ('{"labels": ["No!"]}', "labels.0: must be the name of a class, in small letters"),
        ('{"webhook": {}}', "webhook.url: is required"),
        ('{"model": 3}', "model: must be text"),
    ],
)
def test_a_wrong_option(text: str, expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_options(text)
    assert InvalidRequest.of(raised.value.errors()).detail == expected
    assert InvalidRequest.of(raised.value.errors(), "options").detail == f"options.{expected}"


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


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEVICE", "gpu", "SENTILOC_DEVICE: must be 'cpu', 'openvino', 'cuda' or 'tensorrt'"),
        ("PORT", "http", "SENTILOC_PORT: must be a whole number"),
        ("OUTBOUND_ALLOW", "x", "SENTILOC_OUTBOUND_ALLOW: is not JSON"),
        ("STALL_SECONDS", "99999", "stall_seconds must not be greater than stall_busy_seconds"),
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
