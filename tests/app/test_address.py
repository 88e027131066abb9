"""Properties of every path: versions, root paths behind proxies, request ids, HEAD and OPTIONS."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.http.lifecycle import Deprecation
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry.logs import JsonFormatter
from sentiloc.app.webhooks.outbox import event_body
from tests.app.asking import VIDEO, assert_problem, finish, upload

OPERATIONS = {
    "localizeVideo": "post /v1/localize",
    "localizeUrl": "post /v1/localize/url",
    "localizeUpload": "post /v1/localize/upload",
    "listJobs": "get /v1/jobs",
    "getJob": "get /v1/jobs/{job_id}",
    "deleteJob": "delete /v1/jobs/{job_id}",
    "cancelJob": "post /v1/jobs/{job_id}/cancel",
    "streamJobEvents": "get /v1/jobs/{job_id}/events",
    "summarizeJobs": "get /v1/jobs/summary",
    "deleteJobs": "delete /v1/jobs",
    "updateJob": "patch /v1/jobs/{job_id}",
    "rerunJob": "post /v1/jobs/{job_id}/rerun",
    "diffJobs": "get /v1/jobs/{job_id}/diff/{other_id}",
    "eraseOwner": "delete /v1/owners/{owner}/data",
    "createWebhook": "post /v1/webhooks",
    "listWebhooks": "get /v1/webhooks",
    "getWebhook": "get /v1/webhooks/{webhook_id}",
    "updateWebhook": "patch /v1/webhooks/{webhook_id}",
    "deleteWebhook": "delete /v1/webhooks/{webhook_id}",
    "rotateWebhookSecret": "post /v1/webhooks/{webhook_id}/rotate",
    "listWebhookDeliveries": "get /v1/webhooks/{webhook_id}/deliveries",
    "getUsage": "get /v1/usage",
    "listKeys": "get /v1/keys",
    "createKey": "post /v1/keys",
    "revokeKey": "delete /v1/keys/{key_id}",
    "rotateKey": "post /v1/keys/{key_id}/rotate",
    "createBatch": "post /v1/batches",
    "listBatches": "get /v1/batches",
    "getBatch": "get /v1/batches/{batch_id}",
    "cancelBatch": "post /v1/batches/{batch_id}/cancel",
    "deleteBatch": "delete /v1/batches/{batch_id}",
    "getBatchResults": "get /v1/batches/{batch_id}/results",
    "exportBatch": "get /v1/batches/{batch_id}/export",
    "findHighlights": "get /v1/highlights",
    "exportCuts": "post /v1/cuts",
    "listCutFormats": "get /v1/cuts/formats",
    "createReel": "post /v1/reels",
    "listReels": "get /v1/reels",
    "getReel": "get /v1/reels/{job_id}",
    "createShare": "post /v1/jobs/{job_id}/share",
    "deleteShares": "delete /v1/jobs/{job_id}/share",
    "getShared": "get /v1/shared/{token}",
    "getSharedVideo": "get /v1/shared/{token}/video",
    "getReelVideo": "get /v1/reels/{job_id}/video",
    "getResult": "get /v1/jobs/{job_id}/result",
    "getVideo": "get /v1/jobs/{job_id}/video",
    "getCurve": "get /v1/jobs/{job_id}/curve",
    "getThumbnail": "get /v1/jobs/{job_id}/thumbnails/{n}",
    "listFormats": "get /v1/formats",
    "addFeedback": "post /v1/jobs/{job_id}/feedback",
    "listFeedback": "get /v1/jobs/{job_id}/feedback",
    "deleteFeedback": "delete /v1/jobs/{job_id}/feedback",
    "exportFeedback": "get /v1/feedback/export",
    "listJobDeliveries": "get /v1/jobs/{job_id}/webhooks",
    "redeliverJobEvent": "post /v1/jobs/{job_id}/webhooks",
    "presignUpload": "post /v1/uploads/presign",
    "getUploadCapabilities": "options /v1/uploads",
    "createUpload": "post /v1/uploads",
    "getUploadOffset": "head /v1/uploads/{upload_id}",
    "getUpload": "get /v1/uploads/{upload_id}",
    "sendUploadChunk": "patch /v1/uploads/{upload_id}",
    "deleteUpload": "delete /v1/uploads/{upload_id}",
    "getLimits": "get /v1/limits",
    "listModels": "get /v1/models",
    "getKey": "get /v1/key",
    "getMetrics": "get /metrics",
    "getHealth": "get /healthz",
    "getReadiness": "get /readyz",
}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}


def test_the_names_of_operations_stay() -> None:
    """Generated clients name their functions after these. A new operation is added here; none is renamed."""
    paths = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()["paths"]
    found = {
        operation["operationId"]: f"{method} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert found == OPERATIONS


def behind(settings: Settings, **changes: Any) -> TestClient:
    """The service behind a proxy; the test client's own address is not an IP address, so it is named."""
    return TestClient(create_app(settings.model_copy(update=changes)), client=("192.0.2.7", 1234))


