"""The task that a message names: claim, localize, save."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject

from sentiloc.app.jobs.broker import LOCALIZE_TASK
from sentiloc.worker.celery_app import celery_app, runner


@celery_app.task(name=LOCALIZE_TASK, bind=True)  # type: ignore[untyped-decorator]
def localize(self: Any, job_id: str) -> None:  # noqa: ARG001
    """Run one job. If a stopping worker releases the job, its message is requeued, too."""
    if not runner().run(job_id):
        raise Reject("the worker is stopping", requeue=True)
