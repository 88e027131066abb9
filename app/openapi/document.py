"""Completes the OpenAPI document that FastAPI makes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from sentiloc.app.http.problems import Problem
from sentiloc.app.jobs.feedback import Feedback
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.request import LocalizeRequest
from sentiloc.app.openapi.security import add_security
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
