"""Methods of `AsyncClient` for API keys, their usage, and registered webhooks."""

from __future__ import annotations

from datetime import date
from typing import Unpack

from .. import account, batches
from ..account import ApiKey, KeyOptions, OwnKey, RegisteredWebhook, SentEvent, WebhookChanges, WebhookOptions
from ..batches import DayOfUse
from ..errors import Code
from .transport import AsyncTransport


class AsyncAdministration(AsyncTransport):
    """API keys and registered webhooks."""

    async def own_key(self) -> OwnKey:
        """The caller's key: its scopes, limits and usage."""
        return await self._send(account.own_key())

    async def usage(self, first: date | None = None, last: date | None = None) -> tuple[DayOfUse, ...]:
        """The usage of keys by day; default: the last 30 days."""
        return await self._send(batches.usage(first, last))

    async def list_keys(self) -> tuple[ApiKey, ...]:
        """Every API key, oldest first. Needs a key with the scope `admin`, as all methods on keys do."""
        return await self._send(account.keys())

    async def create_key(self, name: str, **options: Unpack[KeyOptions]) -> ApiKey:
        """Create an API key. Its text, `key`, is in this answer only."""
        return await self._send(account.create_key(name, options))

    async def revoke_key(self, key_id: str) -> ApiKey:
        """Revoke an API key permanently. Its jobs stay."""
        return await self._send(account.revoke_key(key_id))

    async def rotate_key(self, key_id: str, *, grace_seconds: float = 0.0) -> ApiKey:
        """Replace the text of an API key. The old text works for `grace_seconds` more."""
        return await self._send(account.rotate_key(key_id, grace_seconds))

    async def list_webhooks(self) -> tuple[RegisteredWebhook, ...]:
        """The webhooks that are registered for the caller's key, oldest first."""
        return await self._send(account.webhooks())

    async def webhook(self, webhook_id: str) -> RegisteredWebhook:
        """One registered webhook."""
        return await self._send(account.webhook(webhook_id))

    async def create_webhook(self, url: str, **options: Unpack[WebhookOptions]) -> RegisteredWebhook:
        """Register a webhook for every job and batch of the key. Its `secret` is in this answer only."""
        return await self._send(account.create_webhook(url, options))

    async def update_webhook(self, webhook_id: str, **changes: Unpack[WebhookChanges]) -> RegisteredWebhook:
        """Change a registered webhook; what is left out stays."""
        return await self._send(account.update_webhook(webhook_id, changes))

    async def delete_webhook(self, webhook_id: str) -> None:
        """Delete a registered webhook. It is not an error if it is already deleted."""
        await self._remove(account.delete_webhook(webhook_id), Code.WEBHOOK_NOT_FOUND)

    async def rotate_webhook(self, webhook_id: str) -> RegisteredWebhook:
        """Make a new signing secret. The previous one also signs until the next rotation."""
        return await self._send(account.rotate_webhook(webhook_id))

    async def webhook_deliveries(self, webhook_id: str) -> tuple[SentEvent, ...]:
        """The last 100 delivery attempts to a registered webhook, oldest first."""
        return await self._send(account.deliveries(webhook_id))
