"""Every operation gets valid and invalid requests by its own document: each answer is documented.

A longer test with a third-party tool is `tests/proofs/schemathesis.sh`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Request, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from tests.app.asking import finish, upload
from tests.support.services import PrivateRedis

DOCUMENT: dict[str, Any] = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (method, path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if method != "parameters"
]
# Statuses that every path may answer in addition to its own: docs/api.md.
ANYWHERE = {"400", "405", "408", "503"}
EXAMPLES = 8

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just([]),
    st.just({}),
)


@pytest.fixture(scope="module")
def server(redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chosen = Settings(
        allowed_hosts=["*"],
        redis_url=redis_server.url,
        redis_prefix=f"t{secrets.token_hex(4)}:",
        data_dir=tmp_path_factory.mktemp("data"),
        max_upload_bytes=10_000,
    )
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client, connect(chosen) as redis:
        yield Server(client, JobStore(redis, chosen.redis_prefix), chosen)


class Server:
    """The application, with jobs in every final state."""

    def __init__(self, client: TestClient, store: JobStore, chosen: Settings) -> None:
        self.client, self._store, self._settings = client, store, chosen

    def job(self, ending: str) -> str:
        made = str(upload(self.client).json()["id"])
        if ending == "cancelled":
            self.client.post(f"/jobs/{made}/cancel")
        elif ending == "succeeded":
            finish(self._store, made, self._settings, json.dumps(EXAMPLE_RESULT).encode())
        return made

    def batch(self) -> str:
        items = [{"url": "https://media.example/a.mp4"}]
        made = self.client.post("/batches", json={"items": items}).json()
        finish(self._store, made["job_ids"][0], self._settings, json.dumps(EXAMPLE_RESULT).encode())
        return str(made["id"])

    def upload(self) -> str:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
        return str(self.client.post("/uploads", headers=headers).headers["location"].rpartition("/")[2])


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: value)
def test_an_answer_is_one_that_is_documented(server: Server, method: str, path: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        operation = DOCUMENT["paths"][path][method]
        asked = request(server, path, operation, data)
        check(operation, server.client.request(method, follow_redirects=False, **asked))

    ask()


def request(server: Server, path: str, operation: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """A request: sometimes valid by the document, sometimes not."""
    found: dict[str, Any] = {"url": path, "params": {}, "headers": {}}
    for parameter in operation.get("parameters", ()):
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            found["url"] = found["url"].replace(f"{{{name}}}", path_value(server, name, data))
        elif parameter.get("required") or data.draw(st.booleans()):
            value = data.draw(st.one_of(schema(parameter["schema"]), WORDS))
            kept = found["headers" if place == "header" else "params"]
            if value is not None and value != []:
                kept[name] = header(name, value, data) if place == "header" else value
    for kind in data.draw(st.permutations(sorted(operation.get("requestBody", {}).get("content", {}))))[:1]:
        body = operation["requestBody"]["content"][kind]["schema"]
        if kind == "application/json":
            found["json"] = data.draw(st.one_of(schema(body), JUNK))
        elif kind == "multipart/form-data":
            options = data.draw(st.one_of(schema(SCHEMAS["JobOptions"]).map(json.dumps), WORDS))
            found |= {
                "files": {"video": ("a.mp4", data.draw(st.binary(max_size=99)))},
                "data": {"options": options},
            }
        else:
            found["content"] = data.draw(st.binary(max_size=12))
            found["headers"]["Content-Type"] = data.draw(st.sampled_from([kind, kind, kind, "text/plain"]))
    return found


def path_value(server: Server, name: str, data: st.DataObject) -> str:
    if name == "n":
        return data.draw(st.sampled_from(["0", "1", "99", "-1", "x"]))
    if name == "upload_id":
        return (
            server.upload()
            if data.draw(st.booleans())
            else data.draw(st.sampled_from(["nothing", "a b", "é"]))
        )
    if name == "batch_id" and data.draw(st.booleans()):
        return server.batch()
    ending = data.draw(st.sampled_from(["succeeded", "cancelled", "nobody", "a b", "%00"]))
    return server.job(ending) if ending in ("succeeded", "cancelled") else ending


def header(name: str, value: Any, data: st.DataObject) -> str:
    """A header, in most cases one of tus; with others, requests would be refused early."""
    known = {
        "Tus-Resumable": ["1.0.0"],
        "Upload-Length": ["0", "9", "99999999", "-1"],
        "Upload-Offset": ["0", "5"],
        "Upload-Defer-Length": ["1", "2"],
        "Upload-Metadata": ["filename YS5tcDQ=", "localize e30=,filename", "filename ="],
        "Upload-Checksum": ["sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "md5 AA=="],
    }
    text = str(value).encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "")
    return data.draw(st.sampled_from([*known.get(name, []) * 2, text.strip()]))


def schema(found: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows. Supports the constructs that the document uses."""
    if "$ref" in found:
        return st.deferred(lambda: schema(SCHEMAS[found["$ref"].rpartition("/")[2]]))
    if "anyOf" in found:
        return st.one_of(*map(schema, found["anyOf"]))
    if "enum" in found or "const" in found:
        return st.sampled_from(found.get("enum") or [found["const"]])
    low, high = found.get("minimum", found.get("exclusiveMinimum", -1000)), found.get("maximum", 100_000)
    longest = min(found.get("maxLength", 40), 40)
    kinds: dict[str, Any] = {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(int(low), int(high)),
        "number": st.floats(low, high, exclude_min="exclusiveMinimum" in found),
        "string": st.one_of(WORDS.map(lambda text: text[:longest]), st.sampled_from(STRINGS)),
        "array": st.deferred(lambda: st.lists(schema(found.get("items", {})), max_size=3)),
        "object": st.deferred(lambda: objects(found)),
    }
    chosen: st.SearchStrategy[Any] = kinds.get(found.get("type", ""), JUNK)
    return chosen


