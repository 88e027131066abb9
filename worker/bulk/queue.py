"""The queue of one extraction in Redis: its messages, the leases of its videos, and the list of finished ones.

    PREFIX extract:RUN:open            exists while the command that collects the features runs
    PREFIX extract:RUN:lease:NAME      the process that works on a video; expires unless renewed
    PREFIX extract:RUN:ended           list of JSON objects, one for each video that ended

A message only says "check video N". The lease decides which process works on it, and the files decide whether it is
done. So lost or repeated messages are harmless.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from celery import Celery
from redis import Redis, RedisError

from sentiloc.app.jobs.broker import make_celery
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.worker.jobs.owner import is_dead, new_owner

EXTRACT_TASK = "sentiloc.extract"
LEASE_SECONDS = 30.0
_RENEW_SECONDS = 5.0
OPEN_SECONDS = 60
# A script, because the lease may expire and change hands between a check and a delete.
_DROP_IF_OWN = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class ExtractionQueue:
    """The queue that the collecting command and its workers share."""

    def __init__(self, settings: Settings, run: str) -> None:
        self.run, self.name = run, f"extract-{run}"
        self._redis: Redis = connect(settings)
        self._prefix = f"{settings.redis_prefix}extract:{run}:"
        self._waiting = f"{settings.redis_prefix}{self.name}"
        # Written by kombu for every queue, and kept forever.
        self._bindings = [
            f"{settings.redis_prefix}_kombu.{kind}.{self.name}" for kind in ("binding", "binding_permanent")
        ]
        self.celery = _celery(settings, self.name)

    def send(self, folder: Path, split: str, videos: Mapping[str, Path]) -> None:
        """Queue these videos. Raises `kombu.exceptions.OperationalError` and `redis.RedisError`."""
        with self.celery.producer_or_acquire() as producer:
            for name, video in videos.items():
                values = [str(folder), split, name, str(video)]
                self.celery.send_task(EXTRACT_TASK, args=values, queue=self.name, producer=producer)

    def waiting(self) -> int:
        """Messages that no worker has taken."""
        return self._redis.llen(self._waiting)

    def keep_open(self) -> None:
        """Signal to workers on other machines that this extraction is still running."""
        self._redis.set(f"{self._prefix}open", 1, ex=OPEN_SECONDS)

    def is_open(self) -> bool:
        """Whether the collecting command still runs."""
        return bool(self._redis.exists(f"{self._prefix}open"))

    @contextmanager
    def lease(self, name: str) -> Iterator[str | None]:
        """Hold a video while the block runs; None if another process has it. Yields the owner's name."""
        owner = new_owner()
        self.free_if_dead(name)
        key = f"{self._prefix}lease:{name}"
        milliseconds = int(LEASE_SECONDS * 1000)
        if not self._redis.set(key, owner, nx=True, px=milliseconds):
            yield None
            return
        ended = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(key, owner, ended), daemon=True)
        renewal.start()
        try:
            yield owner
        finally:
            ended.set()
            # Joined before the lease is dropped: a renewal on its way would set it again.
            renewal.join()
            self._drop(key, owner)

    def is_leased(self, name: str) -> bool:
        """Whether a process that may still be alive works on the video."""
        self.free_if_dead(name)
        return bool(self._redis.exists(f"{self._prefix}lease:{name}"))

    def free_if_dead(self, name: str) -> None:
        """Drop the lease of a process of this machine that has ended."""
        key = f"{self._prefix}lease:{name}"
        owner = cast("str | None", self._redis.get(key))
        if owner is not None and is_dead(owner):
            self._drop(key, owner)

    def report(self, name: str, state: str, reason: str = "") -> None:
        """Report a video's outcome to the collecting command."""
        report = json.dumps({"name": name, "state": state, "reason": reason})
        pipe = self._redis.pipeline()
        pipe.rpush(f"{self._prefix}ended", report)
        # The command may have ended and would then never read it. The next run finds the outcome in the ledger.
        pipe.expire(f"{self._prefix}ended", OPEN_SECONDS)
        pipe.execute()

    def ended(self) -> list[dict[str, str]]:
        """The outcomes reported since the last call."""
        # Bounded, so that one answer does not grow with the extraction.
        found = cast("list[str] | None", self._redis.lpop(f"{self._prefix}ended", 1000))
        return [json.loads(text) for text in found or []]

    def close(self) -> None:
        """Remove everything of this extraction from Redis. Messages that workers hold are lost with them."""
        keys: list[Any] = list(self._redis.scan_iter(f"{self._prefix}*"))
        self._redis.delete(self._waiting, *self._bindings, *keys)

    def _drop(self, key: str, owner: str) -> None:
        self._redis.eval(_DROP_IF_OWN, 1, key, owner)

    def _renew(self, key: str, owner: str, ended: threading.Event) -> None:
        while not ended.wait(_RENEW_SECONDS):
            try:
                # xx: a lease that expired and was removed must not come back.
                self._redis.set(key, owner, xx=True, px=int(LEASE_SECONDS * 1000))
            except RedisError:
                # The next round tries again. If the lease expires first, the only cost is that one video is extracted
                # twice.
                continue


def _celery(settings: Settings, queue: str) -> Celery:
    """The service's Celery settings on a queue of this extraction alone."""
    celery = make_celery(settings)
    celery.conf.update(
        task_default_queue=queue,
        task_queues={queue: {"exchange": queue, "routing_key": queue}},
        # The process keeps its networks from one video to the next.
        worker_max_tasks_per_child=None,
    )
    return celery
