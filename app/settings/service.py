"""The address of the service, who may call it, its logs and its traces."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

# Any byte but control characters, `.`, `/` and `\\`, which would change the path's meaning when they are decoded.
_ENCODED = "%(?:2[0-9A-Da-d]|5[0-9ABD-Fabd-f]|7[0-9A-Ea-e]|[34689A-Fa-f][0-9A-Fa-f])"
_MARK = f"(?:[A-Za-z0-9_~@+=!$:*-]|{_ENCODED})"
# Every character can match in one way only: otherwise a long text that does not match takes years.
ROOT_PATH = rf"(/(?!\.+(?:/|\Z))(?:\.|{_MARK})+){{0,8}}"
"""A path under which a proxy serves this service, encoded as in a URL: empty, or segments that are not dots alone."""
# As a browser writes it; `null` is that of a page without one.
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#\s]+")
# The name in a `Host` header: without brackets around an IPv6 address, and without a port.
_HOST = re.compile(r"\*|[^/:\s]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ServiceSettings(BaseSettings):
    """The address of the service, who may call it, its logs and its traces."""

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0: any free one")
    health_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="A second port that answers only `/healthz`, however busy the first one is",
    )
    api_shutdown_seconds: int = Field(
        3,
        ge=0,
        description="Time that requests in progress have to end when the API stops; open event streams use all of it",
    )
    root_path: str = Field(
        "",
        max_length=200,
        description="Path under which a proxy serves this service, such as /sentiloc; X-Forwarded-Prefix overrides it",
    )
    trusted_proxies: list[str] = Field(
        [],
        description=(
            "Addresses of proxies whose X-Forwarded-For and X-Forwarded-Prefix are trusted, as a JSON list"
        ),
    )
    allowed_hosts: list[str] | None = Field(
        None,
        description=(
            'Names by which this service may be called, as a JSON list, or ["*"]; default: the loopback names if no '
            "keys are needed, else every name"
        ),
    )
    cors_origins: list[str] = Field(
        [],
        description="Web origins that may use the API from a browser, as a JSON list; default: only its own page",
    )
    embed_ancestors: list[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.*:-]+$")]] = Field(
        [],
        description="Sites that may frame the player of a shared link, as a JSON list; default: this server",
    )
    api_keys: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether requests need an API key; auto: on every address that is not a loopback one, "
        "and where people sign in",
    )
    key_rate_per_minute: int = Field(
        1200, ge=1, description="Requests per minute of keys that are made without a rate"
    )
    bad_keys_per_minute: int = Field(
        20,
        ge=1,
        description="Wrong API keys that one address may send per minute; then its wrong keys get a 429",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe messages that the log contains"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines of text, or one JSON object a line"
    )
    audit_log: Path | None = Field(
        None,
        description="File for the audit log: JSON lines that say who did what and when, without content",
    )
    tracing: bool = Field(
        False, description="Whether OpenTelemetry traces are sent; the variables OTEL_… say where"
    )

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, text: str) -> str:
        # Not a `pattern`, which would have no text of its own when the settings are explained.
        if not re.fullmatch(ROOT_PATH, text):
            raise ValueError("must be a path such as /sentiloc, encoded as in a URL, without / at its end")
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for one in value:
            if one != "*" and not is_network(one):
                raise ValueError(f"{one!r} is not an address or a network, such as 10.0.0.2 or 10.0.0.0/24")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        for one in value:
            if not _ORIGIN.fullmatch(one):
                raise ValueError(f"{one!r} is not a site without a path, such as https://example.com")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: list[str] | None) -> list[str] | None:
        for one in value or ():
            if not _HOST.fullmatch(one):
                raise ValueError(f"{one!r} is not a name without a port, such as media.example.com")
        return value

    @property
    def host_names(self) -> frozenset[str] | None:
        """Names that a `Host` header may hold; None for every name."""
        if self.allowed_hosts is not None:
            return (
                None if "*" in self.allowed_hosts else frozenset(name.lower() for name in self.allowed_hosts)
            )
        if self.keys_required or not _is_loopback(self.host):
            return None
        # Protects a server without keys from DNS rebinding: a page elsewhere cannot reach it under its own
        # name.
        return frozenset({*LOOPBACK_NAMES, self.host.strip("[]").lower()})

    @property
    def keys_required(self) -> bool:
        """True if requests need an API key."""
        return self.api_keys == "on" or (self.api_keys == "auto" and not _is_loopback(self.host))


def is_network(text: str) -> bool:
    """Whether a text is an IP address or a network, such as 10.0.0.0/24."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        # Other names are not resolved: the answer could change while the server runs.
        return host == "localhost"
