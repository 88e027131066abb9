"""The settings of signing in on the page with OpenID Connect, read from `SENTILOC_OIDC_*`."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from sentiloc.app.settings.service import LOOPBACK_NAMES

EVERYBODY = "*"
CALLBACK = "signin/callback"
"""Where the provider sends the browser back to, below the page's address."""
_OF_A_PROVIDER = (
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_redirect_url",
    "oidc_scopes",
    "oidc_keys",
    "oidc_provider_logout",
)
_Scope = Literal["read", "write", "metrics", "admin"]
_KeyId = Annotated[str, Field(pattern="^[a-z0-9]{1,64}$")]


class SignInSettings(BaseSettings):
    """Which provider people sign in with, and what its claims allow them."""

    oidc_issuer: str | None = Field(
        None,
        description="Issuer URL of an OpenID Connect provider for people on the page; default: keys only",
    )
    oidc_client_id: str | None = Field(None, description="This service's client id at the provider")
    oidc_client_secret: SecretStr | None = Field(
        None, description="The client's secret; default: a public client, protected by PKCE alone"
    )
    oidc_name: str = Field(
        "your organization", min_length=1, max_length=60, description="The provider's name on the page"
    )
    oidc_request: str = Field(
        "openid profile email",
        pattern=r"^openid( [!#-\[\]-~]+)*$",
        description="The OpenID Connect scopes that are asked for, `openid` first",
    )
    oidc_redirect_url: str | None = Field(
        None,
        description="The full URL of `/signin/callback` as registered; default: as the browser called the service",
    )
    oidc_groups_claim: str = Field(
        "groups", min_length=1, description="The claim that lists a person's groups; dots lead into objects"
    )
    oidc_scopes: dict[str, list[_Scope]] = Field(
        {},
        description=(
            'Scopes of each group, as JSON, such as {"editors": ["read", "write"]}; "*" is everybody. People '
            "without a scope are refused"
        ),
    )
    oidc_owner_claim: str = Field(
        "sub", min_length=1, description="People with the same value of this claim share their jobs"
    )
    oidc_keys: dict[str, _KeyId] = Field(
        {},
        description='Id of the API key as which a group works, as JSON, such as {"editors": "3f9a1c07be52"}',
    )
    oidc_name_claim: str = Field(
        "preferred_username",
        min_length=1,
        description="The claim with the name to show; without it, email or sub",
    )
    oidc_attempts_per_minute: int = Field(
        60, ge=1, description="How often people of one address may begin to sign in per minute"
    )
    oidc_provider_logout: bool = Field(
        False, description="Whether logging out also ends the session at the provider"
    )
    session_seconds: float = Field(
        8 * 3600, gt=0, le=30 * 86_400, description="A person has to sign in again after this time"
    )
    session_idle_seconds: float = Field(
        3600, gt=0, description="A session without a request for this long ends"
    )

    @field_validator("oidc_issuer", "oidc_redirect_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        is_local = url.scheme == "http" and url.hostname in LOOPBACK_NAMES
        if not url.hostname or not (url.scheme == "https" or is_local):
            raise ValueError("must be an https URL; http is for loopback addresses only")
        if url.query or url.fragment or url.username:
            raise ValueError("must not have a query, a fragment or a user name")
        return value

    @field_validator("oidc_redirect_url")
    @classmethod
    def _is_callback(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(f"/{CALLBACK}"):
            raise ValueError(f"must end with /{CALLBACK}")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.oidc_issuer is not None and not self.oidc_client_id:
            raise ValueError("SENTILOC_OIDC_ISSUER needs SENTILOC_OIDC_CLIENT_ID")
        if self.oidc_issuer is not None and not self.oidc_scopes:
            raise ValueError(
                'SENTILOC_OIDC_ISSUER needs SENTILOC_OIDC_SCOPES, such as {"*": ["read", "write"]}'
            )
        # Without this, nobody could sign in, and nothing would say why.
        lonely = [name for name in _OF_A_PROVIDER if self.oidc_issuer is None and getattr(self, name)]
        if lonely:
            raise ValueError(f"SENTILOC_{lonely[0].upper()} needs SENTILOC_OIDC_ISSUER")
        return self
