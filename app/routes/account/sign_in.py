"""Signing in on the page with OpenID Connect: `/signin`, `/signin/callback`, `/signout` and `/session`.

These belong to the page, not to the API: a browser is sent from one to the next. The provider itself calls
`/signin/backchannel`.
"""

from __future__ import annotations

import logging
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel

from sentiloc.app.access.caller import set_caller
from sentiloc.app.access.sessions import SESSION_COOKIE
from sentiloc.app.http.address import current_base
from sentiloc.app.http.body import body_chunks
from sentiloc.app.http.connection_table import address_name
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.services import BareServicesDep, ServicesDep
from sentiloc.app.settings import Settings
from sentiloc.app.settings.sign_in import CALLBACK
from sentiloc.app.sign_in.attempts import ATTEMPT_COOKIE, ATTEMPT_SECONDS, SignInFailed, new_browser
from sentiloc.app.sign_in.service import AttemptGone, NotAllowed, SignIn

_logger = logging.getLogger(__name__)
_MOST_ANSWERED = 8192
_MOST_FIELDS = 20
router = APIRouter(include_in_schema=False)


class SessionBody(BaseModel):
    """The facts that the page needs before anybody has signed in."""

    provider: str | None
    """Name of the provider to sign in with; null where only API keys are accepted."""


class SignedOutBody(BaseModel):
    """Where the browser goes next."""

    url: str | None
    """The page of the provider that ends the session there; null if there is nothing to do."""


def _sign_in(services: ServicesDep) -> SignIn:
    if services.sign_in is None:
        raise ProblemError(404, ProblemCode.NOT_FOUND, "Nobody can sign in on this server.")
    return services.sign_in


SignInDep = Annotated[SignIn, Depends(_sign_in)]


@router.get("/session")
async def session(services: BareServicesDep, response: Response) -> SessionBody:
    """Whether people can sign in here, and with what."""
    response.headers.update(NO_STORE)
    return SessionBody(provider=services.settings.oidc_name if services.sign_in else None)


@router.get("/signin")
async def start(request: Request, services: ServicesDep, sign_in: SignInDep) -> Response:
    """Send the browser to the provider."""
    address = address_name(request.client.host if request.client else "")
    if sign_in.attempts_allowed(address):
        # A person reads the answer, perhaps one of many behind the same address.
        return _back("busy")
    # Two tabs of one browser may sign in at once, so a browser keeps its cookie.
    browser = request.cookies.get(ATTEMPT_COOKIE) or new_browser()
    page = _page(request, services.settings)
    try:
        answer = _sent_to(await sign_in.begin(browser, f"{page}{CALLBACK}"))
    except SignInFailed as error:
        _logger.warning("nobody can sign in: %s", error)
        return _back("failed")
    secure, path = page.startswith("https:"), f"{_root()}/signin"
    _set_cookie(answer, ATTEMPT_COOKIE, browser, path, ATTEMPT_SECONDS, secure=secure)
    return answer


@router.get("/signin/callback")
async def callback(request: Request, services: ServicesDep, sign_in: SignInDep) -> Response:
    """The provider sends the browser back: begin a session, and show the page."""
    # A code is short; nothing this long comes from a provider.
    if len(request.url.query) > _MOST_ANSWERED:
        return _back("failed")
    try:
        text, caller = await sign_in.finish(request.cookies.get(ATTEMPT_COOKIE, ""), request.query_params)
    except AttemptGone:
        return _back("expired")
    except NotAllowed:
        return _back("refused")
    except SignInFailed as error:
        _logger.warning("somebody could not sign in: %s", error)
        return _back("failed")
    # Otherwise the earlier session would stay valid until it expires.
    if earlier := request.cookies.get(SESSION_COOKIE):
        await services.sessions.end(earlier)
    set_caller(caller)
    answer = _sent_to(f"{_root()}/")
    seconds = int(services.settings.session_seconds)
    secure = _page(request, services.settings).startswith("https:")
    _set_cookie(answer, SESSION_COOKIE, text, f"{_root()}/", seconds, secure=secure)
    return answer


@router.post("/signout")
async def end(
    request: Request, response: Response, services: ServicesDep, sign_in: SignInDep
) -> SignedOutBody:
    """End the session of this browser."""
    text = request.cookies.get(SESSION_COOKIE)
    url = await sign_in.end(text, _page(request, services.settings)) if text else None
    response.headers.update(NO_STORE)
    response.delete_cookie(SESSION_COOKIE, path=f"{_root()}/", httponly=True, samesite="lax")
    return SignedOutBody(url=url)


@router.post("/signin/backchannel")
async def end_by_provider(request: Request, services: ServicesDep, sign_in: SignInDep) -> Response:
    """The provider has ended somebody's session: end it here, too (OpenID Connect Back-Channel Logout 1.0)."""
    try:
        count = await sign_in.end_by_provider(
            await _logout_token(request, services.settings.upload_idle_seconds)
        )
    except SignInFailed as error:
        # Anybody can call this address, so one address fills no log.
        if not sign_in.attempts_allowed(address_name(request.client.host if request.client else "")):
            _logger.warning("a logout of the provider was refused: %s", error)
        problem = {"error": "invalid_request", "error_description": "The logout token is not valid."}
        return JSONResponse(problem, 400, headers=NO_STORE)
    _logger.info("the provider ended %d sessions", count)
    return Response(status_code=200, headers=NO_STORE)


async def _logout_token(request: Request, idle_seconds: float) -> str:
    """The token of a form that is no longer than a token may be; raises `SignInFailed` and `ProblemError`."""
    body = bytearray()
    async for part in body_chunks(request, idle_seconds):
        body += part
        if len(body) > _MOST_ANSWERED:
            raise SignInFailed("the form is too long")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        given = parse_qs(body.decode("ascii"), max_num_fields=_MOST_FIELDS).get("logout_token", [])
    except ValueError as error:
        raise SignInFailed("the body is not a form") from error
    if kind != "application/x-www-form-urlencoded" or len(given) != 1:
        raise SignInFailed("there is no logout token")
    return given[0]


def _root() -> str:
    return current_base().root


def _page(request: Request, settings: Settings) -> str:
    """The page's full address, as the browser called it. The provider accepts only addresses that are registered."""
    if settings.oidc_redirect_url is not None:
        return settings.oidc_redirect_url.removesuffix(CALLBACK)
    return f"{request.url.scheme}://{request.headers.get('host', '')}{_root()}/"


def _back(reason: str) -> Response:
    """A redirect to the page, which shows why the sign-in failed."""
    return _sent_to(f"{_root()}/?signin={reason}")


def _sent_to(url: str) -> Response:
    # 303 turns any method into a GET.
    return RedirectResponse(url, 303, headers=NO_STORE)


def _set_cookie(answer: Response, name: str, value: str, path: str, seconds: int, *, secure: bool) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=secure,
        httponly=True,
        # Not "strict": the browser must send it when the provider redirects back.
        samesite="lax",
    )
