"""One worker process of an extraction: `python -m sentiloc.worker.bulk.process RUN PROCESSES`.

It is a Celery worker with PROCESSES children. Each loads the networks once and takes one video at a time.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from celery.signals import setup_logging, worker_process_init

from sentiloc.app.settings import get_settings
from sentiloc.app.telemetry.logs import configure_logging
from sentiloc.model.data.feature_store import SPEC_FILE, parse_stored_spec
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.bulk.ledger import Ledger
from sentiloc.worker.bulk.makers import BulkExtractor, is_made, load_maker
from sentiloc.worker.bulk.queue import EXTRACT_TASK, ExtractionQueue
from sentiloc.worker.config import runtime_config
from sentiloc.worker.jobs.consumer import PatientConsumer
from sentiloc.worker.jobs.process import end_with_parent


@cache
def bulk_extractor(folder: Path, split: str) -> BulkExtractor:
    """The loaded networks of this process; a folder has one spec. Raises `SentilocError` if they cannot be loaded."""
    spec = parse_stored_spec(folder / SPEC_FILE)
    try:
        maker = load_maker(spec, folder, split, runtime_config(get_settings()))
    except SentilocError:
        raise
    except Exception as error:
        # Libraries raise many types. Unhandled, the message would be redelivered forever, because attempts are only
        # counted after the networks are loaded.
        detail = f"the networks cannot be loaded: {type(error).__name__}: {error}"
        raise SentilocError(ErrorCode.INTERNAL, detail) from error
    return BulkExtractor(maker, Ledger(folder, split))


def extract_video(queue: ExtractionQueue, folder: Path, split: str, name: str, video: Path) -> None:
    """Extract one video unless it is done or another process has it, and report to the collecting command."""
    with queue.lease(name) as owner:
        # Checked under the lease: another process may have finished the video since the message was sent.
        if owner is None or is_made(parse_stored_spec(folder / SPEC_FILE), folder, split, name):
            return
        try:
            entry = bulk_extractor(folder, split).extract(name, video, owner)
        except SentilocError as error:
            queue.report(name, "stopped", error.detail)
        else:
            queue.report(name, entry.state, entry.reason)


def make_worker(run: str, processes: int) -> Any:
    """The Celery worker of one extraction."""
    settings = get_settings()
    queue = ExtractionQueue(settings, run)
    queue.celery.conf.worker_consumer = PatientConsumer

    @queue.celery.task(name=EXTRACT_TASK)  # type: ignore[untyped-decorator]
    def extract(folder: str, split: str, name: str, video: str) -> None:
        extract_video(queue, Path(folder), split, name, Path(video))

    return queue.celery.Worker(
        pool_cls="prefork",
        concurrency=processes,
        loglevel=settings.log_level.upper(),
        quiet=True,
        # Workers of an extraction do not need each other's state; gossip would only load Redis.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )


def main() -> None:
    """Work until the parent process ends this one."""
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    setup_logging.connect(_on_setup_logging)
    worker_process_init.connect(_on_child_start)
    worker = make_worker(sys.argv[1], int(sys.argv[2]))
    worker.start()
    raise SystemExit(worker.exitcode)


def _on_setup_logging(**_: Any) -> None:
    configure_logging(get_settings())


def _on_child_start(**_: Any) -> None:
    end_with_parent()


if __name__ == "__main__":
    main()