@pytest.fixture
def proxied(settings: Settings) -> Iterator[TestClient]:
    with behind(settings, trusted_proxies=["192.0.2.0/24"]) as client:
        client.headers["X-Forwarded-Prefix"] = "/sentiloc"
        yield client


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_links_have_the_form_in_which_a_client_called(
    client: TestClient, store: JobStore, settings: Settings, prefix: str
) -> None:
    made = client.post(f"{prefix}/localize", files={"video": ("a.mp4", VIDEO)})
    job = made.json()
    assert made.headers["location"] == job["links"]["self"] == f"{prefix}/jobs/{job['id']}"
    finish(store, job["id"], settings, json.dumps(EXAMPLE_RESULT).encode())
    followed = client.get(made.headers["location"])
    assert followed.json()["state"] == "succeeded"
    assert client.get(followed.json()["links"]["result"]).status_code == 200
    location = client.post(f"{prefix}/uploads", headers=TUS).headers["location"]
    assert location.startswith(f"{prefix}/uploads/")
    assert client.get(location).json()["offset"] == 0


def test_a_path_without_version_is_deprecated(client: TestClient) -> None:
    old, new = client.get("/limits"), client.get("/v1/limits")
    assert old.json() == new.json()
    assert old.headers["deprecation"].startswith("@")
    assert '</v1/limits>; rel="successor-version"' in old.headers["link"]
    for answer in (new, client.get("/healthz"), client.get("/"), client.get("/v1/openapi.json")):
        assert answer.status_code == 200
        assert "deprecation" not in answer.headers
    assert_problem(client.get("/v1"), 404, "not_found")
    assert_problem(client.get("/v1/web/main.js"), 404, "not_found")
    assert_problem(client.get("/v1/v1/limits"), 404, "not_found")


def test_json_at_localize_is_deprecated(client: TestClient) -> None:
    asked = {"url": "http://192.0.2.1/a.mp4"}
    for path in ("/v1/localize", "/v1/localize/url"):
        answer = client.post(path, json=asked)
        assert answer.status_code == 422, answer.text  # a private address
        assert answer.json()["code"] == "url_forbidden"
    asked = {"url": "https://media.example/a.mp4"}
    old, new = client.post("/v1/localize", json=asked), client.post("/v1/localize/url", json=asked)
    assert (old.status_code, new.status_code) == (202, 202)
    assert "deprecation" in old.headers
    assert "deprecation" not in new.headers
    assert_problem(client.post("/v1/localize/url", json={"upload": "x"}), 422, "invalid_request")
    assert_problem(client.post("/v1/localize/upload", json=asked), 422, "invalid_request")
    assert_problem(client.post("/v1/localize/upload", json={"upload": "x"}), 404, "upload_not_found")


