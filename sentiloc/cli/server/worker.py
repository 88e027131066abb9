"""`sentiloc worker`: a Celery worker that localizes the videos of queued jobs."""

from __future__ import annotations

import os
import warnings
from typing import Annotated

import typer
from redis import RedisError

from sentiloc.app.jobs.presence import WorkerPresence, alive_workers
from sentiloc.app.jobs.schema import check_schema
from sentiloc.app.redis.client import connect, redis_url
from sentiloc.app.redis.failures import check_redis
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.settings.work import MOST_PROCESSES
from sentiloc.app.storage.factory import make_storage
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.cli.options import override, warn_of_unknown_settings
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.process import HEARTBEAT_FD

# An orchestrator that probes liveness kills the worker if the answer is late.
_PATIENCE_SECONDS = 2.0


def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PROCESSES, help="Jobs at a time  [SENTILOC_WORKER_CONCURRENCY, 1]"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check whether the worker of this machine is ready.")
    ] = False,
    alive: Annotated[
        bool,
        typer.Option("--alive", help="Only check whether the worker of this machine has to be restarted."),
    ] = False,
) -> None:
    """Run one worker; Redis, the data folder and the model come from the SENTILOC_* settings.

    With --check, the exit status is 0 when a worker of this machine has its model loaded, else 1. With --alive, it is
    1 only when Redis answers and no worker of this machine reports to it: a restart would not help in other cases.
    """
    if check and alive:
        raise typer.BadParameter("--check already includes it", param_hint="--alive")
    if (check or alive) and concurrency is not None:
        asked = "--check" if check else "--alive"
        raise typer.BadParameter(f"{asked} starts no worker", param_hint="--concurrency")
    override(worker_concurrency=concurrency)
    settings = get_settings()
    if check or alive:
        # Called for its error: a worker needs SENTILOC_REDIS_URL.
        redis_url(settings)
        (_check if check else _check_alive)(settings)
        return
    configure_logging(settings)
    if HEARTBEAT_FD not in os.environ:
        # `sentiloc serve`, which listens for heartbeats, has warned already.
        warn_of_unknown_settings()
    redis_url(settings)
    # Called for its error, too: Celery only logs the errors of a worker that has begun.
    make_storage(settings)
    check_redis(settings)
    check_schema(settings)
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")

    # Imported late: checks must be quick, because orchestrators call them often.
    from celery.utils.nodenames import default_nodename

    from sentiloc.worker.celery_app import celery_app

    program = celery_app.Worker(
        hostname=default_nodename(None),
        # Jobs run in a child process: native code that crashes there does not end the worker.
        pool_cls="prefork",
        loglevel=settings.log_level.upper(),
        quiet=True,
        # Workers do not need each other's state: a lease in Redis shows who has a job and whether that worker lives.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    program.start()
    raise SystemExit(program.exitcode)


def _ours(settings: Settings) -> list[WorkerPresence]:
    """The reports that the workers of this machine send to Redis every two seconds. Raises `redis.RedisError`."""
    with connect(settings) as redis:
        workers = alive_workers(redis, settings.redis_prefix)
    return [worker for worker in workers if worker.name.startswith(f"{os.uname().nodename}/")]


def _check(settings: Settings) -> None:
    """Fail unless a worker of this machine has its model loaded."""
    try:
        ours = _ours(settings)
    except RedisError as error:
        raise SentilocError(ErrorCode.INTERNAL, f"Redis does not answer: {error}") from error
    if not any(worker.is_ready for worker in ours):
        reason = next(
            (worker.error for worker in ours if worker.error),
            "no worker on this machine has loaded its model",
        )
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, str(reason))
    typer.echo(f"ready on {', '.join(sorted({str(worker.device) for worker in ours if worker.is_ready}))}")


def _check_alive(settings: Settings) -> None:
    """Fail if no worker of this machine reports, ready or not. A Redis that does not answer is no evidence against the
    worker.
    """
    seconds = min(settings.redis_timeout_seconds, _PATIENCE_SECONDS)
    try:
        ours = _ours(settings.model_copy(update={"redis_timeout_seconds": seconds}))
    except RedisError as error:
        typer.echo(f"the worker cannot be seen, because Redis does not answer: {error}")
        return
    if not ours:
        raise SentilocError(ErrorCode.INTERNAL, "no worker on this machine reports")
    typer.echo("alive")
