"""Sends webhooks in threads of every API process, so that a slow receiver delays neither jobs nor requests."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping

from redis import RedisError

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.app.version import version
from sentiloc.app.webhooks.lanes import Lanes
from sentiloc.app.webhooks.store import (
    Delivery,
    WebhookState,
    WebhookStatus,
    WebhookStore,
    event_body,
    signed_headers,
)
from sentiloc.model.errors import SentilocError

logger = logging.getLogger(__name__)

_GONE = 410
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 1.0


class WebhookSender:
    """`webhook_senders` threads. Each sends one event at a time."""

    def __init__(self, settings: Settings, store: JobStore, webhooks: WebhookStore, keys: KeyStore) -> None:
        self._settings = settings
        self._store = store
        self._webhooks = webhooks
        self._keys = keys
        self._outbound = Outbound(allow=settings.outbound_allow)
        self._lanes = Lanes(settings.webhook_senders_per_host, max(1, settings.webhook_senders // 2))
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, name=f"webhooks-{index}", daemon=True)
            for index in range(settings.webhook_senders)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads. An event that is being sent is sent again later, under the same id."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=_STOP_SECONDS)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                if not self.send_one():
                    self._stop.wait(_LOOK_SECONDS)
            except RedisError as error:
                logger.warning("webhooks cannot be sent, Redis cannot be reached: %s", error)
                self._stop.wait(_LOOK_SECONDS)
            except Exception:
                # The event becomes due again when its lease expires.
                logger.exception("a webhook could not be sent")

    def send_one(self) -> bool:
        """Send one due event; False if none is due."""
        with self._lanes.choosing() as (hosts, owners):
            job_id = self._webhooks.claim(hosts, owners)
            if job_id is None:
                return False
            record = self._store.get(job_id)
            if record is None or not is_wanted(record):
                self._webhooks.drop(job_id)
                return True
            host, owner = record.options.webhook_host, record.key_id
            self._lanes.enter(host, owner)
        try:
            self._deliver(record, self._webhooks.status(job_id))
        finally:
            self._lanes.leave(host, owner)
        return True

    def _deliver(self, record: JobRecord, before: WebhookStatus) -> None:
        began, at = time.monotonic(), time.time()
        status, headers, error = self._post(record)
        delivery = Delivery(
            at=at,
            seconds=round(time.monotonic() - began, 3),
            attempt=before.attempts + 1,
            status=status,
            error=error,
        )
        state = self._state(delivery)
        wait = self.wait_seconds(delivery.attempt, headers)
        self._webhooks.settle(record.id, before, state, delivery, wait)
        logger.info("job %s: webhook %s: %s", record.id, state, status or error)

    def _state(self, delivery: Delivery) -> WebhookState:
        if delivery.status is not None and 200 <= delivery.status < 300:
            return WebhookState.DELIVERED
        # 410 is the receiver's way to unsubscribe (Standard Webhooks).
        is_over = delivery.status == _GONE or delivery.attempt >= self._settings.webhook_max_attempts
        return WebhookState.FAILED if is_over else WebhookState.PENDING

    def _post(self, record: JobRecord) -> tuple[int | None, Mapping[str, str], str | None]:
        webhook = record.options.webhook
        secrets = signing_secrets(record, self._keys, self._settings)
        if webhook is None or not secrets:
            return None, {}, "no_secret"
        body = event_body(record)
        headers = {
            **signed_headers(secrets, record.id, int(time.time()), body),
            "Content-Type": "application/json",
            "User-Agent": f"Sentiloc/{version()}",
        }
        try:
            answer = self._outbound.send(
                "POST",
                webhook.url,
                headers=headers,
                content=body,
                total_seconds=self._settings.webhook_timeout_seconds,
            )
        except SentilocError as error:
            return None, {}, str(error.code)
        return answer.status, answer.headers, None

    def wait_seconds(self, attempt: int, headers: Mapping[str, str]) -> float:
        """Seconds until the next attempt.

        The backoff doubles with each attempt up to a limit and varies by 20 %. `Retry-After` is the minimum.
        """
        longest = self._settings.webhook_backoff_max_seconds
        wait = min(longest, self._settings.webhook_backoff_seconds * 2.0 ** (attempt - 1))
        asked = headers.get("retry-after", "")
        asked_seconds = min(longest, float(asked)) if asked.isdecimal() and len(asked) < 7 else 0.0
        return max(asked_seconds, wait * random.uniform(0.8, 1.2))  # noqa: S311


def is_wanted(record: JobRecord) -> bool:
    """True if the job has ended and its webhook subscribes to this event."""
    webhook = record.options.webhook
    return webhook is not None and record.state.is_terminal and webhook.wants(f"job.{record.state}")


def signing_secrets(record: JobRecord, keys: KeyStore, settings: Settings) -> list[str]:
    """The secrets that sign the job's event: the webhook's own, else its API key's, else the server's."""
    webhook = record.options.webhook
    if webhook is not None and webhook.secret is not None:
        return [webhook.secret]
    if record.key_id is not None:
        return keys.webhook_secrets(record.key_id)
    return [settings.webhook_secret.get_secret_value()] if settings.webhook_secret else []
