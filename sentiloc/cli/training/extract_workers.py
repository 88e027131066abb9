"""`sentiloc extract --workers N` and `--join`: Celery workers that extract the videos of one folder."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import RedisError

from sentiloc.app.redis.failures import check_redis
from sentiloc.app.settings import Settings, get_settings
from sentiloc.cli.server.redis_server import (
    find_redis_server,
    redis_command,
    remove_socket,
    socket_path,
    wait_for_redis,
)
from sentiloc.cli.server.supervisor import ChildSpec, Supervisor
from sentiloc.model.data.feature_store import replace_text
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.bulk.ledger import LEDGER_FOLDER, State
from sentiloc.worker.bulk.plan import Plan
from sentiloc.worker.bulk.queue import ExtractionQueue
from sentiloc.worker.jobs.owner import is_dead
from sentiloc.worker.runtime.cpu import available_cpus

OnProgress = Callable[[int, int], None]
"""Called with the videos that have ended, and with how many of them failed."""

_REDIS_START_SECONDS = 60.0
_LOOK_SECONDS = 5.0
"""Seconds between searches for videos without a message and without a worker, such as those of a killed worker."""
# Seconds: collecting rewrites the folder's lists, which is too slow for every round of the supervisor.
_COLLECT_SECONDS = 2.0
_DEATH_SECONDS = 10.0
"""Seconds to wait for the end of a killed process, which may take a while on a busy machine."""


def extract_with_workers(plan: Plan, missing: dict[str, Path], workers: int, on_progress: OnProgress) -> bool:
    """Extract the missing videos with `workers` processes of this machine and those that join; False if stopped.

    Without SENTILOC_REDIS_URL, a private Redis runs until the extraction ends.
    """
    # The run's name distinguishes extractions that share a Redis.
    supervisor, run = Supervisor(), secrets.token_hex(8)
    supervisor.install_signals()
    with tempfile.TemporaryDirectory(prefix="sentiloc-") as folder:
        try:
            environment = _start_redis(supervisor, Path(folder))
            # Workers and settings read the address from the environment.
            os.environ.update(environment)
            get_settings.cache_clear()
            queue = ExtractionQueue(get_settings(), run)
            _clear_killed(plan)
            with _announced(plan, run):
                return _run(supervisor, plan, missing, queue, workers, on_progress)
        except RedisError as error:
            detail = f"Redis does not answer: {error}; run the command again to continue"
            raise SentilocError(ErrorCode.INTERNAL, detail) from error
        finally:
            supervisor.stop()
            remove_socket(Path(folder))
            _uncount_killed(plan)


def join_extraction(folder: Path, workers: int) -> None:
    """Help the extraction that is running on this folder, on this machine or another, until it ends."""
    settings = get_settings()
    if settings.redis_url is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, "--join needs SENTILOC_REDIS_URL: the Redis of the extraction to join"
        )
    check_redis(settings)
    path = _run_file(folder)
    run = _announced_run(path)
    if run is None:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: no extraction with workers runs on this folder")
    queue = ExtractionQueue(settings, run)
    supervisor = Supervisor()
    supervisor.install_signals()
    try:
        supervisor.start(_worker(run, workers, settings))
        supervisor.watch(until=_every(_LOOK_SECONDS, lambda: not queue.is_open()))
    finally:
        supervisor.stop()


def _start_redis(supervisor: Supervisor, folder: Path) -> dict[str, str]:
    settings = get_settings()
    if settings.redis_url is not None:
        check_redis(settings)
        return {}
    path = socket_path(folder)
    url = f"unix://{path}"
    supervisor.start(
        ChildSpec(
            name="Redis",
            command=redis_command(find_redis_server().path, folder, path),
            env=dict(os.environ),
            log=f"its log is {folder / 'redis.log'}",
            ready=lambda: wait_for_redis(url, _REDIS_START_SECONDS),
        )
    )
    return {"SENTILOC_REDIS_URL": url}


def _worker(run: str, processes: int, settings: Settings) -> ChildSpec:
    # Otherwise every process would start as many threads as there are processors.
    threads = settings.threads or max(1, available_cpus() // processes)
    env = {
        **os.environ,
        "SENTILOC_THREADS": str(threads),
        # The log lines of each video would hide important ones.
        "SENTILOC_LOG_LEVEL": os.environ.get("SENTILOC_LOG_LEVEL", "warning"),
    }
    # -P: modules must not be imported from the current folder.
    command = [sys.executable, "-P", "-m", "sentiloc.worker.bulk.process", run, str(processes)]
    return ChildSpec(name="worker", command=command, env=env, stop_seconds=6.0)


@contextmanager
def _announced(plan: Plan, run: str) -> Iterator[None]:
    """While the block runs, `--join` finds the extraction by a file in its folder."""
    path = _run_file(plan.folder)
    replace_text(path, json.dumps({"run": run}))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _announced_run(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear_killed(plan: Plan) -> None:
    """Remove from Redis what an extraction left whose command was killed. The folder's lock shows that it has ended."""
    run = _announced_run(_run_file(plan.folder))
    if run is not None:
        ExtractionQueue(get_settings(), run).close()


