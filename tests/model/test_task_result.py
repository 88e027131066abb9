"""Result documents of emotions and expressions: cut, stored, read, cut again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import make_timeline
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.schemas.tasks import (
    EXAMPLE_EMOTIONS,
    EXAMPLE_EXPRESSIONS,
    EmotionResultBody,
    ExpressionResultBody,
)
from sentiloc.model.errors import SentilocError
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import ModelIdentity, SegmentOptions
from sentiloc.model.results.task_result import (
    EmotionResult,
    ExpressionResult,
    cut_emotions,
    cut_expressions,
    make_series,
    parse_any,
    recut_any,
)
from sentiloc.model.segments import VideoInfo
from tests.model.test_result import with_later_fields

VIDEO = VideoInfo(duration=20.0, fps=30.0, width=64, height=48, has_audio=True)
SHARED: dict[str, Any] = {
    "video": VIDEO,
    "faces_seen": 3,
    "model": ModelIdentity(name="m", version="1", spec_hash="0" * 16, device="cpu"),
    "timings": {"localizing": 0.1},
    "calibration": Calibration(),
}


def as_json(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


def emotions(options: SegmentOptions) -> EmotionResult:
    attention = np.zeros(20)
    attention[[4, 5, 6, 7, 13, 14, 15]] = 1.0
    joy = np.where(np.arange(20) < 10, 0.9, 0.2)
    columns = {"attention_visual": attention, "attention_audio": attention, "joy": joy, "fear": 1 - joy}
    curve = make_series(columns, 1.0)
    probabilities = {"joy": 0.9, "fear": 0.1}
    segments = cut_emotions(curve, probabilities, 20.0, Calibration(), options)
    return EmotionResult(
        **SHARED, segments=segments, curve=curve, options=options, probabilities=probabilities
    )


def expressions(options: SegmentOptions) -> ExpressionResult:
    frames = np.arange(600.0)
    intensity = 0.9 * np.exp(-((frames - 100) ** 2) / 200) + 0.8 * np.exp(-((frames - 400) ** 2) / 18)
    columns = {"intensity": intensity, "macro": 1.0 * (frames < 250), "micro": 1.0 * (frames >= 250)}
    curve = make_series(columns, 1 / 30)
    segments = cut_expressions(curve, ("macro", "micro"), 20.0, Calibration(), options)
    return ExpressionResult(
        **SHARED, segments=segments, curve=curve, options=options, classes=("macro", "micro")
    )


EMOTION_OPTIONS = SegmentOptions(threshold=0.1, labels=("joy", "fear"))
EXPRESSION_OPTIONS = SegmentOptions(threshold=0.3, min_length=0.1, merge_gap=0.0, labels=("macro", "micro"))


def test_emotions_follow_attention_with_their_own_labels() -> None:
    found = emotions(EMOTION_OPTIONS)
    assert [segment.label for segment in found.segments] == ["joy", "fear"]
    assert found.segments[0].start <= 4.5 <= found.segments[0].peak <= 7.5 <= found.segments[0].end
    assert found.to_dict()["emotion"] == {"label": "joy", "confidence": 0.9}
    assert [s.label for s in found.recut(replace(EMOTION_OPTIONS, labels=("fear",))).segments] == ["fear"]
    assert found.recut(replace(EMOTION_OPTIONS, threshold=1.0)).segments == ()


def test_expressions_have_onset_apex_and_offset_in_seconds() -> None:
    found = expressions(EXPRESSION_OPTIONS)
    document = found.to_dict()["expressions"]
    assert [row["label"] for row in document] == ["macro", "micro"]
    assert document[0]["apex"] == pytest.approx(100.5 / 30, abs=1e-6)
    assert document[1]["apex"] == pytest.approx(400.5 / 30, abs=1e-6)
    assert all(row["onset"] < row["apex"] < row["offset"] for row in document)
    assert document[1]["offset"] - document[1]["onset"] < 0.5


def test_a_stored_document_is_read_again_and_cut_to_the_same() -> None:
    for found in (emotions(EMOTION_OPTIONS), expressions(EXPRESSION_OPTIONS)):
        stored = as_json(found.to_dict())
        again = parse_any(stored)
        assert as_json(again.to_dict()) == stored
        sharper = replace(found.options, threshold=0.99)
        assert recut_any(recut_any(again, sharper), found.options).segments == found.segments


def test_fields_of_a_later_version_are_left_out() -> None:
    for found in (emotions(EMOTION_OPTIONS), expressions(EXPRESSION_OPTIONS)):
        stored = as_json(found.to_dict())
        assert as_json(parse_any(with_later_fields(stored)).to_dict()) == stored


def test_the_documents_are_those_of_the_contract() -> None:
    EmotionResultBody.model_validate(as_json(emotions(EMOTION_OPTIONS).to_dict()))
    ExpressionResultBody.model_validate(as_json(expressions(EXPRESSION_OPTIONS).to_dict()))
    assert as_json(parse_any(EXAMPLE_EMOTIONS).to_dict()) == EXAMPLE_EMOTIONS
    assert as_json(parse_any(EXAMPLE_EXPRESSIONS).to_dict()) == EXAMPLE_EXPRESSIONS
    for broken in ({"task": "smell"}, {**EXAMPLE_EMOTIONS, "curve": {}}, {"task": "expression"}):
        with pytest.raises(SentilocError):
            parse_any(broken)


LARGE = 10**400
WRONG: tuple[Any, ...] = (
    LARGE,
    -LARGE,
    float("nan"),
    float("inf"),
    None,
    "x",
    [],
    {},
    True,
    -1,
    [[1]],
    {"a": 1},
)


@pytest.mark.parametrize("example", [EXAMPLE_RESULT, EXAMPLE_EMOTIONS, EXAMPLE_EXPRESSIONS])
def test_any_wrong_value_is_read_or_refused(example: dict[str, Any]) -> None:
    for place in places(example):
        for wrong in WRONG:
            with suppress(SentilocError):
                parse_any(replaced(example, place, wrong))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value in a document; of lists, of the first two."""
    yield at
    rows = list(enumerate(value[:2])) if isinstance(value, list) else []
    for name, part in value.items() if isinstance(value, dict) else rows:
        yield from places(part, (*at, name))


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    copy = value.copy()
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_emotions_and_expressions(name: str) -> None:
    for found, label in ((emotions(EMOTION_OPTIONS), "fear"), (expressions(EXPRESSION_OPTIONS), "micro")):
        text = FORMATS[name].render(make_timeline("a.mp4", VIDEO, found.segments, kind=found.task))
        assert label in text.lower()
        assert "sentiment" not in text.lower()