STRINGS = [
    "2026-01-31T12:00:00Z",
    "reel=3",
    "0-0",
    "http://127.0.0.1/a.mp4",
    "http://192.0.2.1/a.mp4",
    "json",
    "x",
]


def objects(found: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties, required = found.get("properties", {}), found.get("required", ())
    return st.fixed_dictionaries(
        {name: schema(one) for name, one in properties.items() if name in required},
        optional={name: schema(one) for name, one in properties.items() if name not in required},
    )


def check(operation: dict[str, Any], answer: Response) -> None:
    said = f"{answer.request.method} {answer.request.url} {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500 or answer.status_code in (503, 507), said
    status = str(answer.status_code)
    if status in ANYWHERE - set(operation["responses"]):
        assert answer.json()["code"], said
        return
    assert status in operation["responses"], said
    content = operation["responses"][status].get("content", {})
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert not answer.content or any(fnmatch(kind, known) for known in content), f"{said} {kind}"
    if answer.content and "schema" in content.get(kind, {}) and kind.endswith("json"):
        whole = {**content[kind]["schema"], "components": DOCUMENT["components"]}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(answer.json())]
        assert errors == [], said


def test_a_wrong_answer_is_noticed() -> None:
    def answered(status: int, body: Any) -> Response:
        return Response(status, json=body, request=Request("GET", "http://test/"))

    operation = DOCUMENT["paths"]["/healthz"]["get"]
    check(operation, answered(200, {"status": "ok", "version": "1"}))
    for wrong in (answered(500, {}), answered(201, {}), answered(200, {"version": 1})):
        with pytest.raises(AssertionError):
            check(operation, wrong)


def parts(found: Any) -> Iterator[dict[str, Any]]:
    """All objects within the document."""
    if isinstance(found, dict):
        yield found
    for one in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from parts(one)


def test_kinds_of_results_are_distinguished_by_a_property() -> None:
    """Without it, openapi-generator reads all kinds of results as one, and fails."""
    answer = DOCUMENT["paths"]["/v1/jobs/{job_id}/result"]["get"]["responses"]["200"]
    found = answer["content"]["application/json"]["schema"]
    names = [one["$ref"].rpartition("/")[2] for one in found["oneOf"]]
    assert len(names) == 3 and found["discriminator"]["propertyName"] == "task"
    for name in names:
        (task,) = SCHEMAS[name]["properties"]["task"]["enum"]
        assert found["discriminator"]["mapping"][task].endswith(f"/{name}")
        assert "task" in SCHEMAS[name]["required"]
    assert EXAMPLE_RESULT["task"] == "sentiment"


def test_constants_are_understood_by_older_generators() -> None:
    constants = [one for one in parts(SCHEMAS) if "const" in one]
    assert constants and all(one["enum"] == [one["const"]] for one in constants)


def test_texts_name_paths_with_their_version() -> None:
    """Paths without one are deprecated, so no text may lead a reader to them."""
    names = "|".join(sorted({path.split("/")[2] for path in DOCUMENT["paths"] if path.startswith("/v1/")}))
    old = re.compile(rf"(?<![\w/}}.])/(?:{names})\b")
    texts = [value for key, value in _strings(DOCUMENT) if key in {"description", "summary", "detail"}]
    assert [text for text in texts if old.search(text)] == []


def test_a_length_is_not_described_as_a_time() -> None:
    """Lengths and times are both in seconds, so a wrong description shows in no value."""
    lengths = {
        f"{name}.{field}": about.get("description", "")
        for name, schema in SCHEMAS.items()
        for field, about in schema.get("properties", {}).items()
        if field in {"duration", "min_length", "merge_gap", "seconds", "step"}
    }
    assert len(lengths) > 10
    assert {name for name, text in lengths.items() if "start" in text} == set()


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document with the key that it is the value of."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)
