"""The provider ends sessions: right logout tokens do, and wrong ones are refused."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from sentiloc.app.access.sessions import SESSION_COOKIE, SessionStore
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings

pytest.importorskip("joserfc", reason="joserfc is not installed (it is part of [oidc])")

from joserfc import jwt

from tests.app.asking import VIDEO
from tests.app.test_events import is_listened_to
from tests.support.services import PATIENCE, wait_for
from tests.support.sign_in.lying import CLIENT, KEY, OTHER_KEY, LyingProvider, sign_in

EVENT = "http://schemas.openid.net/event/backchannel-logout"
PATH = "/signin/backchannel"
Start = Callable[..., TestClient]


def logout_token(provider: LyingProvider, key: Any = KEY, **changes: object) -> str:
    """A logout token of the provider; a change to None leaves a claim out."""
    now = int(time.time())
    right = {
        "iss": provider.issuer,
        "aud": CLIENT,
        "sub": "erin",
        "jti": f"{changes}",
        "iat": now,
        "exp": now + 120,
        "events": {EVENT: {}},
    }
    claims = {name: value for name, value in {**right, **changes}.items() if value is not None}
    return str(
        jwt.encode({"alg": "ES256", "kid": "one", "typ": "logout+jwt"}, claims, key, algorithms=["ES256"])
    )


def tell(client: TestClient, token: str) -> httpx.Response:
    """What the provider's server does: it has no cookie."""
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": ""}
    answer: httpx.Response = client.post(PATH, content=f"logout_token={token}", headers=kind)
    return answer


def new_session(client: TestClient, provider: LyingProvider, **claims: object) -> str:
    """Sign in in a browser of its own; the session's cookie."""
    client.cookies.clear()
    assert sign_in(client, provider, **claims) == "/"
    cookie = str(client.cookies[SESSION_COOKIE])
    client.cookies.clear()
    return cookie


def status(client: TestClient, cookie: str) -> int:
    return int(client.get("/v1/key", headers={"Cookie": f"{SESSION_COOKIE}={cookie}"}).status_code)


@pytest.fixture
def client(start: Start) -> Iterator[TestClient]:
    with start() as found:
        yield found


def test_all_sessions_of_the_person_end(client: TestClient, liar: LyingProvider) -> None:
    mine = [new_session(client, liar), new_session(client, liar, sid="a")]
    other = new_session(client, liar, sub="ed")
    answer = tell(client, logout_token(liar))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert [status(client, one) for one in (*mine, other)] == [401, 401, 200]


def test_its_event_streams_end(client: TestClient, liar: LyingProvider, store: JobStore) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={new_session(client, liar)}"}
    made = client.post("/v1/localize", files={"video": ("a.mp4", VIDEO)}, headers=cookie)
    job = made.json()["id"]
    heard: list[str] = []
    listener = threading.Thread(
        target=lambda: heard.append(client.get(f"/v1/jobs/{job}/events", headers=cookie).text)
    )
    listener.start()
    wait_for(lambda: is_listened_to(store))
    assert tell(client, logout_token(liar)).status_code == 200
    listener.join(PATIENCE)
    store.cancel(job)
    listener.join()
    assert "event: state" in heard[0]
    assert "event: final" not in heard[0]


@pytest.mark.parametrize("subject", ["erin", None])
def test_one_session_of_the_provider_ends(
    client: TestClient,
    liar: LyingProvider,
    subject: str | None,
) -> None:
    first, second = new_session(client, liar, sid="a"), new_session(client, liar, sid="b")
    assert tell(client, logout_token(liar, sub=subject, sid="a")).status_code == 200
    assert [status(client, one) for one in (first, second)] == [401, 200]
    # A session that is not known here has ended already.
    assert tell(client, logout_token(liar, sub=subject, sid="unknown")).status_code == 200
    assert status(client, second) == 200


def test_a_token_counts_once(client: TestClient, liar: LyingProvider) -> None:
    token = logout_token(liar)
    assert tell(client, token).status_code == 200
    cookie = new_session(client, liar)
    assert tell(client, token).status_code == 400
    assert status(client, cookie) == 200


