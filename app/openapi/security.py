"""Documents API keys and the answers of the guards in front of every route."""

from __future__ import annotations

from typing import Any

from sentiloc.app.access.key_limits import KeyLimitReached, StorageQuotaExceeded
from sentiloc.app.access.problems import Forbidden, QuotaExceeded, RateLimited, Unauthorized
from sentiloc.app.access.request_rules import is_open, makes_jobs, makes_records
from sentiloc.app.http.origin_guard import CrossSite, UnknownHost
from sentiloc.app.http.problems import RedisUnavailable, documented

_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key made with `sentiloc keys create`",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}
_READING = frozenset({"get", "head", "options"})


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


HEADERS: dict[str, Any] = {
    "RequestId": _text("The id of the request: the client's own, or a new one"),
    "RetryAfter": _text("Seconds to wait"),
    "Challenge": _text("RFC 6750"),
    "RateLimit": _text('What is left of the limit, such as `"key";r=1199;t=1`; only with an API key'),
    "RateLimitPolicy": _text('The limit, such as `"key";q=1200;w=60`; only with an API key'),
}


def add_security(document: dict[str, Any], keys_required: bool) -> None:
    """Document API keys, and the answers 401, 403, 421 and 429 of the guards.

    Every operation states its security. On a server that needs no keys, they state that requests without a key are
    accepted, too.
    """
    components = document["components"]
    components["securitySchemes"] = _SCHEMES
    components["headers"] = {**components.get("headers", {}), **HEADERS}
    shown: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_public = is_open(path) or method == "options"
            operation["security"] = [] if is_public else shown if keys_required else [*shown, {}]
            _add_answers(operation["responses"], method, path, is_public=is_public)
            _add_headers(operation["responses"], is_public=is_public)


def _add_answers(responses: dict[str, Any], method: str, path: str, *, is_public: bool) -> None:
    problems = [UnknownHost] if method in _READING else [UnknownHost, CrossSite]
    if not is_public:
        problems += [Unauthorized, Forbidden, RateLimited, KeyLimitReached, RedisUnavailable]
        problems += [QuotaExceeded] if makes_jobs(method.upper(), path) else []
        stores = makes_records(method.upper(), path) or path == "/uploads/presign"
        problems += [StorageQuotaExceeded] if stores else []
    for status, answer in documented(*problems).items():
        known = responses.setdefault(str(status), answer)
        for kind, content in answer["content"].items():  # type: ignore[attr-defined]
            examples = known.setdefault("content", {}).setdefault(kind, content).setdefault("examples", {})
            for name, example in content["examples"].items():
                examples.setdefault(name, example)


def _add_headers(responses: dict[str, Any], *, is_public: bool) -> None:
    for status, answer in responses.items():
        found = {"X-Request-ID": "RequestId"}
        if not is_public and status not in ("401", "421"):
            found |= {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
        if status == "429":
            found["Retry-After"] = "RetryAfter"
        if status == "401":
            found["WWW-Authenticate"] = "Challenge"
        headers = answer.setdefault("headers", {})
        for name, component in found.items():
            headers.setdefault(name, {"$ref": f"#/components/headers/{component}"})
