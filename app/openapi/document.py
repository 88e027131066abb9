"""Completes the OpenAPI document that FastAPI generates: problems, examples and API keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from sentiloc.app.access.guard import (
    FORBIDDEN,
    QUOTA_EXCEEDED,
    RATE_LIMITED,
    UNAUTHORIZED,
    is_open,
    makes_jobs,
)
from sentiloc.app.http.problems import NO_REDIS_DETAIL, Problem, ProblemCode, documented
from sentiloc.app.jobs.feedback import Feedback
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.request import LocalizeRequest
from sentiloc.app.schemas.health import HealthBody, ReadyBody
from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED, JobBody, JobListBody
from sentiloc.app.schemas.results import ResultBody


def _as_asked(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of what a client sends, in which what has a default may be left out."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


def complete_openapi(app: FastAPI, keys_required: bool = False) -> None:
    """Add the problem schema, drop FastAPI's own error schemas, restore the nulls that it cuts from examples."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = Problem.model_json_schema()
        for asked in (Feedback, JobOptions, LocalizeRequest):
            schemas[asked.__name__] = _as_asked(asked)
        for model in (HealthBody, JobBody, JobListBody, ReadyBody, ResultBody):
            schemas[model.__name__]["examples"] = model.model_json_schema()["examples"]
        accepted = document["paths"]["/localize"]["post"]["responses"]["202"]
        accepted["content"]["application/json"]["example"] = EXAMPLE_QUEUED
        add_security(document, keys_required)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of `sentiloc keys create`"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}
_NO_REDIS = (503, ProblemCode.REDIS_UNAVAILABLE, NO_REDIS_DETAIL)
_RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "string"}}
_CHALLENGE = {"description": "RFC 6750", "schema": {"type": "string"}}


def add_security(document: dict[str, Any], keys_required: bool) -> None:
    """Document the keys, and on every closed operation the answers of who shows none, or too few rights.

    `security` itself is stated where this server asks for keys.
    """
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        if is_open(path):
            continue
        for method, operation in operations.items():
            if method == "options":
                continue
            _add_answers(operation["responses"], makes_jobs(method.upper(), path))
            if keys_required:
                operation["security"] = [{name: []} for name in _SCHEMES]


def _add_answers(responses: dict[str, Any], with_quota: bool) -> None:
    refused = (RATE_LIMITED, QUOTA_EXCEEDED) if with_quota else (RATE_LIMITED,)
    for status, answer in documented(UNAUTHORIZED, FORBIDDEN, *refused, _NO_REDIS).items():
        responses.setdefault(str(status), answer)
    responses["401"]["headers"] = {"WWW-Authenticate": _CHALLENGE}
    responses["429"]["headers"] = {"Retry-After": _RETRY_AFTER}
