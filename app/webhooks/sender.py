"""Sends webhooks in threads of every API process, so that a slow receiver delays neither jobs nor requests."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping

from redis import RedisError

from sentiloc.app.jobs.options import webhook_host
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry import outages
from sentiloc.app.version import version
from sentiloc.app.webhooks.lanes import Lanes
from sentiloc.app.webhooks.outbox import Entry, Outbox, Outgoing
from sentiloc.app.webhooks.store import Delivery, WebhookState, WebhookStatus, WebhookStore, signed_headers
from sentiloc.model.errors import SentilocError

logger = logging.getLogger(__name__)

_GONE = 410
# How late an event may be sent after its job has ended.
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 1.0


class WebhookSender:
    """`webhook_senders` threads. Each sends one event at a time."""

    def __init__(self, settings: Settings, webhooks: WebhookStore, outbox: Outbox) -> None:
        self._settings = settings
        self._webhooks = webhooks
        self._outbox = outbox
        self._outbound = Outbound(allow=settings.outbound_allow)
        # One API key gets at most half of the threads.
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
        # One limit for all: each of many threads may wait for a receiver that hangs.
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                is_idle = not self.send_one()
                outages.REDIS.answered()
                if is_idle:
                    self._stop.wait(_LOOK_SECONDS)
            except RedisError as error:
                outages.REDIS.failed(error)
                self._stop.wait(_LOOK_SECONDS)
            except Exception:
                # The event becomes due again when its lease expires.
                logger.exception("a webhook could not be sent")

    def send_one(self) -> bool:
        """Send one due event; False if none is due."""
        with self._lanes.choosing() as (hosts, owners):
            # The claim is a lease: if this process dies, the event is sent again when it ends.
            claimed = self._webhooks.claim(hosts, owners)
            if claimed is None:
                return False
            entry = Entry(claimed)
            outgoing = self._outbox.outgoing(entry)
            if outgoing is None:
                self._webhooks.drop(claimed)
                return True
            host, owner = webhook_host(outgoing.url), outgoing.owner
            self._lanes.enter(host, owner)
        try:
            self._deliver(entry, outgoing, self._webhooks.status(claimed))
        finally:
            self._lanes.leave(host, owner)
        return True

    def _deliver(self, entry: Entry, outgoing: Outgoing, before: WebhookStatus) -> None:
        began, at = time.monotonic(), time.time()
        status, headers, error = self._post(entry, outgoing)
        delivery = Delivery(
            at=at,
            seconds=round(time.monotonic() - began, 3),
            attempt=before.attempts + 1,
            status=status,
            error=error,
        )
        state = self._state(delivery)
        wait = self.wait_seconds(delivery.attempt, headers)
        self._webhooks.settle(entry.text, before, state, delivery, wait)
        logger.info("%s: %s: webhook %s: %s", entry.text, outgoing.type, state, status or error)
        # Only a registered webhook is disabled; that of a single job simply fails.
        if status == _GONE and entry.endpoint:
            self._outbox.disable(entry.endpoint)

    def _state(self, delivery: Delivery) -> WebhookState:
        if delivery.status is not None and 200 <= delivery.status < 300:
            return WebhookState.DELIVERED
        # With 410 a receiver unsubscribes (Standard Webhooks).
        is_over = delivery.status == _GONE or delivery.attempt >= self._settings.webhook_max_attempts
        return WebhookState.FAILED if is_over else WebhookState.PENDING

    def _post(self, entry: Entry, outgoing: Outgoing) -> tuple[int | None, Mapping[str, str], str | None]:
        if not outgoing.secrets:
            # An unsigned event could be forged, so it is not sent.
            return None, {}, "no_secret"
        headers = {
            **signed_headers(outgoing.secrets, entry.subject, int(time.time()), outgoing.body),
            "Content-Type": "application/json",
            "User-Agent": f"Sentiloc/{version()}",
        }
        try:
            answer = self._outbound.send(
                "POST",
                outgoing.url,
                headers=headers,
                content=outgoing.body,
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
        # Random, so that events of an outage do not all come back in the same second.
        # The number of attempts has no limit, but the numbers that a float can have do.
        wait = min(longest, self._settings.webhook_backoff_seconds * 2.0 ** min(attempt - 1, 99))
        asked = headers.get("retry-after", "")
        # The date form of Retry-After is ignored; the length bounds the number.
        asked_seconds = min(longest, float(asked)) if asked.isdecimal() and len(asked) < 7 else 0.0
        return max(asked_seconds, wait * random.uniform(0.8, 1.2))  # noqa: S311
