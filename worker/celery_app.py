"""The worker's Celery app, and the hooks that run when its processes start and stop."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging, worker_process_init, worker_ready, worker_shutting_down
from redis import RedisError

from sentiloc.app.jobs.broker import Dispatcher, make_celery
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import get_settings
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.app.telemetry.tracing import configure_tracing
from sentiloc.worker.config import runtime_config
from sentiloc.worker.extraction.array_cache import ArrayCache
from sentiloc.worker.jobs.claiming import take_from_dead_owner
from sentiloc.worker.jobs.consumer import PatientConsumer
from sentiloc.worker.jobs.presence import PresenceThread
from sentiloc.worker.jobs.process import drain_after, end_with_parent, start_beating
from sentiloc.worker.jobs.runner import JobRunner
from sentiloc.worker.jobs.sweeper import Forgetter, start_sweeper
from sentiloc.worker.jobs.watchdog import Watchdog
from sentiloc.worker.pipelines.registry import Pipelines

logger = logging.getLogger(__name__)

settings = get_settings()
celery_app = make_celery(settings)
celery_app.conf.include = ["sentiloc.worker.tasks"]
celery_app.conf.worker_consumer = PatientConsumer

_runner: JobRunner | None = None


def runner() -> JobRunner:
    """The runner of this child process, created when the child starts."""
    if _runner is None:
        raise RuntimeError("jobs run only in a child process of the worker")
    return _runner


def _on_setup_logging(**_: Any) -> None:
    configure_logging(settings)


def _on_child_start(**_: Any) -> None:
    """Load the model before the first job, and start to report which model is loaded."""
    global _runner
    # First, so that a child does not outlive a parent that dies while the model is loaded.
    end_with_parent()
    start_beating()
    configure_tracing(settings, "worker")
    pipelines = Pipelines(runtime_config(settings, with_cache=True), settings.model)
    store = JobStore(connect(settings), settings.redis_prefix)
    storage = make_storage(settings)
    _runner = JobRunner(settings, store, storage, pipelines)
    features = ArrayCache(settings.features_dir, settings.feature_cache_bytes, settings.feature_cache_seconds)
    forgetter = Forgetter(store, settings.features_dir)
    start_sweeper(storage, features, settings.reels_dir, forgetter, _runner.health)
    presence = PresenceThread(settings, store, pipelines, _runner.health)
    # Before the model is loaded, so that /readyz can say that the worker is loading.
    presence.start()
    presence.load()


def _on_ready(**_: Any) -> None:
    """Requeue the jobs of killed workers on this machine at once, without waiting for their leases."""
    Watchdog(settings.stall_seconds).start()
    redis = connect(settings)
    store = JobStore(redis, settings.redis_prefix)
    dispatcher, storage = Dispatcher(settings, redis), make_storage(settings)
    try:
        for job_id in store.leased():
            if take_from_dead_owner(store, storage, job_id, settings.max_attempts):
                dispatcher.send(job_id)
    except RedisError as error:
        logger.warning("orphaned jobs wait for the reaper, because Redis does not answer: %s", error)


def _on_shutting_down(**_: Any) -> None:
    drain_after(settings.shutdown_grace_seconds)


setup_logging.connect(_on_setup_logging)
worker_process_init.connect(_on_child_start)
worker_ready.connect(_on_ready)
worker_shutting_down.connect(_on_shutting_down)
