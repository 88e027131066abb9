"""`sentiloc worker`: a Celery worker that localizes the videos of queued jobs."""

from __future__ import annotations

import os
import warnings
from typing import Annotated

import typer

from sentiloc.app.jobs.schema import check_schema
from sentiloc.app.redis.client import redis_url
from sentiloc.app.redis.failures import check_redis
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.cli.options import override, warn_of_unknown_settings
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs.process import HEARTBEAT_FD


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time  [SENTILOC_WORKER_CONCURRENCY, 1]")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check whether the worker of this machine is ready.")
    ] = False,
) -> None:
    """Run one worker; Redis, the data folder and the model come from the SENTILOC_* settings.

    With --check, the exit status is 0 when a worker of this machine has its model loaded, else 1.
    """
    if check and concurrency is not None:
        raise typer.BadParameter("--check starts no worker", param_hint="--concurrency")
    override(worker_concurrency=concurrency)
    settings = get_settings()
    if check:
        # Called for its error: a worker needs SENTILOC_REDIS_URL.
        redis_url(settings)
        _check(settings)
        return
    configure_logging(settings)
    if HEARTBEAT_FD not in os.environ:
        # `sentiloc serve`, which listens for heartbeats, has warned already.
        warn_of_unknown_settings()
    redis_url(settings)
    check_redis(settings)
    check_schema(settings)
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")

    # Imported late: --check must be quick, because orchestrators call it often.
    from celery.utils.nodenames import default_nodename

    from sentiloc.worker.celery_app import celery_app

    program = celery_app.Worker(
        hostname=default_nodename(None),
        # Jobs run in a child process: native code that crashes there does not end the worker.
        pool_cls="prefork",
        loglevel=settings.log_level.upper(),
        quiet=True,
        # Workers need not know each other: a lease in Redis shows who has a job and whether that worker
        # lives.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    program.start()
    raise SystemExit(program.exitcode)


def _check(settings: Settings) -> None:
    """Read what the worker reports to Redis every two seconds."""
    from redis import RedisError

    from sentiloc.app.jobs.presence import alive_workers
    from sentiloc.app.redis.client import connect

    try:
        with connect(settings) as redis:
            workers = alive_workers(redis, settings.redis_prefix)
    except RedisError as error:
        raise SentilocError(ErrorCode.INTERNAL, f"Redis does not answer: {error}") from error
    ours = [worker for worker in workers if worker.name.startswith(f"{os.uname().nodename}/")]
    if not any(worker.is_ready for worker in ours):
        reason = next(
            (worker.error for worker in ours if worker.error),
            "no worker on this machine has loaded its model",
        )
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, str(reason))
    typer.echo(f"ready on {', '.join(sorted({str(worker.device) for worker in ours if worker.is_ready}))}")
