"""A hostile or careless provider, odd claims, and sessions that outlive what they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.sessions import SESSION_COOKIE
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import ATTEMPT_COOKIE, SignInFailed
from sentiloc.app.sign_in.people import person_of

pytest.importorskip("joserfc", reason="joserfc is not installed (it is part of [oidc])")

from joserfc.jwk import RSAKey

from sentiloc.app.sign_in.description import described
from tests.support.sign_in.lying import KEY, OTHER_KEY, LyingProvider, asking, finish, sign_in

Start = Callable[..., TestClient]

PUBLIC = KEY.as_dict(private=False)
DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


UNUSABLE_KEYS: dict[str, object] = {
    "kind of the future": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    "unknown curve": {"kty": "EC", "crv": "brainpool", "x": "AA", "y": "AA"},
    "half a key": {"kty": "RSA", "n": "AQAB"},
    "number as a name": {**OTHER_KEY.as_dict(private=False), "kid": 7},
    "key for encryption": {**OTHER_KEY.as_dict(private=False), "kid": "e", "use": "enc"},
    "key for signing only": {**OTHER_KEY.as_dict(private=False), "kid": "e", "key_ops": ["sign"]},
    "odd purposes": {**OTHER_KEY.as_dict(private=False), "kid": "e", "key_ops": 5},
    "no key": None,
}


@pytest.mark.parametrize("name", UNUSABLE_KEYS)
def test_a_key_that_cannot_be_used_does_not_spoil_the_others(liar: LyingProvider, name: str) -> None:
    liar.answers["/jwks"] = {"keys": [UNUSABLE_KEYS[name], PUBLIC]}
    liar.issue_text(json.dumps(liar.claims()).encode(), kid=None)
    assert finish(liar)["sub"] == "erin"
    liar.answers["/jwks"] = {"keys": [UNUSABLE_KEYS[name]]}
    with pytest.raises(SignInFailed, match="no key that can check"):
        finish(liar)


def test_a_short_rsa_key_is_refused(liar: LyingProvider) -> None:
    short = RSAKey.generate_key(1024, {"kid": "one"}, private=True)
    liar.issue(liar.claims(), short, alg="RS256")
    liar.answers["/jwks"] = {"keys": [short.as_dict(private=False)]}
    with pytest.raises(SignInFailed, match="no key that can check"):
        finish(liar)


@pytest.mark.parametrize("keys", [{}, {"keys": "abc"}, {"keys": {"a": 1}}, {"keys": [PUBLIC] * 101}])
def test_a_key_set_that_is_none(liar: LyingProvider, keys: object) -> None:
    liar.issue(liar.claims())
    liar.answers["/jwks"] = keys
    with pytest.raises(SignInFailed, match="no list of at most 100 keys"):
        finish(liar)


def test_a_header_that_is_not_understood_is_ignored_unless_it_is_critical(liar: LyingProvider) -> None:
    text = json.dumps(liar.claims()).encode()
    liar.issue_text(text, **{"pi.atm": "1", "x5t": "a" * 28, "x5c": ["A" * 2000]})
    assert finish(liar)["sub"] == "erin"
    liar.issue_text(text, **{"pi.atm": "1", "crit": ["pi.atm"]})
    with pytest.raises(SignInFailed, match=r"pi\.atm"):
        finish(liar)
    liar.issue_text(text, jwk=OTHER_KEY.as_dict(private=False), jku=f"{liar.issuer}/other")
    assert finish(liar)["sub"] == "erin"  # the key of the set counts, whatever the token offers


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "\ud800"},
        {"nonce": ["n"]},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": float("inf")},
        {"nbf": 9_999_999_999},
        {"aud": {"sentiloc": 1}},
        {"aud": [["sentiloc"]]},
        {"iss": ["x"]},
        {"sub": ["erin"]},
        {"sub": ""},
    ],
    ids=str,
)
def test_claims_of_odd_types_are_refused(liar: LyingProvider, change: dict[str, Any]) -> None:
    liar.issue_text(json.dumps({**liar.claims(), **change}).encode())
    with pytest.raises(SignInFailed):
        finish(liar)


@pytest.mark.parametrize(
    "text", [DEEP, b"[]", b"5", b"\xff", b""], ids=["deep", "list", "number", "bytes", "empty"]
)
def test_tokens_that_hold_no_claims_are_refused(liar: LyingProvider, text: bytes) -> None:
    liar.issue_text(text)
    with pytest.raises(SignInFailed):
        finish(liar)


def test_an_error_of_the_provider_is_short_and_on_one_line_in_the_log(liar: LyingProvider) -> None:
    liar.answers["/token"] = {"error": "x\nlevel=error " + "y" * 5000}
    liar.statuses["/token"] = 400
    with pytest.raises(SignInFailed) as caught:
        finish(liar)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://[bad",
        "http://127.0.0.1:6379/",
        "http://169.254.169.254/latest/",
        "https://erin:secret@id.example/",
        "https://id.example/#fragment",
        "https://id.example/ x",
        "https://id.example/\n",
        "https:///nowhere",
        "//id.example/",
        "file:///etc/passwd",
        5,
    ],
)
def test_an_endpoint_that_is_not_safe_counts_as_missing(endpoint: object) -> None:
    safe = {
        name: f"https://id.example/{name}"
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    about = {"issuer": "https://id.example", **safe}
    for name in safe:
        with pytest.raises(SignInFailed, match=name):
            described({**about, name: endpoint}, "https://id.example")
    found = described(
        {**about, "userinfo_endpoint": endpoint, "end_session_endpoint": endpoint}, about["issuer"]
    )
    assert found.userinfo_endpoint is found.end_session_endpoint is None


def test_a_description_with_odd_members(liar: LyingProvider) -> None:
    liar.issue(liar.claims())
    liar.about["token_endpoint_auth_methods_supported"] = None
    assert finish(liar)["sub"] == "erin"
    liar.about["token_endpoint_auth_methods_supported"] = 5
    with pytest.raises(SignInFailed, match="token_endpoint_auth_methods_supported"):
        finish(liar)


def test_odd_claims_of_a_person() -> None:
    settings = asking("https://id.example", oidc_scopes={"*": ["read"], "editors": ["write"]})
    half = person_of({"sub": "\ud800", "preferred_username": "\ud800"}, settings)
    assert half is not None and half.name == "unnamed"
    crowd = [f"group-{number:036}" for number in range(10_000)]
    found = person_of({"sub": "erin", "groups": [*crowd, ["editors"], {"editors": 1}, 5, None]}, settings)
    assert found is not None and found.scopes == {Scope.READ}
    shouted = person_of({"sub": "erin", "groups": ["EDITORS", " editors"]}, settings)
    assert shouted is not None and shouted.scopes == {Scope.READ}
    assert person_of({"sub": True}, settings) is None


def test_an_unverified_email_is_not_used() -> None:
    settings = asking(
        "https://id.example",
        oidc_scopes={"*": ["read"], "boss@media.example": ["admin"]},
        oidc_groups_claim="email",
        oidc_owner_claim="email",
    )
    claims = {"sub": "1", "email": "boss@media.example"}
    boss = person_of(claims, settings)
    assert boss is not None and Scope.ADMIN in boss.scopes
    for word in (False, "false"):
        assert person_of({**claims, "email_verified": word}, settings) is None


def test_everybody_may_work_as_one_key() -> None:
    keys = {"editors": "aaaaaaaaaaaa", "*": "bbbbbbbbbbbb"}
    settings = asking("https://id.example", oidc_scopes={"*": ["read"]}, oidc_keys=keys)
    found = [person_of({"sub": "1", "groups": groups}, settings) for groups in (["editors"], ["others"], [])]
    assert [one.key_id for one in found if one] == ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "bbbbbbbbbbbb"]


def test_somebody_in_ten_thousand_groups_signs_in(start: Start, liar: LyingProvider) -> None:
    with start(oidc_provider_logout=True) as client:
        liar.about["end_session_endpoint"] = f"{liar.issuer}/end"
        crowd = [f"{number:036}" for number in range(10_000)]
        assert sign_in(client, liar, groups=[*crowd, "editors"]) == "/"
        assert client.get("/v1/key").json()["person"] == "erin"
        ended = client.post("/signout").json()["url"]
        assert ended.startswith(f"{liar.issuer}/end?client_id=sentiloc") and len(ended) < 500


def test_a_session_ends_when_the_operator_changes_the_provider(start: Start, liar: LyingProvider) -> None:
    with start() as client:
        assert sign_in(client, liar) == "/"
        assert client.get("/v1/key").status_code == 200
        cookies = dict(client.cookies)
    for issuer, status in (("https://other.example", 401), (liar.issuer, 200)):
        with start(oidc_issuer=issuer) as other:
            assert other.get("/v1/key", cookies=cookies).status_code == status


def test_a_session_ends_with_its_key_and_with_redis(
    start: Start, liar: LyingProvider, settings: Settings
) -> None:
    with start() as client, connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        assert sign_in(client, liar) == "/"
        own = client.get("/v1/key").json()["id"]
        assert keys.revoke(own)
        assert client.get("/v1/key").status_code == 401
        assert sign_in(client, liar) == "/?signin=refused"
        for name in redis.scan_iter(f"{settings.redis_prefix}*"):
            redis.delete(name)
        assert client.get("/v1/key").status_code == 401
        assert sign_in(client, liar) == "/"
        assert client.get("/v1/key").status_code == 200


def test_an_answer_is_not_taken_twice_nor_from_another_attempt(start: Start, liar: LyingProvider) -> None:
    with start() as client:
        first, second = (
            parse_qs(urlsplit(client.get("/signin").headers["location"]).query) for _ in range(2)
        )
        liar.issue(liar.claims(nonce=first["nonce"][0], groups=["editors"]))
        mixed = {"state": second["state"][0], "code": "c"}
        assert client.get("/signin/callback", params=mixed).headers["location"] == "/?signin=failed"
        right = {"state": first["state"][0], "code": "c"}
        assert client.get("/signin/callback", params=right).headers["location"] == "/"
        assert client.get("/signin/callback", params=right).headers["location"] == "/?signin=expired"
        assert client.get("/signin/callback", params=mixed).headers["location"] == "/?signin=expired"


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_no_parameter_leads_the_browser_elsewhere(start: Start, liar: LyingProvider, path: str) -> None:
    with start() as client:
        names = ("next", "redirect", "redirect_uri", "return_to", "url")
        asked = client.get("/signin", params=dict.fromkeys(names, path), headers={"Referer": path})
        query = parse_qs(urlsplit(asked.headers["location"]).query)
        assert query["redirect_uri"] == ["http://127.0.0.1/signin/callback"]
        liar.issue(liar.claims(nonce=query["nonce"][0], groups=["editors"]))
        answer = {**dict.fromkeys(names, path), "state": query["state"][0], "code": "c"}
        assert client.get("/signin/callback", params=answer).headers["location"] == "/"


def test_a_session_that_was_there_before_is_not_the_one_that_begins(
    start: Start, liar: LyingProvider
) -> None:
    planted = "planted" * 6
    with start() as client:
        client.cookies.set(SESSION_COOKIE, planted, domain="127.0.0.1")
        assert sign_in(client, liar) == "/"
        assert planted not in [cookie.value for cookie in client.cookies.jar if cookie.path == "/"]
        assert client.get("/v1/key", headers={"Cookie": f"{SESSION_COOKIE}={planted}"}).status_code == 401


def test_a_proxy_that_passes_neither_host_nor_scheme(start: Start, liar: LyingProvider) -> None:
    """The operator names the address instead: its cookies are for https, and the page may sign out."""
    url = "https://media.example/sentiloc/signin/callback"
    with start(oidc_redirect_url=url, oidc_provider_logout=True) as client:
        liar.about["end_session_endpoint"] = f"{liar.issuer}/end"
        begun = client.get("/signin")
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert asked["redirect_uri"] == [url]
        assert "secure" in begun.headers["set-cookie"].lower()
        liar.issue(liar.claims(nonce=asked["nonce"][0], groups=["editors"]))
        browser = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
        assert browser["Cookie"].startswith(ATTEMPT_COOKIE)
        done = client.get(
            "/signin/callback", params={"state": asked["state"][0], "code": "c"}, headers=browser
        )
        assert "secure" in done.headers["set-cookie"].lower()
        session = {"Cookie": done.headers["set-cookie"].partition(";")[0], "Origin": "https://media.example"}
        assert client.post("/signout", headers=session | {"Sec-Fetch-Site": "same-site"}).status_code == 403
        left = client.post("/signout", headers=session | {"Sec-Fetch-Site": "same-origin"})
        back = parse_qs(urlsplit(left.json()["url"]).query)["post_logout_redirect_uri"]
        assert back == ["https://media.example/sentiloc/"]
        assert client.get("/v1/key", headers=session).status_code == 401


def test_a_redirect_address_that_is_not_the_callback_is_refused() -> None:
    with pytest.raises(ValueError, match="signin/callback"):
        asking("https://id.example", oidc_redirect_url="https://media.example/elsewhere")


def test_the_audit_log_names_people_and_cannot_be_filled_without_a_key(
    start: Start, liar: LyingProvider, tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    with start(audit_log=log) as client:
        for method, path in (
            ("POST", "/signout"),
            ("POST", "/docs"),
            ("PUT", "/web/x"),
            ("GET", "/v1/shared/x/video"),
        ):
            client.request(method, path)
        client.get("/signin")
        client.get("/signin/callback?state=x&code=y")
        # The file is there since the start, which opens it once.
        assert log.read_text(encoding="utf-8") == ""
        assert sign_in(client, liar) == "/"
        assert client.post("/signout").status_code == 200
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["what"] for line in lines] == ["GET /signin/callback", "POST /signout"]
    assert all(line["who"].endswith(" person:erin") for line in lines)
    assert "code=" not in log.read_text(encoding="utf-8")


def test_a_refused_person_is_in_the_log(
    start: Start, liar: LyingProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with start() as client, caplog.at_level("WARNING"):
        assert sign_in(client, liar, groups=["guests"]) == "/?signin=refused"
    assert "'erin' has no group with a scope" in caplog.text