def test_a_day_of_the_end_is_announced() -> None:
    since, sunset = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    found = Deprecation(since=since, sunset=sunset, successor="/v2/jobs").headers()
    assert found["Deprecation"] == f"@{int(since.timestamp())}"
    assert found["Sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    assert '</v2/jobs>; rel="successor-version"' in found["Link"]


@pytest.mark.parametrize("keeps_path", [False, True])
def test_a_proxy_shows_the_service_under_a_path(
    proxied: TestClient, settings: Settings, store: JobStore, keeps_path: bool
) -> None:
    before = "/sentiloc" if keeps_path else ""
    made = proxied.post(f"{before}/v1/localize", files={"video": ("a.mp4", VIDEO)})
    job = made.json()
    assert made.headers["location"] == job["links"]["self"] == f"/sentiloc/v1/jobs/{job['id']}"
    record = store.get(job["id"])
    assert record is not None
    finish(store, job["id"], settings, json.dumps(EXAMPLE_RESULT).encode())
    ended = store.get(job["id"])
    assert ended is not None
    assert json.loads(event_body(ended))["data"]["links"]["self"] == f"/sentiloc/v1/jobs/{job['id']}"
    location = proxied.post(f"{before}/v1/uploads", headers=TUS).headers["location"]
    assert location.startswith("/sentiloc/v1/uploads/")
    assert proxied.get(f"{before}/openapi.json").json()["servers"][0]["url"] == "/sentiloc"
    assert '"/sentiloc/docs/static/swagger-ui-bundle.js"' in proxied.get(f"{before}/docs").text
    assert proxied.get(f"{before}/").status_code == 200
    bare = proxied.get("/sentiloc", follow_redirects=False)
    assert (bare.status_code, bare.headers["location"]) == (308, "/sentiloc/")
    old = proxied.get(f"{before}/limits")
    assert "</sentiloc/v1/limits>" in old.headers["link"]


def test_the_root_path_is_a_setting(settings: Settings) -> None:
    with behind(settings, root_path="/a/b") as client:
        client.headers["X-Forwarded-Prefix"] = "/elsewhere"  # from an address that the server does not trust
        for path in ("/a/b/v1/uploads", "/v1/uploads"):
            assert client.post(path, headers=TUS).headers["location"].startswith("/a/b/v1/uploads/")


@pytest.mark.parametrize(
    "prefix",
    [
        *("//evil.example", "/a/../b", "https://evil.example", "/" * 500, f"/{'ä' * 100}"),
        *("/a/%2e%2e/b", "/a/.%2E", "/a%2fb", "/a%5Cb", "/a%00", "/a%0d%0ab", "/a%7f", "/a%", "/a%zz"),
    ],
)
def test_a_prefix_that_is_no_path_is_ignored(proxied: TestClient, prefix: str) -> None:
    proxied.headers.encoding = "utf-8"
    proxied.headers["X-Forwarded-Prefix"] = prefix
    assert upload(proxied).json()["links"]["self"].startswith("/jobs/")


def test_a_long_prefix_that_is_no_path_takes_no_time(proxied: TestClient) -> None:
    # A pattern that matches a text in several ways would need hours for this one.
    proxied.headers["X-Forwarded-Prefix"] = f"/{'a' * 16}" * 5 + "%2F"
    began = time.process_time()
    assert proxied.get("/healthz").status_code == 200
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("prefix", "root"),
    [
        ("/team a", "/team%20a"),
        ("/team%20a", "/team%20a"),
        ("/r&d/@desk+1", "/r%26d/@desk+1"),
        ("/média", "/m%C3%A9dia"),
        ("/m%C3%A9dia", "/m%C3%A9dia"),
        ("/\"<b>'", "/%22%3Cb%3E%27"),
        ("/a:b/$x", "/a:b/$x"),
    ],
)
def test_a_prefix_may_have_odd_characters(proxied: TestClient, prefix: str, root: str) -> None:
    proxied.headers.encoding = "utf-8"
    proxied.headers["X-Forwarded-Prefix"] = prefix
    for before in ("", root):
        made = proxied.post(f"{before}/v1/localize", files={"video": ("a.mp4", VIDEO)})
        job = made.json()["links"]["self"]
        assert made.headers["location"] == job
        assert job.startswith(f"{root}/v1/jobs/")
        assert proxied.get(job).status_code == 200
        assert proxied.get(f"{before}/openapi.json").json()["servers"][0]["url"] == root
        assert f'"{root}/docs/static/swagger-ui.css"' in proxied.get(f"{before}/docs").text
    bare = proxied.get(root, follow_redirects=False)
    assert (bare.status_code, bare.headers["location"]) == (308, f"{root}/")


