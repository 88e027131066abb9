"""An OpenID Connect provider: discovery, the authorization code flow with PKCE, and the check of ID tokens.

Follows OpenID Connect Core 1.0 (sections 3.1.2 and 3.1.3), RFC 7636 (PKCE, S256), RFC 9207 (`iss` in the answer),
RP-Initiated Logout 1.0 and Back-Channel Logout 1.0. Signatures and claims are checked by joserfc.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import Attempt, SignInFailed
from sentiloc.app.sign_in.description import Description, described
from sentiloc.app.sign_in.logout import LEEWAY_SECONDS, Logout, logout_of
from sentiloc.app.sign_in.signatures import usable_keys, verified

_TIMEOUT_SECONDS = 10.0
_KEPT_SECONDS = 3600.0
_RETRY_KEYS_SECONDS = 30.0
_MOST_BYTES = 1 << 20
_SHOWN = 100
_BEARER = re.compile("[!-~]+")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The claims of a person, from the ID token and from the provider's user information."""

    claims: Mapping[str, Any]
    id_token: str


class Provider:
    """The provider of the settings. It belongs to one event loop. Its description is cached for an hour."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer or ""
        self._lock = asyncio.Lock()
        self._about: Description | None = None
        self._about_at = float("-inf")
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")
        self._tls: ssl.SSLContext | None = None

    async def authorization_url(self, attempt: Attempt) -> str:
        """The URL at which the browser signs in; raises `SignInFailed` if the provider cannot be reached."""
        about = await self._discovered()
        query = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id or "",
            "redirect_uri": attempt.redirect_url,
            "scope": self._settings.oidc_request,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return _with_query(about.authorization_endpoint, query)

    async def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> SignedIn:
        """The person behind an answer of the provider to `attempt`.

        Args:
            attempt: The attempt; its state has been compared already.
            answer: The query of the browser's return.

        Raises:
            SignInFailed: The provider refused, cannot be reached, or gave an invalid answer.
        """
        about = await self._discovered()
        self._check_answer(about, answer)
        async with self._client() as client:
            tokens = await self._exchange(client, about, attempt, answer["code"])
            id_token = str(tokens.get("id_token") or "")
            claims = await self._checked(client, about, id_token, attempt.nonce)
            more = await self._user_information(client, about, tokens, claims["sub"])
        # The ID token's claims win, because they are signed.
        return SignedIn({**more, **claims}, id_token)

    async def logout_url(self, id_token: str, back: str) -> str | None:
        """The URL at which the browser ends its session at the provider; None if the provider has none."""
        end = (await self._discovered()).end_session_endpoint
        if end is None:
            return None
        query = {"client_id": self._settings.oidc_client_id or "", "post_logout_redirect_uri": back}
        return _with_query(end, {**query, "id_token_hint": id_token} if id_token else query)

    async def logged_out(self, token: str) -> Logout:
        """Whom a logout token of the provider names; raises `SignInFailed` if it is not valid."""
        about = await self._discovered()
        async with self._client() as client:
            try:
                claims = await self._verified(client, about, token)
            except (JoseError, ValueError, TypeError) as error:
                raise SignInFailed(
                    f"the logout token is not signed by the provider: {str(error)[:_SHOWN]}"
                ) from error
        return logout_of(claims, self._settings, time.time())

    def _client(self) -> httpx.AsyncClient:
        # Reading the certificates of the authorities takes 20 ms, and anybody may send logout tokens.
        self._tls = self._tls or httpx.create_ssl_context()
        # A redirect could lead to a host that was not checked.
        return httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False, verify=self._tls)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One request asks the provider, and the others wait for its result. The time limit includes the wait."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._lock:
                yield
        except TimeoutError as error:
            raise SignInFailed("the provider does not answer in time") from error

    async def _discovered(self) -> Description:
        async with self._turn():
            # Inside the lock, so that waiting requests use what the first one fetched.
            if self._about is None or time.monotonic() - self._about_at > _KEPT_SECONDS:
                async with self._client() as client:
                    url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
                    self._about = described(await _read(client, "GET", url), self._issuer)
                self._about_at = time.monotonic()
            return self._about

    def _check_answer(self, about: Description, answer: Mapping[str, str]) -> None:
        named = answer.get("iss")
        if named is None and about.authorization_response_iss_parameter_supported:
            raise SignInFailed("the answer does not name its issuer")
        if named is not None and named != self._issuer:
            raise SignInFailed("the answer comes from another issuer")
        if "error" in answer:
            raise SignInFailed(f"the provider answered {answer['error'][:_SHOWN]!r}")
        if not answer.get("code"):
            raise SignInFailed("the answer has no code")

    async def _exchange(
        self, client: httpx.AsyncClient, about: Description, attempt: Attempt, code: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_url,
            "code_verifier": attempt.verifier,
        }
        headers = self._identify(about, form)
        return await _read(client, "POST", about.token_endpoint, data=form, headers=headers)

    def _identify(self, about: Description, form: dict[str, str]) -> dict[str, str]:
        """Show the client's id and secret, in a header or in the form, as the provider wants it."""
        client_id, secret = self._settings.oidc_client_id or "", self._settings.oidc_client_secret
        if secret is None or "client_secret_basic" not in about.token_endpoint_auth_methods_supported:
            form["client_id"] = client_id
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
            return {}
        # RFC 6749, section 2.3.1: both parts are encoded as in a form first.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret.get_secret_value())}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _checked(
        self, client: httpx.AsyncClient, about: Description, id_token: str, nonce: str
    ) -> dict[str, Any]:
        try:
            claims = await self._verified(client, about, id_token)
            self._requirements().validate(claims)
            # Encoded, because compare_digest accepts only ASCII text.
            is_ours = hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode())
        except (JoseError, ValueError, TypeError) as error:
            reason = str(error)[:_SHOWN]
            raise SignInFailed(f"the ID token is not valid: {reason}") from error
        if not is_ours:
            raise SignInFailed("the ID token belongs to another attempt")
        self._check_party(claims)
        return claims

    def _requirements(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._settings.oidc_client_id or ""},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True},
        )

    def _check_party(self, claims: Mapping[str, Any]) -> None:
        """OpenID Connect Core 3.1.3.7, steps 4 and 5: a token for several clients must name this one."""
        audience, party = claims["aud"], claims.get("azp")
        is_shared = isinstance(audience, list) and len(audience) > 1
        if (is_shared or party is not None) and party != self._settings.oidc_client_id:
            raise SignInFailed("the ID token was made for another client")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise SignInFailed("the ID token names no person")

    async def _verified(self, client: httpx.AsyncClient, about: Description, id_token: str) -> dict[str, Any]:
        keys = await self._key_set(client, about, _KEPT_SECONDS)
        try:
            return verified(id_token, keys)
        except JoseError:
            # The provider may have changed its keys since they were cached.
            newer = await self._key_set(client, about, _RETRY_KEYS_SECONDS)
            if newer is keys:
                raise
            return verified(id_token, newer)

    async def _key_set(self, client: httpx.AsyncClient, about: Description, kept_seconds: float) -> KeySet:
        async with self._turn():
            if self._keys is None or time.monotonic() - self._keys_at > kept_seconds:
                self._keys = usable_keys(await _read(client, "GET", about.jwks_uri))
                self._keys_at = time.monotonic()
            return self._keys

    async def _user_information(
        self, client: httpx.AsyncClient, about: Description, tokens: Mapping[str, Any], subject: str
    ) -> dict[str, Any]:
        """Claims that only the user information endpoint provides; empty if there is none."""
        url, access = about.userinfo_endpoint, tokens.get("access_token")
        if url is None or not isinstance(access, str) or not _BEARER.fullmatch(access):
            return {}
        claims = await _read(client, "GET", url, headers={"Authorization": f"Bearer {access}"})
        # Core 1.0, section 5.3.2: the access token may belong to another person.
        if claims.get("sub") != subject:
            raise SignInFailed("the user information is about another person")
        return claims


def challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def _read(client: httpx.AsyncClient, method: str, url: str, **request: Any) -> dict[str, Any]:
    """The provider's answer, a JSON object; raises `SignInFailed`."""
    where = f"{method} {urlsplit(url).path}"
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), client.stream(method, url, **request) as answer:
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise SignInFailed(f"{where}: the answer is too large")
        found = httpx.Response(answer.status_code, content=bytes(body)).json()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
        raise SignInFailed(f"{where}: {type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK or not isinstance(found, dict):
        error_code = found.get("error") if isinstance(found, dict) else None
        reason = f" {str(error_code)[:_SHOWN]!r}" if error_code else ""
        raise SignInFailed(f"{where}: {answer.status_code}{reason}")
    return found


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
