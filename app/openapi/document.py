"""Completes the OpenAPI document that FastAPI generates. The document describes `/v1`, release 1 of the API."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from sentiloc.app.batches.request import BatchItem, BatchRequest, BatchWebhook
from sentiloc.app.http.address import VERSION_PATH, is_versioned
from sentiloc.app.http.problems import Problem
from sentiloc.app.jobs.changes import JobChanges
from sentiloc.app.jobs.feedback import Feedback
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.request import UploadRequest, UrlRequest
from sentiloc.app.jobs.rerun import RerunRequest
from sentiloc.app.openapi.links import add_links
from sentiloc.app.openapi.schemas import (
    own_examples,
    reachable,
    references,
    request_schemas,
    tidy,
    tidy_parameter,
)
from sentiloc.app.openapi.security import add_security
from sentiloc.app.routes.account.hooks import WebhookChanges, WebhookRequest
from sentiloc.app.routes.account.keys import KeyRequest
from sentiloc.app.routes.uploads.presign import PresignRequest
from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from sentiloc.app.schemas.reels import CutRequest, ReelRequest

REQUESTS: tuple[type[BaseModel], ...] = (
    *(JobOptions, Feedback, UrlRequest, UploadRequest, PresignRequest),
    *(KeyRequest, WebhookRequest, WebhookChanges),
    *(BatchItem, BatchRequest, BatchWebhook, JobChanges, RerunRequest),
    *(CutRequest, ReelRequest),
)
"""Bodies of requests that routes parse themselves."""
TAGS = {
    "jobs": "Create a job from a video, follow it, list, cancel and delete jobs.",
    "batches": "Many videos in one request: progress, results and exports of all of them together.",
    "results": "What a finished job holds: segments in every format, scores, pictures, the video.",
    "reels": "The best moments of several videos: found, cut for editing programs, rendered.",
    "feedback": "Correct results, and export the corrections as training data.",
    "uploads": "Resumable uploads (tus 1.0.0), and uploads that go directly to the object store.",
    "account": "API keys, and what each of them has used.",
    "webhooks": "Webhooks that are registered for a key, and their deliveries when jobs end.",
    "service": "The service itself: limits, models, the caller's key, health and metrics.",
}
_PARTIAL_ROOTS = {"ResultBody", "EmotionResultBody", "ExpressionResultBody", "CurveBody", "SeriesCurveBody"}
_INFO = {
    "contact": {"name": "Sentiloc", "url": "https://github.com/sentiloc/sentiloc"},
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}


def complete_openapi(app: FastAPI, keys_required: bool = False) -> None:
    """Replace the document of `app` by a complete one: versioned paths, problems, keys, and schemas for generators."""
    generate = app.openapi
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        # Made at the first request: it takes half a second, which starts need not wait for.
        if not made:
            made.update(_completed(generate(), keys_required))
        return made

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any], keys_required: bool) -> dict[str, Any]:
    document["info"] |= _INFO
    document["servers"] = [{"url": "/", "description": "This server"}]
    used = {tag for operation in _operations(document) for tag in operation["tags"]}
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    _complete_schemas(document)
    accepted = document["paths"]["/localize"]["post"]["responses"]["202"]
    accepted["content"]["application/json"]["example"] = EXAMPLE_QUEUED
    add_security(document, keys_required)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete_parameters(path, operation)
    add_links(document)
    document["paths"] = {
        VERSION_PATH + path if is_versioned(path) else path: operations
        for path, operations in document["paths"].items()
    }
    return document


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for operations in document["paths"].values() for operation in operations.values()]


def _complete_schemas(document: dict[str, Any]) -> None:
    """Add the schemas of problems and requests; restore the nulls that FastAPI cuts from examples."""
    schemas = document["components"]["schemas"]
    for operation in _operations(document):
        if "HTTPValidationError" in references(operation["responses"].get("422", {})):
            del operation["responses"]["422"]
    asked: set[str] = set()
    for model in REQUESTS:
        found = request_schemas(model)
        schemas |= found
        asked |= set(found)
    schemas["Problem"] = Problem.model_json_schema()
    for name, examples in own_examples().items():
        if name in schemas:
            schemas[name]["examples"] = examples
    # Results may come from an earlier release with fewer fields; problems may come from a proxy.
    partial = asked | reachable(schemas, _PARTIAL_ROOTS) | {"Problem"}
    for name, schema in schemas.items():
        if name not in partial and "properties" in schema:
            schema["required"] = list(schema["properties"])
        tidy(schema)
    # Drops schemas that only the deleted 422 answers referred to.
    kept = reachable(schemas, references(document["paths"]))
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(kept)}


def _complete_parameters(path: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        tidy_parameter(parameter)
    # FastAPI puts the parameters of dependencies last, but clients expect them in the order of the path.
    operation.get("parameters", []).sort(key=lambda one: _position(path, one))


def _position(path: str, parameter: dict[str, Any]) -> int:
    place = path.find(f"{{{parameter['name']}}}")
    return place if parameter["in"] == "path" else len(path)