@pytest.mark.parametrize("text", ["sentiloc", "/sentiloc/", "/a//b", "//a", "/../a", "/a?b"])
def test_a_root_path_has_a_form(text: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        Settings(root_path=text)


def test_the_page_has_no_absolute_address(client: TestClient) -> None:
    page = client.get("/").text
    assert '="/' not in page


def test_every_answer_has_an_id(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    given = client.get("/v1/jobs/nobody", headers={"X-Request-ID": "gateway-1.2:3"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "gateway-1.2:3"
    for wrong in ("", "a b", "x" * 129, 'a"b', "é".encode()):
        made = client.get("/v1/limits", headers={"X-Request-ID": wrong}).headers["x-request-id"]
        assert len(made) == 32
    assert client.get("/").headers["x-request-id"] != client.get("/").headers["x-request-id"]


def test_the_log_names_the_request(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("sentiloc.app.telemetry.outages")
    logger.addHandler(handler)
    # Only the first failure of an outage is logged at a higher level.
    logger.setLevel(logging.DEBUG)
    try:
        with TestClient(
            create_app(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
        ) as client:
            answer = client.get("/v1/jobs", headers={"X-Request-ID": "trace-me"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert answer.status_code == 503
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert "trace-me" in {line.get("request") for line in lines}


def test_rate_limits_are_stated_in_headers(settings: Settings, redis: Redis) -> None:
    key = KeyStore(redis, settings.redis_prefix).create("k", [Scope.READ], rate_per_minute=3)
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as client:
        client.headers["X-API-Key"] = key.text
        answers = [client.get("/v1/limits") for _ in range(4)]
        assert "ratelimit" not in client.get("/healthz").headers
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=3;w=60'}
    left = [answer.headers["ratelimit"].split(";") for answer in answers]
    assert [parts[:2] for parts in left[:3]] == [['"key"', "r=2"], ['"key"', "r=1"], ['"key"', "r=0"]]
    assert left[3][1] == "r=0"
    assert all(0 < int(parts[2].removeprefix("t=")) <= 60 for parts in left)
    assert int(answers[3].headers["retry-after"]) > 0


def test_head_is_get_without_a_body(client: TestClient) -> None:
    job = upload(client).json()["id"]
    for path in (
        "/",
        "/v1/jobs",
        f"/v1/jobs/{job}",
        "/v1/limits",
        "/openapi.json",
        "/web/main.js",
        "/metrics",
    ):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/metrics":
            assert head.headers["content-length"] == get.headers["content-length"]
    # The stream of a job that waits would never end.
    events = client.head(f"/v1/jobs/{job}/events")
    assert (events.status_code, events.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert client.head("/v1/jobs/nobody").status_code == 404
    assert client.head("/v1/localize").status_code == 405
    made = client.post("/v1/uploads", headers=TUS).headers["location"]
    assert client.head(made, headers=TUS).headers["upload-offset"] == "0"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/uploads/abc", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("/v1/jobs/abc", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/jobs/summary", "GET, HEAD, OPTIONS"),
        ("/v1/uploads/presign", "OPTIONS, POST"),
        ("/v1/localize", "OPTIONS, POST"),
        ("/v1/jobs/abc/feedback", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_lists_the_methods(client: TestClient, path: str, methods: str) -> None:
    asked = client.options(path)
    assert (asked.status_code, asked.headers["allow"]) == (204, methods)
    refused = client.put(path)
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == methods


def test_a_long_name_is_cut_in_the_problem(client: TestClient) -> None:
    for answer in (
        client.post("/v1/localize/url", json={"url": "http://a.example/", "n" * 4000: 1}),
        client.post(
            "/v1/localize", files={"video": ("a.mp4", VIDEO)}, data={"options": json.dumps({"n" * 4000: 1})}
        ),
        client.get("/v1/jobs", params={"n" * 4000: "1"}),
        client.post("/v1/localize/url", json={f"{number}{'n' * 80}": 1 for number in range(300)}),
    ):
        assert_problem(answer, 422, "invalid_request")
        assert len(answer.json()["detail"]) < 2000


def test_unknown_paths_have_no_methods(client: TestClient) -> None:
    assert_problem(client.options("/v1/nothing"), 404, "not_found")
