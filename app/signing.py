"""Signing secrets of webhooks in the form of Standard Webhooks: `whsec_` and base64."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated

from pydantic import AfterValidator, Field

_MARK = "whsec_"
_BYTES = 32


def new_webhook_secret() -> str:
    """A new secret of 256 random bits."""
    return f"{_MARK}{base64.b64encode(secrets.token_bytes(_BYTES)).decode()}"


def check_webhook_secret(text: str) -> None:
    """Raise ValueError unless the text is `whsec_` and 24 to 64 bytes in base64."""
    try:
        # Without `validate`, Python skips characters that are not base64.
        size = len(base64.b64decode(text.removeprefix(_MARK), validate=True))
    except ValueError:
        size = 0
    if not text.startswith(_MARK) or not 24 <= size <= 64:
        raise ValueError("must be `whsec_` and 24 to 64 bytes in base64")


def _checked(text: str) -> str:
    check_webhook_secret(text)
    return text


SigningSecret = Annotated[str, Field(max_length=200), AfterValidator(_checked)]
"""A webhook secret in a request, checked by `check_webhook_secret`."""
