"""A provider's description (OpenID Connect Discovery 1.0), which is checked before anything is sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from sentiloc.app.settings.service import LOOPBACK_NAMES
from sentiloc.app.sign_in.attempts import SignInFailed

_SHOWN = 100
_LONGEST_URL = 2048


class Description(BaseModel):
    """The parts of a provider's description that signing in uses. An endpoint that is not safe counts as missing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: frozenset[str] = frozenset({"client_secret_basic"})
    authorization_response_iss_parameter_supported: bool = False

    @field_validator("authorization_endpoint", "token_endpoint", "jwks_uri")
    @classmethod
    def _must_be_safe(cls, url: str, info: ValidationInfo) -> str:
        if not _is_safe(url, info.data.get("issuer", "")):
            raise ValueError("not a safe URL")
        return url

    @field_validator("userinfo_endpoint", "end_session_endpoint", mode="before")
    @classmethod
    def _may_be_safe(cls, url: object, info: ValidationInfo) -> str | None:
        return url if isinstance(url, str) and _is_safe(url, info.data.get("issuer", "")) else None


def described(found: Mapping[str, Any], issuer: str) -> Description:
    """The description that the provider of `issuer` gave; raises `SignInFailed` if it is not acceptable."""
    # Discovery 1.0, section 4.3: otherwise one provider could pose as another.
    if found.get("issuer") != issuer:
        named = repr(found.get("issuer"))[:_SHOWN]
        raise SignInFailed(f"the provider calls itself {named}, not {issuer!r}")
    try:
        return Description.model_validate({name: value for name, value in found.items() if value is not None})
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"]))[:_SHOWN]
        raise SignInFailed(f"the provider names no safe {wrong}") from error


def _is_safe(url: str, issuer: str) -> bool:
    """https; or http on this machine, if the provider itself runs there. Others must not reach local services."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and not (parts.username or parts.password or parts.fragment)
    except ValueError:
        return False
    if not is_whole or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES and issuer.startswith("http://")
    )
