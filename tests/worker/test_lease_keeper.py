"""When a job must stop: it was lost, its worker stops, or it hangs. Records are in a real Redis."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.lease_keeper import LeaseKeeper, StallLimits, StopReason
from sentiloc.worker.jobs.owner import new_owner
from tests.support.jobs import claim
from tests.support.services import wait_for

PATIENT = StallLimits(idle=600.0, busy=600.0, busy_cpu=600.0, load=600.0)
HUNG_AT_ONCE = StallLimits(idle=600.0, busy=0.1, busy_cpu=0.0, load=0.4)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sentiloc.worker.jobs.lease_keeper._TICK_SECONDS", 0.02)
    monkeypatch.setattr("sentiloc.worker.jobs.lease_keeper._FIRST_WRITE_SECONDS", 0.02)
    yield
    process._drain_at.value = 0.0


@pytest.fixture
def store(redis_url: str, tmp_path: Path) -> JobStore:
    prefix = f"t{secrets.token_hex(4)}:"
    settings = Settings(redis_url=redis_url, redis_prefix=prefix, data_dir=tmp_path)
    return JobStore(connect(settings), prefix)


@pytest.fixture
def job(store: JobStore) -> JobRecord:
    new = store.submit(NewJob(source_key="uploads/x", source_name="a.mp4", source_bytes=5, model="m"))
    record = claim(store, new.id, new_owner(), 30.0)
    assert record is not None
    return record


def test_progress_stays_between_what_it_was_and_one(store: JobStore, job: JobRecord) -> None:
    def shown() -> tuple[str | None, float]:
        found = store.get(job.id)
        assert found is not None
        return found.stage, found.progress

    with LeaseKeeper(store, job.lease, 30.0, limits=PATIENT) as keeper:
        for stage, progress, kept in (("a", 0.5, 0.5), ("b", 0.2, 0.5), ("c", 1.7, 1.0)):
            keeper.report(stage, progress)
            wait_for(lambda stage=stage: shown()[0] == stage)  # type: ignore[misc]
            assert shown() == (stage, kept)


@pytest.mark.parametrize("reason", [StopReason.LOST, StopReason.DRAINING])
def test_a_job_that_was_lost_or_whose_worker_stops_ends(
    store: JobStore, job: JobRecord, reason: StopReason
) -> None:
    with LeaseKeeper(store, job.lease, 30.0, limits=PATIENT, on_hung=pytest.fail) as keeper:
        keeper.report("a", 0.5)
        if reason is StopReason.LOST:
            store.cancel(job.id)
        else:
            process.drain_after(0.0)
        wait_for(lambda: keeper.stop_reason)
        for stopped in (keeper.check, lambda: keeper.report("a", 0.6)):
            with pytest.raises(SentilocError, match=str(reason)) as caught:
                stopped()
            assert caught.value.code is ErrorCode.CANCELLED
    assert keeper.stop_reason is reason


def test_a_job_that_hangs_is_told_once_and_its_lease_ends(store: JobStore, job: JobRecord) -> None:
    told: list[float] = []
    lease = 0.3
    with LeaseKeeper(
        store, job.lease, lease, limits=HUNG_AT_ONCE, on_hung=lambda: told.append(time.monotonic())
    ) as keeper:
        keeper.report("a", 0.5)
        wait_for(lambda: keeper.stop_reason)
        wait_for(lambda: job.id in store.expired())
    assert len(told) == 1
    assert keeper.stop_reason is StopReason.HUNG


def stays(is_true: Callable[[], bool], seconds: float) -> bool:
    """Whether it is true for so long."""
    until = time.monotonic() + seconds
    while is_true() and time.monotonic() < until:
        time.sleep(0.02)
    return is_true()


def test_work_that_waits_for_another_system_does_not_hang(store: JobStore, job: JobRecord) -> None:
    """Several threads may wait, and the time of the last one counts."""
    told = threading.Event()
    with (
        LeaseKeeper(store, job.lease, 30.0, limits=HUNG_AT_ONCE, on_hung=told.set) as keeper,
        ExitStack() as first,
        ExitStack() as second,
    ):
        for stack in (first, second):
            stack.enter_context(keeper.waiting_outside())
        first.close()
        assert stays(lambda: not told.is_set(), 0.4)
        second.close()
        wait_for(told.is_set)


def test_a_model_may_load_for_its_time_and_no_longer(store: JobStore, job: JobRecord) -> None:
    told = threading.Event()
    began = time.monotonic()
    with (
        LeaseKeeper(store, job.lease, 30.0, limits=HUNG_AT_ONCE, on_hung=told.set) as keeper,
        keeper.loading(),
    ):
        wait_for(told.is_set)
    assert time.monotonic() - began >= HUNG_AT_ONCE.load


def test_work_may_hang_as_soon_as_its_model_is_loaded(store: JobStore, job: JobRecord) -> None:
    told = threading.Event()
    limits = StallLimits(idle=600.0, busy=0.1, busy_cpu=0.0, load=600.0)
    with LeaseKeeper(store, job.lease, 30.0, limits=limits, on_hung=told.set) as keeper:
        with keeper.loading():
            assert stays(lambda: not told.is_set(), 0.3)
        wait_for(told.is_set)


def test_the_limits_are_those_of_the_settings() -> None:
    settings = Settings(
        stall_seconds=101.0, stall_busy_seconds=103.0, stall_cpu_seconds=102.0, model_load_seconds=104.0
    )
    assert StallLimits.of(settings) == StallLimits(idle=101.0, busy=103.0, busy_cpu=102.0, load=104.0)
