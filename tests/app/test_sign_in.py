"""Sign-in refuses wrong ID tokens, people without a group, and unsafe settings."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.sessions import SESSION_COOKIE, SessionStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import AttemptStore, SignInFailed
from sentiloc.app.sign_in.people import person_of

pytest.importorskip("joserfc", reason="joserfc is not installed (it is part of [oidc])")

from joserfc.jwk import OctKey

from sentiloc.app.sign_in.provider import Provider, challenge
from tests.support.services import sentiloc_environment
from tests.support.sign_in.lying import (
    ATTEMPT,
    CLIENT,
    OTHER_KEY,
    LyingProvider,
    asking,
    finish,
)


def test_a_right_token_is_taken(liar: LyingProvider) -> None:
    liar.issue(liar.claims(groups=["editors"]))
    assert finish(liar)["groups"] == ["editors"]


WRONG_CLAIMS: dict[str, Callable[[LyingProvider], dict[str, Any]]] = {
    "nonce of another attempt": lambda liar: liar.claims(nonce="other"),
    "no nonce": lambda liar: liar.claims(nonce=None),
    "another issuer": lambda liar: liar.claims(iss="https://evil.example"),
    "another client": lambda liar: liar.claims(aud="another"),
    "several clients, none named": lambda liar: liar.claims(aud=[CLIENT, "another"]),
    "another party": lambda liar: liar.claims(azp="another"),
    "expired": lambda liar: liar.claims(exp=int(time.time()) - 120),
    "no expiry": lambda liar: liar.claims(exp=None),
    "issued in the future": lambda liar: liar.claims(iat=int(time.time()) + 3600),
    "nobody": lambda liar: liar.claims(sub=None),
    "a number": lambda liar: liar.claims(sub=7),
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS)
def test_a_token_with_wrong_claims_is_refused(liar: LyingProvider, wrong: str) -> None:
    liar.issue(WRONG_CLAIMS[wrong](liar))
    with pytest.raises(SignInFailed):
        finish(liar)


def test_a_token_of_another_key_is_refused(liar: LyingProvider) -> None:
    liar.issue(liar.claims(), OTHER_KEY)
    with pytest.raises(SignInFailed):
        finish(liar)


def test_a_token_signed_with_a_secret_or_not_at_all_is_refused(liar: LyingProvider) -> None:
    shared = OctKey.import_key("x" * 32)
    liar.issue(liar.claims(), shared, alg="HS256")
    liar.answers["/jwks"] = {"keys": [{**shared.as_dict(private=True), "kid": "one"}]}
    with pytest.raises(SignInFailed):
        finish(liar)
    liar.answers["/token"] = {"id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJlcmluIn0.", "access_token": "a"}
    with pytest.raises(SignInFailed):
        finish(liar)


def test_the_answer_must_come_from_this_provider(liar: LyingProvider) -> None:
    liar.issue(liar.claims())
    with pytest.raises(SignInFailed, match="another issuer"):
        finish(liar, iss="https://evil.example")
    with pytest.raises(SignInFailed, match="access_denied"):
        finish(liar, error="access_denied")
    liar.about["authorization_response_iss_parameter_supported"] = True
    with pytest.raises(SignInFailed, match="does not name its issuer"):
        finish(liar)
    assert finish(liar, iss=liar.issuer)["sub"] == "erin"


def test_user_information_about_somebody_else_is_refused(liar: LyingProvider) -> None:
    liar.issue(liar.claims())
    liar.about["userinfo_endpoint"] = f"{liar.issuer}/me"
    liar.answers["/me"] = {"sub": "erin", "groups": ["editors"], "iss": "https://evil.example"}
    claims = finish(liar)
    assert (claims["groups"], claims["iss"]) == (["editors"], liar.issuer)
    liar.answers["/me"] = {"sub": "ed", "groups": ["admins"]}
    with pytest.raises(SignInFailed, match="another person"):
        finish(liar)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_description_that_is_not_safe_is_refused(liar: LyingProvider, change: dict[str, Any]) -> None:
    liar.issue(liar.claims())
    liar.about.update(change)
    with pytest.raises(SignInFailed):
        finish(liar)


def test_keys_that_the_provider_has_changed_are_fetched_again(
    liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(asking(liar.issuer))
    answer = {"code": "c", "state": "s"}

    async def twice() -> None:
        liar.issue(liar.claims())
        await provider.finish(ATTEMPT, answer)
        liar.answers["/jwks"] = {"keys": [OTHER_KEY.as_dict(private=False)]}
        liar.issue(liar.claims(), OTHER_KEY)
        with pytest.raises(SignInFailed):  # asked a moment ago
            await provider.finish(ATTEMPT, answer)
        monkeypatch.setattr("sentiloc.app.sign_in.provider._RETRY_KEYS_SECONDS", -1.0)
        await provider.finish(ATTEMPT, answer)

    asyncio.run(twice())


def waiting_connections(server: socket.socket) -> int:
    """The connections in a server's backlog."""
    server.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_a_hanging_provider_blocks_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.app.sign_in.provider._TIMEOUT_SECONDS", 0.3)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as silent:  # accepts connections through its backlog, and never answers
        provider = Provider(asking(f"http://127.0.0.1:{silent.getsockname()[1]}"))

        async def ask() -> list[Any]:
            waiting = (provider.authorization_url(ATTEMPT) for _ in range(50))
            return await asyncio.gather(*waiting, return_exceptions=True)

        found = asyncio.run(ask())
        assert all(isinstance(one, SignInFailed) for one in found)
        # They waited together: one after another, each would have its own connection.
        assert waiting_connections(silent) < 10


