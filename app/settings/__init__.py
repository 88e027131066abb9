"""The settings of the service, read from environment variables `SENTILOC_*`. API, worker and CLI share them.

Each module holds the settings of one theme. Sizes are bytes and times are seconds, unless a name says otherwise.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Self, get_origin

from pydantic import ValidationError, model_validator
from pydantic_settings import SettingsConfigDict, SettingsError

from sentiloc.app.reasons import plain_reason
from sentiloc.app.settings.media import MediaSettings
from sentiloc.app.settings.models import ModelSettings
from sentiloc.app.settings.requests import RequestSettings
from sentiloc.app.settings.service import ROOT_PATH, ServiceSettings
from sentiloc.app.settings.sign_in import SignInSettings
from sentiloc.app.settings.stores import StoreSettings
from sentiloc.app.settings.webhooks import WebhookSettings
from sentiloc.app.settings.work import WorkSettings
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.names import is_text

__all__ = ["ROOT_PATH", "Settings", "get_settings"]

# Thirty years: the timers of the system end at three hundred.
_LONGEST = 10**9
# Larger whole numbers are not exact in JSON, in which `GET /v1/limits` shows them.
_LARGEST = 2**53


class Settings(
    # Pydantic collects fields from the last base to the first, so the service's own come first.
    SignInSettings,
    WorkSettings,
    ModelSettings,
    WebhookSettings,
    MediaSettings,
    RequestSettings,
    StoreSettings,
    ServiceSettings,
):
    """Every setting of the service, checked together."""

    model_config = SettingsConfigDict(
        env_prefix="SENTILOC_", env_ignore_empty=True, frozen=True, allow_inf_nan=False
    )

    @property
    def keys_required(self) -> bool:
        """True if requests need an API key, which includes every server where people sign in."""
        # Not a refusal: workers share these settings and listen on no address.
        return super().keys_required or (self.api_keys == "auto" and self.oidc_issuer is not None)

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        """Refuse numbers that no timer, counter or client can take, and text that is not UTF-8."""
        for name in type(self).model_fields:
            value, most = getattr(self, name), _LONGEST if name.endswith("_seconds") else _LARGEST
            if isinstance(value, int | float) and value > most:
                raise ValueError(f"{_variable(name)}: must be at most {most}")
            # Neither Redis nor JSON can hold other text. The name of a file may be any bytes.
            if isinstance(value, str) and not is_text(value):
                raise ValueError(f"{_variable(name)}: must be text in UTF-8")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse settings that contradict each other."""
        orders = (
            ("webhook_backoff_seconds", "webhook_backoff_max_seconds"),
            ("fault_pause_seconds", "fault_pause_max_seconds"),
            ("upload_idle_seconds", "upload_expiry_seconds"),
            ("thumbnail_seconds", "job_time_limit_seconds"),
            ("fetch_seconds", "job_time_limit_seconds"),
            ("shutdown_grace_seconds", "job_time_limit_seconds"),
            # One thread uses at most a second of processor time a second.
            ("stall_cpu_seconds", "stall_busy_seconds"),
            ("stall_seconds", "stall_busy_seconds"),
            ("stall_busy_seconds", "job_time_limit_seconds"),
            ("model_load_seconds", "job_time_limit_seconds"),
        )
        for smaller, larger in orders:
            value, most = getattr(self, smaller), getattr(self, larger)
            if value > most:
                limit = f"{_variable(larger)}, which is {most:.15g}"
                raise ValueError(f"{_variable(smaller)} is {value:.15g}; it must not be greater than {limit}")
        if self.storage_public_endpoint is not None and self.storage_url is None:
            raise ValueError("SENTILOC_STORAGE_PUBLIC_ENDPOINT needs SENTILOC_STORAGE_URL")
        if self.oidc_issuer is not None and not self.keys_required:
            raise ValueError("SENTILOC_OIDC_ISSUER needs API keys: SENTILOC_API_KEYS must not be off")
        return self


@lru_cache
def get_settings() -> Settings:
    """The settings of the process, read once. Raises `invalid_data`, which names each bad setting."""
    try:
        return Settings()
    except ValidationError as error:
        detail = "; ".join(_explained(item["loc"], plain_reason(item)) for item in error.errors())
        raise SentilocError(ErrorCode.INVALID_DATA, f"bad settings: {detail}") from error
    except SettingsError as error:
        # A value that is not JSON; the message has the field's name in quotes.
        field = re.search(r'field "(\w+)"', str(error))
        detail = _explained((field[1],), _form(field[1])) if field else str(error)
        raise SentilocError(ErrorCode.INVALID_DATA, f"bad settings: {detail}") from error


def _explained(place: tuple[int | str, ...], reason: str) -> str:
    """A reason with the variable that it is about, and the place in its list or object."""
    if not place:
        return reason
    name, *inner = place
    return f"{'.'.join((_variable(name), *map(str, inner)))}: {reason}"


def _form(name: str) -> str:
    """How to write a setting that is read as JSON."""
    if get_origin(Settings.model_fields[name].annotation) is dict:
        return "must be an object in JSON"
    return 'must be a list in JSON, such as ["one", "two"]'


def _variable(name: object) -> str:
    return f"SENTILOC_{str(name).upper()}"
