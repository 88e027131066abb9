"""`GET /metrics`: what an operator's Prometheus watches. Only numbers, states and the names of models and devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.presence import alive_workers
from app.problems import documented
from app.routes.jobs import NO_REDIS
from app.services import ServicesDep
from app.store_figures import StoreFigures, read_figures

router = APIRouter(tags=["operation"])

_EXAMPLE = (
    "# HELP sentiloc_jobs_queued Jobs that wait for a worker\n"
    "# TYPE sentiloc_jobs_queued gauge\n"
    'sentiloc_jobs_queued{priority="interactive"} 2.0\n'
    'sentiloc_jobs_queued{priority="batch"} 0.0\n'
)
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text format",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**_ANSWER, **documented(NO_REDIS)},
)
def metrics(services: ServicesDep) -> Response:
    """The queue, the jobs and the workers as they are now; the same at every API process."""
    store = services.store
    workers = alive_workers(store.redis, store.prefix)
    devices = {(w.model, w.model_version or "", w.device or "") for w in workers if w.is_ready}
    registry = CollectorRegistry()
    registry.register(_Snapshot(read_figures(store), len(workers), devices))
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
    return Response(generate_latest(registry), headers=headers)


class _Snapshot(Collector):
    """Figures in Prometheus's form."""

    def __init__(self, figures: StoreFigures, workers: int, devices: set[tuple[str, str, str]]) -> None:
        self._figures = figures
        self._workers = workers
        self._devices = devices

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family after the other."""
        figures = self._figures
        queued = GaugeMetricFamily("sentiloc_jobs_queued", "Jobs that wait for a worker", labels=["priority"])
        for priority, count in figures.queued.items():
            queued.add_metric([priority], count)
        yield queued
        yield _gauge(
            "oldest_queued_seconds", "Age of the job that waits longest", figures.oldest_queued_seconds
        )
        yield _gauge("jobs_running", "Jobs that a worker holds", figures.running)
        yield _gauge("jobs_kept", "Job records of every state", figures.kept)
        yield _gauge("workers", "Worker processes heard of lately", self._workers)
        ready = GaugeMetricFamily(
            "sentiloc_worker_ready", "Loaded models", labels=["model", "version", "device"]
        )
        for device in sorted(self._devices):
            ready.add_metric(device, 1)
        yield ready


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sentiloc_{name}", meaning, value=value)
