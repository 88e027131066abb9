"""Completes the OpenAPI document that FastAPI generates: problems, examples and API keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from sentiloc.app.access.guard import (
    Forbidden,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    is_open,
    makes_jobs,
)
from sentiloc.app.access.key_limits import KeyLimitReached
from sentiloc.app.http.problems import Problem, RedisUnavailable, documented
from sentiloc.app.jobs.feedback import Feedback
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.request import LocalizeRequest
from sentiloc.app.schemas.health import HealthBody, ReadyBody
from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED, JobBody, JobListBody
from sentiloc.app.schemas.results import ResultBody


def _request_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a request body, in which fields with a default are optional."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


def complete_openapi(app: FastAPI, keys_required: bool = False) -> None:
    """Add the problem schema, drop FastAPI's error schemas, and restore the nulls that it cuts from examples."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = Problem.model_json_schema()
        for asked in (Feedback, JobOptions, LocalizeRequest):
            schemas[asked.__name__] = _request_schema(asked)
        for model in (HealthBody, JobBody, JobListBody, ReadyBody, ResultBody):
            schemas[model.__name__]["examples"] = model.model_json_schema()["examples"]
        accepted = document["paths"]["/localize"]["post"]["responses"]["202"]
        accepted["content"]["application/json"]["example"] = EXAMPLE_QUEUED
        add_security(document, keys_required)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                # FastAPI puts the parameters of dependencies last; clients expect the order of the path.
                operation.get("parameters", []).sort(key=lambda one: _position(path, one))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key made with `sentiloc keys create`",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}
_RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "string"}}
_CHALLENGE = {"description": "RFC 6750", "schema": {"type": "string"}}


def _position(path: str, parameter: dict[str, Any]) -> int:
    place = path.find(f"{{{parameter['name']}}}")
    return place if parameter["in"] == "path" else len(path)


def add_security(document: dict[str, Any], keys_required: bool) -> None:
    """Document API keys and, on every protected operation, the answers 401, 403 and 429.

    The operations get `security` only on a server that needs keys.
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
    refused = (RateLimited, KeyLimitReached, *((QuotaExceeded,) if with_quota else ()))
    for status, answer in documented(Unauthorized, Forbidden, *refused, RedisUnavailable).items():
        responses.setdefault(str(status), answer)
    responses["401"]["headers"] = {"WWW-Authenticate": _CHALLENGE}
    responses["429"]["headers"] = {"Retry-After": _RETRY_AFTER}
