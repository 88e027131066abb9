"""Other web sites cannot use a service without keys; every answer has safe headers; errors keep the connection."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.app.asking import assert_problem, upload

REBOUND = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "[::2]",
    "",
    "a b",
)
OWN = ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "localhost.")


def client_of(settings: Settings, **changes: object) -> TestClient:
    return TestClient(create_app(settings.model_copy(update=changes)), base_url="http://127.0.0.1")


@pytest.fixture
def local(settings: Settings) -> TestClient:
    """A service on loopback without keys."""
    return client_of(settings, api_keys="off", allowed_hosts=None)


@pytest.mark.parametrize("host", REBOUND)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_rebound_name_is_not_called(local: TestClient, host: str, method: str) -> None:
    assert_problem(local.request(method, "/jobs", headers={"Host": host}), 421, "unknown_host")


@pytest.mark.parametrize("host", OWN)
def test_its_own_names_are_answered(local: TestClient, host: str) -> None:
    assert local.get("/jobs", headers={"Host": host}).status_code == 200


def test_an_operator_names_the_hosts(settings: Settings) -> None:
    named = client_of(settings, api_keys="off", allowed_hosts=["Media.Example"])
    assert named.get("/jobs", headers={"Host": "media.example:8443"}).status_code == 200
    assert_problem(named.get("/jobs", headers={"Host": "localhost"}), 421, "unknown_host")
    anyone = client_of(settings, api_keys="off", allowed_hosts=["*"])
    assert anyone.get("/jobs", headers={"Host": "evil.example"}).status_code == 200


def test_a_server_with_keys_answers_every_host_name(settings: Settings) -> None:
    assert (
        client_of(settings, api_keys="on").get("/healthz", headers={"Host": "media.example"}).status_code
        == 200
    )


CROSS_SITE = (
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
)


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/localize"), ("DELETE", "/jobs/x"), ("PATCH", "/uploads/x")]
)
def test_another_site_cannot_change_anything(
    local: TestClient, headers: dict[str, str], method: str, path: str
) -> None:
    assert_problem(local.request(method, path, headers=headers), 403, "cross_site")


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1"}], ids=str
)
def test_its_own_page_and_programs_may_post(local: TestClient, headers: dict[str, str]) -> None:
    local.headers.update(headers)
    assert upload(local).status_code == 202


def test_an_allowed_origin_may_post(settings: Settings) -> None:
    friend = client_of(settings, api_keys="off", cors_origins=["https://editor.example"])
    friend.headers.update({"Origin": "https://editor.example", "Sec-Fetch-Site": "cross-site"})
    assert upload(friend).status_code == 202


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/jobs", "/openapi.json", "/nothing", "/web/main.js", "/healthz"]
)
def test_every_answer_has_safe_headers(local: TestClient, path: str) -> None:
    headers = local.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (
        "'unsafe-inline'"
        not in headers["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
    )


def test_a_trailing_slash_is_the_same_path(local: TestClient) -> None:
    answer = local.get("/jobs/", follow_redirects=False)
    assert answer.status_code == 200


def test_a_crash_is_a_problem(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"api_keys": "off"}))

    @app.get("/crash")
    def crash() -> None:
        raise RuntimeError("a bug")

    broken = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert_problem(broken.get("/crash"), 500, "internal")


@pytest.mark.parametrize(("asked", "status"), [("bytes=999999999-", 416), ("bytes=b-a", 400)])
def test_a_range_that_cannot_be_is_a_problem(local: TestClient, asked: str, status: int) -> None:
    path = upload(local).json()["links"]["self"]
    answer = local.get(f"{path}/video", headers={"Range": asked})
    assert_problem(answer, status, "bad_range")


def test_others_failed_logins_do_not_lock_a_valid_key_out(settings: Settings) -> None:
    asked = client_of(settings, api_keys="on")
    keys = KeyStore(connect(settings), settings.redis_prefix)
    made = keys.create("editor", frozenset({Scope.READ}), rate_per_minute=0)
    wrong = {"Authorization": "Bearer sl_wrong_key"}
    answers = {asked.get("/jobs", headers=wrong).status_code for _ in range(settings.bad_keys_per_minute + 5)}
    assert answers == {401, 429}
    assert asked.get("/jobs", headers={"Authorization": f"Bearer {made.text}"}).status_code == 200
