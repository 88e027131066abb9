"""How often a running job writes to Redis, counted by a real server's MONITOR."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.worker.jobs.lease_keeper import LeaseKeeper, StallLimits
from sentiloc.worker.jobs.owner import new_owner
from tests.support.jobs import claim
from tests.support.services import wait_for

SECONDS, LEASE_SECONDS = 8.0, 30.0
LIMITS = StallLimits(idle=60.0, busy=60.0, busy_cpu=60.0, load=60.0)
FIRST_SECONDS = 4.0
"""A job reports more often at first, so that a short one shows progress, too."""
WRITING = frozenset(
    {"HSET", "HINCRBY", "ZADD", "ZREM", "XADD", "SET", "DEL", "EXPIRE", "PEXPIRE", "PUBLISH", "SADD"}
)


@pytest.fixture
def store(redis_url: str, tmp_path: Path) -> JobStore:
    prefix = f"t{secrets.token_hex(4)}:"
    settings = Settings(redis_url=redis_url, redis_prefix=prefix, data_dir=tmp_path)
    return JobStore(connect(settings), prefix)


def claimed(store: JobStore) -> JobRecord:
    job = store.submit(NewJob(source_key="uploads/x", source_name="a.mp4", source_bytes=5, model="m"))
    record = claim(store, job.id, new_owner(), LEASE_SECONDS)
    assert record is not None
    return record


class Writes:
    """Times of the requests that write; a script counts once, however much it writes."""

    def __init__(self, url: str) -> None:
        self._url, self._end = url, threading.Event()
        self.times: list[float] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Writes:
        self._thread.start()
        assert self._ready.wait(120)
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        Redis.from_url(self._url).ping()
        self._thread.join(120)

    def _watch(self) -> None:
        server: Any = Redis.from_url(self._url)
        with server.monitor() as monitor:
            self._ready.set()
            is_counted = False
            while not self._end.is_set():
                seen: dict[str, Any] = monitor.next_command()
                is_inside = seen["client_type"] == "lua"
                is_counted = is_counted and is_inside
                if seen["command"].split()[0].upper() in WRITING and not is_counted:
                    self.times.append(float(seen["time"]))
                    is_counted = is_inside


def run(store: JobStore, url: str, seconds: float) -> list[float]:
    """Seconds from the start at which a job that makes steady progress wrote."""
    with Writes(url) as writes:
        began = time.time()
        with LeaseKeeper(store, claimed(store).lease, LEASE_SECONDS, limits=LIMITS) as keeper:
            while (done := time.time() - began) < seconds:
                keeper.report("extracting", done / seconds)
                time.sleep(0.02)
    return [moment - began for moment in writes.times]


def test_a_running_job_writes_once_in_two_seconds(store: JobStore, redis_url: str) -> None:
    moments = run(store, redis_url, SECONDS)
    steady = [moment for moment in moments if FIRST_SECONDS <= moment < SECONDS]
    assert 1 <= len(steady) <= (SECONDS - FIRST_SECONDS) / 2 + 1, moments
    # Submitting and claiming are two.
    assert len(moments) - len(steady) <= 2 + 5, moments


def test_a_job_without_news_writes_for_its_lease_alone(store: JobStore, redis_url: str) -> None:
    lease = 3.0
    record = claim(store, claimed_later(store), new_owner(), lease)
    assert record is not None
    with Writes(redis_url) as writes, LeaseKeeper(store, record.lease, lease, limits=LIMITS):
        wait_for(lambda: len(writes.times) >= 4)
    gaps = [after - before for before, after in zip(writes.times, writes.times[1:], strict=False)]
    # A third of the lease, no less: so two renewals may fail before the job is given to another worker.
    assert all(gap > 0.9 * lease / 3 for gap in gaps[1:]), gaps
    found = store.get(record.id)
    assert found is not None
    assert found.owner == record.owner


def claimed_later(store: JobStore) -> str:
    return store.submit(NewJob(source_key="uploads/x", source_name="a.mp4", source_bytes=5, model="m")).id
