"""`GET /metrics`: Prometheus metrics. They hold numbers, states and names of models and devices, nothing else."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from sentiloc.app.http.problems import RedisUnavailable, documented
from sentiloc.app.jobs.presence import alive_workers
from sentiloc.app.metrics.collector import DiskCollector, ServiceCollector
from sentiloc.app.metrics.queue import read_queue_metrics
from sentiloc.app.services import ServicesDep

router = APIRouter(tags=["service"])

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
    summary="Get the metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={**_ANSWER, **documented(RedisUnavailable)},
)
def metrics(services: ServicesDep, request: Request) -> Response:
    """Queue, jobs and workers are the same at every API process. Requests are those of this process."""
    store = services.store
    registry = CollectorRegistry()
    registry.register(DiskCollector(services.settings.data_dir, services.settings.upload_reserve_bytes))
    workers = alive_workers(store.redis, store.prefix)
    registry.register(
        ServiceCollector(
            read_queue_metrics(store, has_workers=bool(workers)), workers, services.dispatcher.depths()
        )
    )
    # A new registry per request: its numbers come from Redis, while this process keeps the other.
    text = generate_latest(registry) + generate_latest(request.app.state.http_metrics.registry)
    return Response(text, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST})