def _run_file(folder: Path) -> Path:
    return folder / LEDGER_FOLDER / "run.json"


def _run(
    supervisor: Supervisor,
    plan: Plan,
    missing: dict[str, Path],
    queue: ExtractionQueue,
    workers: int,
    on_progress: OnProgress,
) -> bool:
    try:
        queue.keep_open()
        queue.send(plan.folder, plan.split, missing)
        supervisor.start(_worker(queue.run, workers, get_settings()))
        return supervisor.watch(until=_Collector(plan, missing, queue, on_progress).poll)
    finally:
        queue.close()


def _uncount_killed(plan: Plan) -> None:
    """Do not count attempts whose process was ended by this command. Videos of workers that joined are left to them."""
    started = [
        (name, entry.owner)
        for name in plan.ledger.names()
        if (entry := plan.ledger.read(name)) is not None and entry.state == State.STARTED
    ]
    deadline = time.monotonic() + _DEATH_SECONDS
    for name, owner in started:
        while not is_dead(owner) and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_dead(owner):
            plan.ledger.uncount(name)


class _Collector:
    """Follows the workers: collects finished videos, and sends lost ones again."""

    def __init__(
        self, plan: Plan, missing: dict[str, Path], queue: ExtractionQueue, on_progress: OnProgress
    ) -> None:
        self._plan, self._queue, self._on_progress = plan, queue, on_progress
        self._left, self._total = dict(missing), len(missing)
        self._done: list[str] = []
        self._failed = 0
        self._collect = _every(_COLLECT_SECONDS, self._collect_done)
        self._search = _every(_LOOK_SECONDS, self._resend_lost)

    def poll(self) -> bool:
        """Collect finished videos; True when none is left. Called ten times a second."""
        for event in self._queue.ended():
            if event["state"] == "stopped":
                raise SentilocError(ErrorCode.INTERNAL, event["reason"])
            self._end(event["name"], failed=event["state"] == State.FAILED)
        self._collect()
        self._search()
        self._on_progress(self._total - len(self._left), self._failed)
        return not self._left

    def _end(self, name: str, *, failed: bool) -> None:
        if self._left.pop(name, None) is not None:
            self._failed += failed
            self._done.append(name)

    def _collect_done(self) -> bool:
        self._plan.collect(self._done)
        self._done.clear()
        return True

    def _resend_lost(self) -> bool:
        """Resend the messages of videos that no process works on; collect those whose process ended without a
        report.
        """
        self._queue.keep_open()
        if self._queue.waiting():
            return False
        lost = {}
        for name, path in list(self._left.items()):
            entry = self._plan.ledger.read(name, path)
            if self._plan.is_made(name):
                self._end(name, failed=False)
            elif entry is not None and entry.state == State.FAILED:
                self._end(name, failed=True)
            elif not self._queue.is_leased(name):
                lost[name] = path
        self._queue.send(self._plan.folder, self._plan.split, lost)
        return True


def _every(seconds: float, call: Callable[[], bool]) -> Callable[[], bool]:
    """A wrapper that calls `call` at most once in `seconds` and returns False in between."""
    last = 0.0

    def limited() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return call()

    return limited
