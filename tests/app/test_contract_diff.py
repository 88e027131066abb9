"""Release 1 of /v1 stays valid: changes of the document that would break its clients fail here."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.openapi_diff import BASELINE, Comparison, current

RELEASE = json.loads(BASELINE.read_text(encoding="utf-8"))


def test_nothing_of_release_1_is_broken() -> None:
    assert list(Comparison(RELEASE, current()).breaks()) == []


def job(document: Any) -> Any:
    return document["components"]["schemas"]["JobBody"]


def options(document: Any) -> Any:
    return document["components"]["schemas"]["JobOptions"]["properties"]


def operation(document: Any, path: str = "/v1/jobs", method: str = "get") -> Any:
    return document["paths"][path][method]


def localize(document: Any) -> Any:
    return operation(document, "/v1/localize", "post")


def parameter(document: Any, name: str) -> Any:
    return next(one for one in operation(document)["parameters"] if one["name"] == name)


BREAKS: dict[str, Callable[[Any], Any]] = {
    "a path": lambda d: d["paths"].pop("/v1/jobs"),
    "a method": lambda d: d["paths"]["/v1/jobs/{job_id}"].pop("delete"),
    "an operation's name": lambda d: operation(d).update(operationId="findJobs"),
    "a parameter": lambda d: operation(d)["parameters"].clear(),
    "a required parameter": lambda d: operation(d)["parameters"].append(
        {"name": "tenant", "in": "query", "required": True, "schema": {"type": "string"}}
    ),
    "a parameter's type": lambda d: operation(d)["parameters"][-1].update(schema={"type": "integer"}),
    "a parameter's range": lambda d: next(p for p in operation(d)["parameters"] if p["name"] == "limit")[
        "schema"
    ].update(maximum=50),
    "a status": lambda d: operation(d)["responses"].pop("422"),
    "a media type of an answer": lambda d: operation(d, "/v1/jobs/{job_id}/result")["responses"]["200"][
        "content"
    ].pop("text/csv"),
    "a header of an answer": lambda d: localize(d)["responses"]["202"]["headers"].pop("Location"),
    "a field of an answer": lambda d: job(d)["properties"].pop("progress"),
    "a field that may be absent": lambda d: job(d)["required"].remove("progress"),
    "a field that may be null": lambda d: job(d)["properties"].update(
        model={"anyOf": [{"type": "string"}, {"type": "null"}]}
    ),
    "a field's type": lambda d: job(d)["properties"].update(attempt={"type": "string"}),
    "a new state": lambda d: d["components"]["schemas"]["JobState"]["enum"].append("paused"),
    "an option": lambda d: options(d).pop("threshold"),
    "an option's range": lambda d: options(d)["min_length"]["anyOf"][0].update(maximum=60),
    "an option that may not be null": lambda d: options(d).update(model={"type": "string", "maxLength": 128}),
    "an option that is required": lambda d: d["components"]["schemas"]["JobOptions"].update(
        required=["model"]
    ),
    "a word of an option": lambda d: d["components"]["schemas"]["Priority"]["enum"].remove("batch"),
    "a type of body": lambda d: localize(d)["requestBody"]["content"].pop("multipart/form-data"),
    "an open operation": lambda d: operation(d, "/healthz").update(security=[{"bearer": []}]),
}
KEEPS: dict[str, Callable[[Any], Any]] = {
    "a field of an answer": lambda d: job(d)["properties"].update(colour={"type": "string"}),
    "an option": lambda d: options(d).update(colour={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "a parameter": lambda d: operation(d)["parameters"].append(
        {"name": "colour", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "a path": lambda d: d["paths"].update({"/v1/colours": operation(d)}),
    "a wider range": lambda d: options(d)["min_length"]["anyOf"][0].update(maximum=7200),
    "a word of an option": lambda d: d["components"]["schemas"]["TimeRange"]["properties"].update(
        unit={"enum": ["s"]}
    ),
    "a description": lambda d: job(d).update(description="Another text"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_breaking_changes_are_found(name: str) -> None:
    changed = copy.deepcopy(RELEASE)
    BREAKS[name](changed)
    assert list(Comparison(RELEASE, changed).breaks())


@pytest.mark.parametrize("name", KEEPS)
def test_additions_are_allowed(name: str) -> None:
    changed = copy.deepcopy(RELEASE)
    KEEPS[name](changed)
    assert list(Comparison(RELEASE, changed).breaks()) == []
