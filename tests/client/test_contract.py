"""The client's dataclasses, states and codes are those of the service's own OpenAPI document."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from sentiloc.app.http.problems import ProblemCode
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.client import account, batches, errors, models, reels, results, service
from sentiloc.client.decoding import decode, encode
from sentiloc.model.errors import ErrorCode

DOCUMENT = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
KINDS: dict[str, type] = {
    "AudioTrackBody": results.AudioTrack,
    "BatchCountsBody": batches.BatchCounts,
    "BatchItem": batches.BatchItem,
    "BatchListBody": batches.BatchPage,
    "ClipRequest": reels.Clip,
    "ComparedSegment": models.ComparedSegment,
    "DayBody": batches.DayOfUse,
    "DeletedBody": batches.Deleted,
    "DiffBody": models.Difference,
    "LabelCorrectedBody": models.LabelCorrected,
    "LabelFoundBody": models.LabelFound,
    "LabelTotalBody": batches.LabelTotal,
    "MatchBody": models.SegmentMatch,
    "SummaryBody": batches.Summary,
    "CorrectedBody": models.Corrected,
    "WaitingBody": models.Waiting,
    "WarningBody": results.ResultWarning,
    "KeyBody": account.OwnKey,
    "NewKeyBody": account.ApiKey,
    "NewWebhookBody": account.RegisteredWebhook,
    "SentEvent": account.SentEvent,
    "CalibrationBody": results.Calibration,
    "CorrectPoint": models.FeedbackPoint,
    "CorrectSegment": models.FeedbackSegment,
    "CurveBody": results.Curve,
    "CutBody": reels.HighlightCut,
    "HighlightBody": reels.Highlight,
    "HighlightsBody": reels.Highlights,
    "ReelBody": reels.Reel,
    "EvidenceBody": results.Evidence,
    "DeliveryBody": models.Delivery,
    "Failure": models.Failure,
    "Feedback": models.Feedback,
    "FeedbackList": models.FeedbackList,
    "FormatBody": service.ResultFormat,
    "InstalledModel": service.InstalledModel,
    "JobBody": models.Job,
    "JobListBody": models.JobPage,
    "JobOptions": models.JobOptions,
    "KeptFeedback": models.KeptFeedback,
    "LimitsBody": service.Limits,
    "Links": models.Links,
    "ModelBody": results.ResultModel,
    "OptionsBody": results.CutWith,
    "PresignBody": models.PresignedForm,
    "ReadyBody": service.Readiness,
    "ResultBody": results.Result,
    "SegmentBody": results.Segment,
    "SoundBody": results.Sound,
    "Source": models.Source,
    "TimeRange": models.TimeRange,
    "VideoBody": results.Video,
    "Webhook": models.Webhook,
    "WebhookLog": models.WebhookLog,
    "WithoutBody": results.Without,
    "WorkerBody": service.Worker,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_field_is_known(name: str) -> None:
    assert {field.name for field in fields(KINDS[name])} == set(SCHEMAS[name]["properties"])


@pytest.mark.parametrize("name", KINDS)
def test_fields_may_be_absent_or_null_where_the_document_says_so(name: str) -> None:
    required, types_of = SCHEMAS[name].get("required", []), get_type_hints(KINDS[name])
    for field in fields(KINDS[name]):
        schema = SCHEMAS[name]["properties"][field.name]
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        assert has_default or field.name in required, field.name
        assert allows_none(types_of[field.name]) or not nullable(schema), field.name


@pytest.mark.parametrize("name", KINDS)
def test_closed_sets_of_words_are_the_documents(name: str) -> None:
    for field, kind in get_type_hints(KINDS[name]).items():
        known = set(words(kind))
        if known:
            assert known == set(enums(SCHEMAS[name]["properties"][field])), field


@pytest.mark.parametrize("name", KINDS)
def test_the_documents_examples_are_read(name: str) -> None:
    for example in SCHEMAS[name].get("examples", []):
        read: Any = decode(KINDS[name], json.loads(json.dumps(example)))
        assert decode(KINDS[name], {**example, "added_later": 1}) == read


def test_every_state_and_its_end() -> None:
    assert [state.value for state in models.JobState] == SCHEMAS["JobState"]["enum"]
    named = set(SCHEMAS["JobBody"]["properties"]["state"]["description"].split("`")[1::2])
    assert named == {state.value for state in models.JobState if state.is_terminal}


def test_every_error_code() -> None:
    assert {code.value for code in errors.Code} == {*ProblemCode, *ErrorCode}
    assert set(SCHEMAS["Problem"]["properties"]["code"]["examples"]) == {code.value for code in errors.Code}
    shown = {code for answer in problem_answers() for code in answer["examples"]}
    assert shown <= {code.value for code in errors.Code}


def test_every_documented_status_has_a_class() -> None:
    statuses = {int(s) for p in DOCUMENT["paths"].values() for o in p.values() for s in o["responses"]}
    plain = {s for s in statuses if s >= 400 and type(errors.api_error(s, "c", "t", "d")) is errors.ApiError}
    # Conflicts, three of them of resumable uploads; a bad range; an unknown host name.
    assert plain <= {409, 412, 416, 421, 423, 460}


def test_what_is_sent_is_what_was_meant() -> None:
    options = models.JobOptions(threshold=0.5, labels=("positive",), metadata={"reel": 3})
    assert encode(options) == {
        **{"threshold": 0.5, "labels": ["positive"]},
        **{"priority": "interactive", "metadata": {"reel": 3}},
    }
    assert decode(models.JobOptions, encode(options)) == options


@pytest.mark.parametrize(
    "raw",
    [
        *([], None, "job", {}, {"start": 1}),
        *({"start": "1", "end": 2, "label": "positive"}, {"start": 1, "end": True, "label": "positive"}),
        {"start": 1, "end": 2, "label": "neutral"},
    ],
)
def test_another_answer_is_refused(raw: Any) -> None:
    with pytest.raises(errors.UnexpectedAnswerError):
        decode(models.FeedbackSegment, raw)


def allows_none(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


def nullable(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", [])


def words(kind: Any) -> Iterator[str]:
    """The members of every Literal and Enum in a type."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (member.value for member in kind)
    else:
        for argument in get_args(kind):
            yield from words(argument)


def enums(schema: Any) -> Iterator[str]:
    """The words of every `enum` and `const` in a schema, references followed."""
    if isinstance(schema, list):
        for item in schema:
            yield from enums(item)
    elif isinstance(schema, dict):
        yield from schema.get("enum", [])
        if "const" in schema:
            yield schema["const"]
        if "$ref" in schema:
            yield from enums(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        for key in ("anyOf", "allOf", "oneOf", "items", "additionalProperties", "propertyNames"):
            yield from enums(schema.get(key))


def problem_answers() -> Iterator[dict[str, Any]]:
    """Every documented `application/problem+json`."""
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                if "application/problem+json" in content:
                    yield content["application/problem+json"]
