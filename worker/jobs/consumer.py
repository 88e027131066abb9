"""Takes messages from Redis, and pauses while it refuses."""

from __future__ import annotations

import time

from celery.worker.consumer import Consumer

# Pause between two attempts to listen, if Redis can be reached but refuses.
_REFUSED_SECONDS = 3.0


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Takes messages. If Redis refuses writes, Celery itself would retry five times a second and log a traceback each
    time.
    """

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """As in Celery, then a pause."""
        super().on_connection_error_before_connected(exc)
        time.sleep(_REFUSED_SECONDS)
