"""`/healthz`: the process is alive. `/readyz`: the service can process videos."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from fastapi import APIRouter, Response
from redis import RedisError

from sentiloc.app.jobs.presence import WorkerPresence, alive_workers
from sentiloc.app.redis.failures import reason, refusal
from sentiloc.app.schemas.health import HealthBody, ReadyBody, WorkerBody
from sentiloc.app.services import BareServicesDep, Services
from sentiloc.app.settings import Settings
from sentiloc.app.storage.disk import free_bytes
from sentiloc.app.version import version

router = APIRouter(tags=["service"])

NO_ROOM = "The disk of the data folder is full: videos are refused with 507 storage_full until there is room."


@router.get("/healthz", summary="Check that the process is alive", operation_id="getHealth")
async def healthz() -> HealthBody:
    """Always 200 while the process is alive."""
    return HealthBody(version=version())


@router.get(
    "/readyz",
    summary="Check that the service is ready",
    operation_id="getReadiness",
    responses={503: {"model": ReadyBody, "description": "The service is not ready; `reasons` say why"}},
)
def readyz(response: Response, services: BareServicesDep) -> ReadyBody:
    """200 if Redis takes jobs and a live worker has its model loaded on its configured device, else 503."""
    response.headers["Cache-Control"] = "no-store"
    body = _readiness(services)
    body = body.model_copy(update={"warnings": [*_warnings(services.settings), *body.warnings]})
    if not body.ready:
        response.status_code = 503
    return body


def _readiness(services: Services) -> ReadyBody:
    try:
        workers = alive_workers(services.store.redis, services.store.prefix)
        refused = refusal(services.store.redis, services.settings.redis_wait_replicas)
    except RedisError as error:
        return ReadyBody(ready=False, redis=False, workers=[], reasons=[reason(error)])
    if services.settings.keys_required:
        workers = [_discreet(worker) for worker in workers]
    # One is enough: during an update of the workers, some are always loading.
    served = any(worker.is_ready for worker in workers)
    reasons = [*([refused] if refused else []), *([] if served else _reasons(workers))]
    return ReadyBody(
        ready=not reasons,
        redis=True,
        workers=[_worker(worker) for worker in workers],
        reasons=reasons,
        warnings=_pauses(workers),
    )


def _warnings(settings: Settings) -> list[str]:
    free = free_bytes(settings.data_dir)
    # Ready all the same: an API without room still has all results, and must not be taken out of service.
    return [NO_ROOM] if free is not None and free < settings.upload_reserve_bytes else []


def _pauses(workers: list[WorkerPresence]) -> list[str]:
    """Why workers take no jobs now. They are ready all the same: jobs are accepted, and wait for room."""
    paused = Counter(worker.paused for worker in workers if worker.paused)
    return [f"{count} of {len(workers)} workers take no jobs: {why}" for why, count in sorted(paused.items())]


def _discreet(worker: WorkerPresence) -> WorkerPresence:
    """Keep only the codes of errors, because this path needs no API key."""
    return replace(worker, error=_code(worker.error), paused=_code(worker.paused))


def _code(error: str | None) -> str | None:
    return error and error.partition(":")[0]


def _reasons(workers: list[WorkerPresence]) -> list[str]:
    if not workers:
        return ["No worker is alive."]
    return sorted({worker.error or f"A worker is loading {worker.model}." for worker in workers})


def _worker(worker: WorkerPresence) -> WorkerBody:
    return WorkerBody(
        model=worker.model,
        model_version=worker.model_version,
        device=worker.device,
        error=worker.error,
        served=None if worker.served is None else list(worker.served),
    )
