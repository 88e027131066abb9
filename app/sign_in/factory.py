"""Creates the sign-in service from the settings."""

from __future__ import annotations

from redis import Redis

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.sessions import SessionStore
from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.service import SignIn
from sentiloc.model.errors import ErrorCode, SentilocError


def make_sign_in(settings: Settings, redis: Redis, keys: KeyStore, sessions: SessionStore) -> SignIn | None:
    """Signing in with the provider of the settings; None without one.

    Raises:
        SentilocError: `invalid_data`, if the library that checks ID tokens is not installed.
    """
    if settings.oidc_issuer is None:
        return None
    require_library(settings)
    from sentiloc.app.sign_in.provider import Provider

    return SignIn(settings, redis, keys, sessions, Provider(settings))


def require_library(settings: Settings) -> None:
    """Refuse settings that need a library that is not installed.

    Raises:
        SentilocError: `invalid_data`, if the library that checks ID tokens is not installed.
    """
    if settings.oidc_issuer is None:
        return
    try:
        import joserfc  # noqa: F401
    except ImportError as error:
        detail = "SENTILOC_OIDC_ISSUER needs joserfc. Run in Sentiloc's folder: pip install '.[oidc]'"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
