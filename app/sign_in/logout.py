"""The provider ends sessions: the check of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import SignInFailed

LEEWAY_SECONDS = 60
_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LONGEST_VALID_SECONDS = 3600
_LONGEST_NAME = 255
_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Logout:
    """Who is logged out: one session of the provider (`sid`), or all of a person (`subject`); "" if not named."""

    subject: str
    sid: str
    token_id: str
    seconds: int
    """How long the token could be sent again."""


def logout_of(claims: Mapping[str, Any], settings: Settings, now: float) -> Logout:
    """Whom the claims of a logout token name, after the checks that the standard asks for.

    Args:
        claims: The claims, whose signature has been checked.
        settings: The issuer and the client.
        now: Unix seconds.

    Raises:
        SignInFailed: The claims are not those of a valid logout token.
    """
    rules = jwt.JWTClaimsRegistry(
        now=lambda: int(now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": settings.oidc_issuer or ""},
        aud={"essential": True, "value": settings.oidc_client_id or ""},
        iat={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
        events={"essential": True},
    )
    try:
        rules.validate(dict(claims))
    except (JoseError, ValueError, TypeError) as error:
        raise SignInFailed(f"the logout token is not valid: {str(error)[:_SHOWN]}") from error
    # The `nonce` of ID tokens is prohibited, so that no ID token passes for a logout token.
    if "nonce" in claims:
        raise SignInFailed("the logout token has a nonce, as ID tokens have")
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
        raise SignInFailed("the token is not about a logout")
    seconds = int(claims["exp"] - now) + LEEWAY_SECONDS
    if seconds > _LONGEST_VALID_SECONDS + LEEWAY_SECONDS:
        raise SignInFailed("the logout token is valid for more than an hour")
    subject, sid, token_id = (_text(claims, name) for name in ("sub", "sid", "jti"))
    if not token_id or not (subject or sid):
        raise SignInFailed("the logout token has no id, or names nobody")
    return Logout(subject=subject, sid=sid, token_id=token_id, seconds=max(1, seconds))


def _text(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name, "")
    if not isinstance(found, str) or len(found) > _LONGEST_NAME:
        raise SignInFailed(f"the logout token has an odd {name!r}")
    return found