def test_the_challenge_is_that_of_the_standard() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B


def test_claims_become_a_person() -> None:
    settings = asking(
        "https://id.example",
        oidc_groups_claim="realm_access.roles",
        oidc_scopes={"editors": ["read", "write"], "chiefs": ["admin"], "*": ["read"]},
        oidc_owner_claim="team",
        oidc_keys={"chiefs": "3f9a1c07be52"},
    )

    def person(roles: object, **claims: object) -> Any:
        return person_of({"sub": "1", "team": "news", "realm_access": {"roles": roles}, **claims}, settings)

    editor = person(["editors"], preferred_username="erin\n")
    assert (editor.name, editor.scopes) == ("erin", {Scope.READ, Scope.WRITE})
    assert person(["chiefs"]).key_id == "3f9a1c07be52"
    assert person(["chiefs"]).scopes == {Scope.READ, Scope.ADMIN}
    assert person(None).scopes == person("strange").scopes == person({"a": 1}).scopes == {Scope.READ}
    assert person("editors").key_id == editor.key_id != person([], team="sport").key_id
    for nobody in (None, "", ["news"], {"a": 1}):
        assert person(["editors"], team=nobody) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"oidc_issuer": "http://id.example"}, "https"),
        ({"oidc_issuer": "https://id.example?x=1"}, "query"),
        ({"oidc_client_id": None}, "SENTILOC_OIDC_CLIENT_ID"),
        ({"oidc_scopes": {}}, "SENTILOC_OIDC_SCOPES"),
        ({"oidc_scopes": {"editors": ["everything"]}}, "oidc_scopes"),
        ({"oidc_request": "profile"}, "oidc_request"),
        ({"api_keys": "off"}, "SENTILOC_API_KEYS"),
    ],
)
def test_settings_that_would_not_be_safe_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        asking("https://id.example", **changes)


def test_a_missing_library_is_reported_once(tmp_path: Path) -> None:
    program = "import sys; sys.modules['joserfc'] = None; from sentiloc.cli.main import main; main()"
    given = {
        "oidc_issuer": "https://id.example",
        "oidc_client_id": CLIENT,
        "oidc_scopes": '{"*": ["read"]}',
        "api_keys": "on",
        "data_dir": tmp_path,
        "port": 0,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "serve"],
        env=sentiloc_environment(**given),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("pip install '.[oidc]'") == 1
    assert not list(tmp_path.iterdir())


def test_an_attempt_counts_once_and_for_its_browser(settings: Settings) -> None:
    with connect(settings) as redis:
        attempts = AttemptStore(redis, settings.redis_prefix)
        first, second = attempts.begin("mine", "http://a/"), attempts.begin("mine", "http://a/")
        assert attempts.take(first.state, "mine") == first
        assert attempts.take(first.state, "mine") is None
        assert attempts.take(second.state, "other") is None
        assert attempts.take("", "mine") is None
        kept = attempts.begin("mine", "http://a/")
        names = list(redis.scan_iter(f"{settings.redis_prefix}signin:*"))
        assert all(kept.state not in name and 0 < redis.ttl(name) <= 600 for name in names)


