"""People sign in on the page with a real OpenID Connect provider, through a real browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.sessions import SESSION_COOKIE
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.page.browsing import PATIENCE, SETTLED
from tests.page.conftest import SteadyService
from tests.support.proxies import PREFIX, installed, proxy
from tests.support.servers import free_port
from tests.support.services import wait_for
from tests.support.sign_in.running import SECRET, NotAvailableError, RunningProvider, install, provider

pytest.importorskip("joserfc", reason="joserfc is not installed (it is part of [oidc])")

PEOPLE = {
    "erin": {"groups": ["editors"], "team": "news"},
    "ed": {"groups": ["editors"], "team": "news"},
    "rita": {"groups": ["readers"], "team": "archive"},
    "noah": {"groups": ["guests"]},
}
ROOT = "/media/sentiloc"
Open = Callable[..., str]


@pytest.fixture(scope="module")
def tls_port() -> int:
    """The port of a proxy, which the provider has to know."""
    return free_port()


@pytest.fixture(scope="module")
def real_provider(tmp_path_factory: pytest.TempPathFactory, tls_port: int) -> Iterator[RunningProvider]:
    try:
        folder = install(tmp_path_factory.mktemp("provider"))
        with provider(folder, PEOPLE, ("", ROOT), (f"https://localhost:{tls_port}{PREFIX}/",)) as found:
            yield found
    except NotAvailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def open_service(service: SteadyService, real_provider: RunningProvider) -> Iterator[Open]:
    """Starts a second API of the service, with the provider."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(**changes: Any) -> str:
        app = create_app(settings_with(service, real_provider, **changes))
        # The application itself reads a trusted proxy's headers.
        config = uvicorn.Config(
            app, port=real_provider.service_port, log_level="warning", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        wait_for(lambda: server.started)
        return f"http://127.0.0.1:{real_provider.service_port}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


def settings_with(service: SteadyService, given: RunningProvider, **changes: Any) -> Settings:
    wanted: dict[str, Any] = {
        "redis_url": f"unix://{service.data}/redis/redis.sock",
        "data_dir": service.data,
        "api_keys": "on",
        "oidc_issuer": given.issuer,
        "oidc_client_id": "sentiloc",
        "oidc_client_secret": SECRET,
        "oidc_name": "Example Media",
        "oidc_request": "openid profile",
        "oidc_scopes": {"editors": ["read", "write"], "readers": ["read"]},
        **changes,
    }
    return Settings(**wanted)


@pytest.fixture
def context(browser: Any) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def sign_in(page: Page, url: str, login: str, path: str = "/") -> None:
    """Sign in as a person: the button, the provider's login and consent, and the way back."""
    page.goto(url + path)
    page.click("#sign-in:not([hidden])")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.click("button[type=submit]:has-text('Continue')")
    page.wait_for_url(f"{url}/**")


def signed_in(context: BrowserContext, url: str, login: str) -> Page:
    """A new page on which somebody has signed in."""
    page = context.new_page()
    sign_in(page, url, login)
    page.wait_for_selector(f"text=Signed in: {login}")
    return page


def as_person(context: BrowserContext, url: str) -> httpx.Client:
    """A client with the cookies of the browser, as an attacker's page would use them."""
    cookies = {one.get("name", ""): one.get("value", "") for one in context.cookies(url)}
    return httpx.Client(base_url=url, cookies=cookies, timeout=PATIENCE / 1000)


def test_a_person_signs_in_works_and_logs_out(open_service: Open, context: BrowserContext, job: str) -> None:
    url = open_service(oidc_provider_logout=True)
    page = context.new_page()
    sign_in(page, url, "erin", f"/#{'x' * 22}")
    page.wait_for_selector("#problem:not([hidden])")  # the address was kept; this job does not exist
    page.goto(f"{url}/")
    page.wait_for_selector("text=Signed in: erin")
    assert page.is_visible("#drop")
    (cookie,) = [one for one in context.cookies(url) if one.get("name") == SESSION_COOKIE]
    assert cookie.get("httpOnly") and cookie.get("sameSite") == "Lax"
    assert page.evaluate("document.cookie") == ""
    with as_person(context, url) as client:
        own = client.get("/v1/key").json()
        assert (own["person"], own["scopes"]) == ("erin", ["read", "write"])
        assert client.get(f"/v1/jobs/{job}").status_code == 404  # no key of these people created it
        made = client.post("/v1/localize/url", json={"url": "https://media.example/a.mp4"})
        assert made.status_code == 202
        mine = made.json()["id"]
        assert client.delete(f"/v1/jobs/{mine}").status_code in (200, 204)
        page.click("#log-out")
        page.click("button:has-text('Yes')")  # the provider asks whether to end its session, too
        page.wait_for_selector("#key-box[open]")
        assert page.url == f"{url}/"
        assert client.get("/v1/jobs").status_code == 401
    # The provider's session has ended: it asks for the login again.
    page.click("#sign-in:not([hidden])")
    page.wait_for_selector("input[name=login]")


def test_a_logout_at_the_provider_ends_the_session_here(
    open_service: Open, context: BrowserContext, browser: Any, real_provider: RunningProvider
) -> None:
    url = open_service()
    page = signed_in(context, url, "erin")
    elsewhere = browser.new_context()
    elsewhere.set_default_timeout(PATIENCE)
    signed_in(elsewhere, url, "erin")
    with as_person(context, url) as client, as_person(elsewhere, url) as other:
        page.goto(f"{real_provider.issuer}/session/end")
        page.click("button:has-text('Yes')")
        wait_for(lambda: client.get("/v1/jobs").status_code == 401)
        # The person's session in another browser is another session of the provider.
        assert other.get("/v1/jobs").status_code == 200
    elsewhere.close()
    page.goto(f"{url}/")
    page.wait_for_selector("#key-box[open]")


def test_groups_decide_the_scopes_of_people(open_service: Open, context: BrowserContext) -> None:
    url = open_service()
    page = signed_in(context, url, "rita")
    assert page.is_hidden("#drop") and page.is_visible("#read-only")
    with as_person(context, url) as client:
        refused = client.post("/v1/localize/url", json={"url": "https://media.example/a.mp4"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_somebody_without_a_group_is_refused(open_service: Open, context: BrowserContext) -> None:
    url = open_service()
    page = context.new_page()
    sign_in(page, url, "noah")
    page.wait_for_selector("text=you have no access to this server")
    assert SESSION_COOKIE not in {one.get("name") for one in context.cookies(url)}
    assert page.url == f"{url}/"


def test_people_of_a_team_share_their_jobs(open_service: Open, browser: Any) -> None:
    url = open_service(oidc_owner_claim="team")
    owners = []
    for login in ("erin", "ed"):
        context = browser.new_context()
        context.set_default_timeout(PATIENCE)
        sign_in(context.new_page(), url, login)
        with as_person(context, url) as client:
            wait_for(lambda client=client: client.get("/v1/key").status_code == 200)  # type: ignore[misc]
            owners.append(client.get("/v1/key").json())
        context.close()
    assert owners[0]["id"] == owners[1]["id"]
    assert [one["person"] for one in owners] == ["erin", "ed"]


def test_a_group_works_as_a_key_until_it_is_revoked(
    open_service: Open, context: BrowserContext, service: SteadyService, real_provider: RunningProvider
) -> None:
    settings = settings_with(service, real_provider)
    with connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        key = keys.create("desk", ["read"], rate_per_minute=1000).key  # type: ignore[list-item]
        url = open_service(oidc_keys={"editors": key.id})
        signed_in(context, url, "ed")
        with as_person(context, url) as client:
            own = client.get("/v1/key").json()
            assert (own["id"], own["name"], own["scopes"]) == (key.id, "desk", ["read"])
            keys.revoke(key.id)
            assert client.get("/v1/jobs").status_code == 401


def test_an_answer_counts_once_and_in_its_own_browser_only(
    open_service: Open, context: BrowserContext, browser: Any
) -> None:
    url = open_service()
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    sign_in(page, url, "erin")
    page.wait_for_selector("text=Signed in: erin")
    (answer,) = [one for one in seen if "/signin/callback?" in one]
    with as_person(context, url) as client:
        assert client.get(answer).headers["location"] == "/?signin=expired"  # used before
    # An attacker starts, and lets the victim's browser finish: the victim must not be signed in as the attacker.
    other = browser.new_context()
    other.set_default_timeout(PATIENCE)
    attacker = other.new_page()
    attacker.goto(f"{url}/")
    attacker.click("#sign-in:not([hidden])")
    attacker.fill("input[name=login]", "ed")
    attacker.fill("input[name=password]", "any")
    attacker.click("button[type=submit]")
    attacker.wait_for_selector("button[type=submit]:has-text('Continue')")
    stolen = str(attacker.evaluate("document.querySelector('form').action"))
    agreed = other.request.post(stolen, form={"prompt": "consent"}, max_redirects=0)
    answered = other.request.get(agreed.headers["location"], max_redirects=0).headers["location"]
    other.close()
    assert answered.startswith(f"{url}/signin/callback?code=")
    page.goto(answered)
    page.wait_for_selector("text=Signed in: erin")


def test_other_sites_cannot_use_the_session(open_service: Open, context: BrowserContext) -> None:
    url = open_service(cors_origins=["https://edit.example"])
    signed_in(context, url, "erin")
    body = {"url": "https://media.example/a.mp4"}
    with as_person(context, url) as client:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "https://edit.example"},  # may use the API, but with a key
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null"},
        ):
            for path in ("/v1/localize/url", "/localize/url", "/signout"):
                refused = client.post(path, json=body, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
        assert client.get("/v1/jobs").status_code == 200
        own = client.post("/v1/localize/url", json=body, headers={"Origin": url})
        assert own.status_code == 202


def test_a_session_ends_by_itself(
    open_service: Open, context: BrowserContext, service: SteadyService, real_provider: RunningProvider
) -> None:
    url = open_service()
    signed_in(context, url, "erin")
    settings = settings_with(service, real_provider)
    with as_person(context, url) as client, connect(settings) as redis:
        assert client.get("/v1/jobs").status_code == 200
        for name in redis.scan_iter(f"{settings.redis_prefix}session:*"):
            redis.hset(name, "expires_at", repr(time.time() - 1))
        told = client.get("/v1/jobs").json()
        assert told["code"] == "unauthorized"
        assert "Sign in again" in told["detail"]


def test_signing_in_works_under_a_path(open_service: Open, context: BrowserContext) -> None:
    url = open_service(root_path=ROOT, oidc_provider_logout=True) + ROOT
    page = signed_in(context, url, "erin")
    (cookie,) = [one for one in context.cookies(f"{url}/") if one.get("name") == SESSION_COOKIE]
    assert cookie.get("path") == f"{ROOT}/"
    page.click("#log-out")
    page.click("button:has-text('Yes')")
    page.wait_for_selector("#key-box[open]")
    assert page.url == f"{url}/"


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_signing_in_works_behind_a_proxy_with_tls(
    open_service: Open, browser: Any, tls_port: int, tmp_path: Path, name: str
) -> None:
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    behind = open_service(trusted_proxies=["127.0.0.1"], oidc_provider_logout=True)
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(PATIENCE)
    with proxy(name, tmp_path / name, behind, buffers=True, port=tls_port) as shown:
        page = signed_in(context, shown.url, "erin")
        (cookie,) = [one for one in context.cookies(f"{shown.url}/") if one.get("name") == SESSION_COOKIE]
        assert (cookie.get("path"), cookie.get("secure"), cookie.get("httpOnly")) == (
            f"{PREFIX}/",
            True,
            True,
        )
        # A request that changes something: the page's origin is the proxy's, and it may.
        sent = page.evaluate(
            "fetch('v1/localize/url', {method: 'POST', headers: {'Content-Type': 'application/json'},"
            " body: JSON.stringify({url: 'https://media.example/a.mp4'})}).then((answer) => answer.status)"
        )
        assert sent == 202
        page.click("#log-out")
        page.click("button:has-text('Yes')")
        page.wait_for_selector("#key-box[open]")
        assert page.url == f"{shown.url}/"
        assert [one for one in context.cookies(f"{shown.url}/") if one.get("name") == SESSION_COOKIE] == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_people_sign_in(open_service: Open, browser: Any, scheme: str) -> None:
    url = open_service()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    for reason in ("", "?signin=refused", "?signin=expired", "?signin=failed", "?signin=busy"):
        page.goto(f"{url}/{reason}")
        page.wait_for_selector("#sign-in:not([hidden])")
        page.wait_for_selector("#key-box[open]")
        assert bool(page.inner_text("#key-note")) == bool(reason)
        assert violations(page) == []
    signed_in(context, url, "erin").close()
    page.goto(f"{url}/")
    page.wait_for_selector("text=Signed in: erin")
    assert violations(page) == []
    page.click("#log-out")
    page.wait_for_selector("#key-box[open]")
    assert violations(page) == []
    context.close()


def violations(page: Page) -> list[str]:
    """What axe finds, after colour transitions have ended."""
    page.evaluate(SETTLED)
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def test_who_signs_in_again_has_one_session(open_service: Open, context: BrowserContext) -> None:
    url = open_service()
    page = signed_in(context, url, "erin")
    with as_person(context, url) as before:
        assert before.get("/v1/jobs").status_code == 200
        page.goto(f"{url}/signin")
        page.wait_for_url(f"{url}/")
        with as_person(context, url) as after:
            assert after.get("/v1/jobs").status_code == 200
        assert before.get("/v1/jobs").status_code == 401


def test_a_key_in_a_request_counts_before_the_cookie(open_service: Open, context: BrowserContext) -> None:
    url = open_service()
    signed_in(context, url, "erin")
    with as_person(context, url) as client:
        assert client.get("/v1/jobs", headers={"X-API-Key": "wrong"}).status_code == 401
        session = json.loads(client.get("/session").text)
    assert session == {"provider": "Example Media"}
