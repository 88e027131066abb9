"""The task that a message names: claim, localize, save."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject

from sentiloc.app.jobs.broker import LOCALIZE_TASK
from sentiloc.worker.celery_app import celery_app, runner


@celery_app.task(name=LOCALIZE_TASK, bind=True)  # type: ignore[untyped-decorator]
def localize(self: Any, job_id: str) -> None:  # noqa: ARG001
    """Run one job. The message goes back to the broker if this worker stops, or if only other workers can run the
    waiting jobs.
    """
    if not runner().run(job_id):
        raise Reject("other workers have to do it", requeue=True)