def test_a_session_that_is_not_used_ends(settings: Settings) -> None:
    changed = settings.model_copy(update={"session_seconds": 1000.0, "session_idle_seconds": 40.0})

    async def live() -> None:
        shared = SharedConnection(changed)
        sessions = SessionStore(changed, shared)
        text = await sessions.start("0" * 32, "erin", frozenset({Scope.READ}), "")
        with connect(changed) as redis:
            (name,) = redis.scan_iter(f"{changed.redis_prefix}session:*")
            assert text not in name and text not in str(redis.hgetall(name))
            assert 30 < redis.ttl(name) <= 40
            redis.expire(name, 5)
            found = await sessions.find(text)
            assert found is not None and found.person == "erin"
            assert redis.ttl(name) > 30  # used, so it lives on
            redis.hset(name, "expires_at", repr(time.time() - 1))
            assert await sessions.find(text) is None
        await sessions.end(text)
        assert await sessions.find(text) is None
        await shared.close()

    asyncio.run(live())


def test_the_key_of_a_person_has_no_text(settings: Settings) -> None:
    with connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        key = keys.upsert_person_key("ab" * 16, "erin", [Scope.READ], 100)
        again = keys.upsert_person_key("ab" * 16, "erin e", [Scope.READ, Scope.WRITE], 200)
        assert (again.name, again.rate_per_minute, again.created_at) == ("erin e", 100, key.created_at)
        assert keys.rotate(key.id) is None
        assert [one.id for one in keys.all()] == [key.id]
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as client:
        for text in (f"sentiloc_{key.id}_", f"sentiloc_{key.id}_-", f"sentiloc_{key.id[:12]}_"):
            assert client.get("/v1/jobs", headers={"X-API-Key": text}).status_code == 401


def test_sign_in_needs_a_provider(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as client:
        assert client.get("/session").json() == {"provider": None}
        assert client.get("/signin").status_code == client.post("/signout").status_code == 404
        refused = client.get("/v1/jobs", headers={"Cookie": f"{SESSION_COOKIE}=abc"})
        assert refused.status_code == 401


def test_a_provider_that_is_away_and_too_many_attempts(settings: Settings) -> None:
    given = asking("http://127.0.0.1:1", oidc_attempts_per_minute=3).model_dump(
        include={"api_keys", "oidc_issuer", "oidc_client_id", "oidc_scopes", "oidc_attempts_per_minute"}
    )
    with TestClient(create_app(settings.model_copy(update=given)), follow_redirects=False) as client:
        answers = [client.get("/signin") for _ in range(4)]
        assert {one.headers.get("location") for one in answers[:3]} == {"/?signin=failed"}
        assert answers[3].headers["location"] == "/?signin=busy"
        made_up = client.get("/signin/callback?state=x&code=y")
        assert made_up.headers["location"] == "/?signin=expired"
        assert client.get(f"/signin/callback?state={'x' * 9000}").headers["location"] == "/?signin=failed"


def test_cookies_are_for_tls_and_for_the_path_of_the_proxy(settings: Settings, liar: LyingProvider) -> None:
    given = asking(liar.issuer).model_dump(
        include={"api_keys", "oidc_issuer", "oidc_client_id", "oidc_scopes"}
    )
    app = create_app(settings.model_copy(update={**given, "trusted_proxies": ["192.0.2.7"]}))
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/sentiloc", "Host": "media.example"}
    with TestClient(app, client=("192.0.2.7", 1), follow_redirects=False) as client:
        answer = client.get("/signin", headers=headers)
    assert answer.status_code == 303
    assert (
        "redirect_uri=https%3A%2F%2Fmedia.example%2Fsentiloc%2Fsignin%2Fcallback"
        in answer.headers["location"]
    )
    assert "code_challenge_method=S256" in answer.headers["location"]
    cookie = answer.headers["set-cookie"].lower()
    for part in ("; secure", "; httponly", "; samesite=lax", "; path=/sentiloc/signin", "; max-age=600"):
        assert part in cookie
