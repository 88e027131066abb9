"""How webhooks are signed, sent and repeated."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from sentiloc.app.signing import check_webhook_secret


class WebhookSettings(BaseSettings):
    """How webhooks are signed, sent and repeated."""

    webhook_secret: SecretStr | None = Field(
        None,
        description="`whsec_…`; signs webhooks of jobs that have neither their own secret nor an API key",
    )
    webhook_senders: int = Field(
        8, ge=0, le=256, description="Threads that send webhooks, per API process; at most 256"
    )
    webhook_senders_per_host: int = Field(
        2, ge=1, description="Concurrent deliveries to one host, per API process"
    )
    webhook_timeout_seconds: float = Field(10.0, gt=0, description="How long a receiver may take to answer")
    webhook_max_attempts: int = Field(
        15,
        ge=1,
        description="Delivery attempts before an event is given up; by default this takes about a day",
    )
    webhook_backoff_seconds: float = Field(
        10.0, gt=0, description="Wait after the first failed delivery; doubled each time"
    )
    webhook_backoff_max_seconds: float = Field(6 * 3600, gt=0, description="Longest such wait")

    @field_validator("webhook_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_webhook_secret(value.get_secret_value())
        return value
