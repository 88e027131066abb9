"""What the OpenAPI document says about API keys: the same for every operation, so it is added in one place."""

from __future__ import annotations

from typing import Any

from sentiloc.app.access.guard import (
    FORBIDDEN,
    QUOTA_EXCEEDED,
    RATE_LIMITED,
    UNAUTHORIZED,
    is_open,
    makes_jobs,
)
from sentiloc.app.http.problems import NO_REDIS_DETAIL, ProblemCode, documented

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
