"""`sentiloc worker`: a Celery worker that localizes the videos of queued jobs."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from app.redis_client import redis_url
from app.settings import get_settings
from cli.options import override


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time  [SENTILOC_WORKER_CONCURRENCY, 1]")
    ] = None,
) -> None:
    """Run one worker; Redis, the data folder and the model come from the SENTILOC_* settings."""
    override(worker_concurrency=concurrency)
    settings = get_settings()
    redis_url(settings)
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")

    from celery.utils.nodenames import default_nodename

    from worker.celery_app import celery_app

    program = celery_app.Worker(
        hostname=default_nodename(None),
        pool_cls="prefork",
        loglevel=settings.log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    program.start()
    raise SystemExit(program.exitcode)