def test_a_token_counts_only_once_it_has_ended_the_sessions(
    client: TestClient, liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis fails in between: the provider sends the same token again."""
    cookie, token = new_session(client, liar), logout_token(liar)

    async def lose(*_: object) -> int:
        raise RedisConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "end_all", lose)
        assert tell(client, token).status_code == 503
    assert tell(client, token).status_code == 200
    assert status(client, cookie) == 401


def test_wrong_tokens_cost_little(
    client: TestClient, liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may send them. Reading the authorities' certificates for each would take 20 ms of the event loop."""
    made: list[ssl.SSLContext] = []
    really = ssl.create_default_context

    def count(*given: Any, **named: Any) -> ssl.SSLContext:
        made.append(really(*given, **named))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", count)
    assert [tell(client, f"{number}.b.c").status_code for number in range(5)] == [400] * 5
    assert len(made) <= 1
    assert tell(client, logout_token(liar)).status_code == 200


def test_sessions_that_have_ended_are_not_kept_in_lists(
    client: TestClient, liar: LyingProvider, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the list of somebody who signs in every hour would grow for ever."""
    with monkeypatch.context() as patch:
        # As if these had begun 40 days ago.
        past = SimpleNamespace(time=lambda: time.time() - 40 * 86_400)
        patch.setattr("sentiloc.app.access.sessions.time", past)
        for _ in range(3):
            new_session(client, liar)
    new_session(client, liar)
    lists = list(redis.scan_iter(f"{settings.redis_prefix}sessions*"))
    assert len(lists) == 2
    assert [redis.zcard(name) for name in lists] == [1, 1]


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "another client": {"aud": "other"},
    "no issue time": {"iat": None},
    "issued in the future": {"iat": int(4e9)},
    "no end": {"exp": None},
    "expired": {"exp": 1},
    "valid for a year": {"exp": int(4e9)},
    "no id": {"jti": None},
    "an empty id": {"jti": ""},
    "an id that is a number": {"jti": 7},
    "no event": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "an event that is no object": {"events": {EVENT: True}},
    "events in a list": {"events": [EVENT]},
    "a nonce": {"nonce": "n"},
    "nobody": {"sub": None},
    "a person who is a list": {"sub": ["erin"]},
    "a long person": {"sub": "e" * 300},
    "a session that is an object": {"sid": {}},
    "signed by another": {"key": OTHER_KEY},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_token_ends_nothing(client: TestClient, liar: LyingProvider, name: str) -> None:
    cookie = new_session(client, liar)
    answer = tell(client, logout_token(liar, **WRONG[name]))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert status(client, cookie) == 200


BODIES: dict[str, tuple[str, bytes]] = {
    "empty": ("application/x-www-form-urlencoded", b""),
    "another field": ("application/x-www-form-urlencoded", b"token=a"),
    "two tokens": ("application/x-www-form-urlencoded", b"logout_token=a&logout_token=b"),
    "no token at all": ("application/x-www-form-urlencoded", b"logout_token=a.b.c"),
    "very long": ("application/x-www-form-urlencoded", b"logout_token=" + b"a" * 100_000),
    "many fields": ("application/x-www-form-urlencoded", b"a=1&" * 1000),
    "not text": ("application/x-www-form-urlencoded", b"logout_token=\xff"),
    "JSON": ("application/json", b'{"logout_token": "a"}'),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_without_a_token_is_refused(client: TestClient, name: str) -> None:
    kind, body = BODIES[name]
    answer = client.post(PATH, content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_an_id_token_is_no_logout_token(client: TestClient, liar: LyingProvider) -> None:
    cookie = new_session(client, liar)
    issued = liar.answers["/token"]
    assert isinstance(issued, dict)
    assert tell(client, issued["id_token"]).status_code == 400
    assert status(client, cookie) == 200


def test_without_a_provider_there_is_nothing_to_end(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        assert tell(client, "a.b.c").status_code == 404
