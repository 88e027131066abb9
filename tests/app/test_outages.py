"""An outage is logged at its start, once a minute and at its end, however many threads notice it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.housekeeping.reaper import Chore, Reaper
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.app.storage.breaker import StoreUnreachableError
from sentiloc.app.storage.keys import PROBE
from sentiloc.app.storage.local import LocalStorage
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.outages import Outage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.support.services import private_redis, wait_for


class Clock:
    """The clock of the outages, which a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("sentiloc.app.telemetry.outages.time", clock)
    for name in ("REDIS", "STORAGE"):
        monkeypatch.setattr(outages, name, Outage(name.title()))
    yield clock


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "outages" in record.name and record.levelno > logging.DEBUG
    ]


def test_ten_minutes_seen_by_many_threads(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("Redis")
    outage.answered()
    for _ in range(600):
        threads = [threading.Thread(target=outage.failed, args=(OSError("refused"),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.now += 1.0
    # Some requests still fail while others succeed.
    for _ in range(3):
        outage.answered()
        outage.failed(OSError("refused"))
        clock.now += 1.0
    clock.now += 5.0
    outage.answered()
    outage.answered()
    found = lines(caplog)
    assert found[0] == "Redis cannot be reached: refused"
    assert found[-1] == "Redis answers again, after 608 s and 2403 failures"
    assert len(found) == 12
    assert all("has been away" in line for line in found[1:-1])
    outage.failed(OSError("refused"))
    assert lines(caplog)[-1] == "Redis cannot be reached: refused"


def test_an_api_without_redis_logs_one_line(
    clock: Clock, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its webhook senders, its reaper and its requests all notice it."""
    with private_redis(tmp_path / "redis") as redis:
        quick = settings.model_copy(update={"redis_url": redis.url, "reaper_interval_seconds": 0.05})
        with TestClient(create_app(quick)) as client:
            assert client.get("/jobs").status_code == 200
            redis.kill()
            for _ in range(3):
                assert client.get("/jobs").status_code == 503
            wait_for(lambda: outages.REDIS._failures > 12)
            about_redis = [record for record in caplog.records if record.levelno >= logging.WARNING]
            assert [record.getMessage()[:23] for record in about_redis] == ["Redis cannot be reached"]
            clock.now += 6.0
            redis.start()
            clock.now += 6.0
            wait_for(lambda: not outages.REDIS.is_on)
    assert "answers again" in lines(caplog)[-1]


class Away(LocalStorage):
    """A storage that can be away."""

    is_away = True

    def size(self, key: str) -> int | None:
        if self.is_away:
            raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "no answer")
        return super().size(key)


def test_a_sweep_without_the_storage_logs_no_traceback(
    clock: Clock, settings: Settings, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Away(settings.data_dir)
    quick = settings.model_copy(update={"reaper_interval_seconds": 0.02})
    chore = Chore("away", 0.01, lambda: storage.size(PROBE))
    reaper = Reaper(quick, store, storage, Dispatcher(quick, connect(quick)), [chore])
    reaper.start()
    try:
        wait_for(lambda: outages.STORAGE._failures > 5)
        storage.is_away = False
        clock.now += 6.0
        wait_for(lambda: not outages.STORAGE.is_on)
    finally:
        reaper.stop()
    assert [record.levelname for record in caplog.records if record.exc_info] == []
    assert lines(caplog)[0] == "Storage cannot be reached: no answer"
    assert "answers again" in lines(caplog)[-1]
    assert len(lines(caplog)) == 2


def test_a_file_that_stays_is_no_outage(
    clock: Clock, settings: Settings, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    storage = LocalStorage(settings.data_dir)
    held = settings.data_dir / PROBE
    held.mkdir(parents=True)
    chore = Chore("tidy", 0.01, lambda: storage.delete(PROBE))
    reaper = Reaper(settings, store, storage, Dispatcher(settings, connect(settings)), [chore])
    reaper._attempt(chore)
    assert (outages.STORAGE.is_on, lines(caplog)) == (False, [])
    (told,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "tidy" in told and str(held) in told


def test_a_store_that_does_not_answer_in_time_is_an_outage(
    clock: Clock, settings: Settings, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    def silent() -> None:
        # The time-outs of boto3 are OSErrors, too.
        raise StoreUnreachableError("The object store cannot be reached.") from TimeoutError("no answer")

    storage = LocalStorage(settings.data_dir)
    reaper = Reaper(settings, store, storage, Dispatcher(settings, connect(settings)))
    reaper._attempt(Chore("tidy", 0.01, silent))
    assert lines(caplog) == ["Storage cannot be reached: no answer"]
