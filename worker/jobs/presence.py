"""A thread in a worker's child that reports the loaded model and its device, or the error, every few seconds."""

from __future__ import annotations

import logging
import os
import threading
import time

from redis import RedisError

from sentiloc.app.jobs.presence import BEAT_SECONDS, WorkerPresence, beat
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry import outages
from sentiloc.model.errors import SentilocError
from sentiloc.worker.jobs.health import Health
from sentiloc.worker.jobs.owner import new_owner
from sentiloc.worker.jobs.process import parent_silence
from sentiloc.worker.pipelines.registry import Pipelines

logger = logging.getLogger(__name__)

# Loading a broken model again and again would use a whole processor.
_RELOAD_SECONDS = 15.0


class PresenceThread:
    """Reports until the process ends. Retries loading a model that failed to load."""

    def __init__(self, settings: Settings, store: JobStore, pipelines: Pipelines, health: Health) -> None:
        self._model = settings.model
        self._stall_seconds = settings.stall_seconds
        self._store = store
        self._pipelines = pipelines
        self._health = health
        self._name = f"{os.uname().nodename}/{new_owner()}"
        self._loaded_at = time.monotonic()
        self._load_seconds: float | None = None

    def start(self) -> None:
        """Start to report."""
        threading.Thread(target=self._loop, name="presence", daemon=True).start()

    def load(self) -> None:
        """Load the default model. A failure is logged, shown by `/readyz` and retried."""
        self._loaded_at = time.monotonic()
        known = self._pipelines.error
        try:
            self._pipelines.get(self._model)
            self._load_seconds = time.monotonic() - self._loaded_at
        except SentilocError as error:
            # The load is retried every 15 s; the same error again would fill the log.
            if known is None or known.detail != error.detail:
                logger.error("model %s cannot be loaded: %s", self._model, error.detail)

    def _loop(self) -> None:
        while True:
            try:
                # A hung parent gives its children no jobs, so this worker is not ready then.
                if parent_silence() < self._stall_seconds:
                    beat(self._store.redis, self._store.prefix, self._presence())
                    outages.REDIS.answered()
            except RedisError as error:
                outages.REDIS.failed(error)
            time.sleep(BEAT_SECONDS)
            if self._pipelines.error and time.monotonic() - self._loaded_at > _RELOAD_SECONDS:
                self.load()

    def _presence(self) -> WorkerPresence:
        pipeline, error = self._pipelines.default(), self._pipelines.error
        fault = self._health.fault
        able, missing = self._pipelines.served()
        return WorkerPresence(
            name=self._name,
            seen_at=0.0,
            model=self._model,
            model_version=pipeline.version if pipeline else None,
            device=pipeline.device if pipeline else None,
            error=f"{error.code}: {error.detail}" if error else None,
            load_seconds=self._load_seconds,
            served=able,
            missing=missing,
            paused=f"{fault.code}: {fault.detail}" if fault else None,
        )
