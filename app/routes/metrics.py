"""`GET /metrics`: what an operator's Prometheus watches. Only numbers, states and the names of models and devices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from sentiloc.app.http.problems import documented
from sentiloc.app.jobs.presence import alive_workers
from sentiloc.app.metrics.collector import Snapshot
from sentiloc.app.metrics.queue import read_figures
from sentiloc.app.routes.jobs import NO_REDIS
from sentiloc.app.services import ServicesDep

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
def metrics(services: ServicesDep, request: Request) -> Response:
    """Queue, jobs and workers as they are now, the same at every API process; of requests only those of this one."""
    store = services.store
    registry = CollectorRegistry()
    workers = alive_workers(store.redis, store.prefix)
    registry.register(Snapshot(read_figures(store), workers, services.dispatcher.depths()))
    text = generate_latest(registry) + generate_latest(request.app.state.http_figures.registry)
    return Response(text, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST})
