"""How a worker waits for a fault of its installation to pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, LostProcessError, SentilocError
from sentiloc.worker.config import runtime_config
from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.faults import persist, sleep_unless_draining
from sentiloc.worker.jobs.health import Health
from sentiloc.worker.pipelines.registry import Pipelines

AWAY = SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "away")
GROWING = [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


@pytest.fixture(autouse=True)
def _draining() -> Iterator[None]:
    yield
    process._drain_at.value = 0.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a worker would have slept."""
    slept: list[float] = []

    def sleep(seconds: float) -> bool:
        slept.append(seconds)
        return not process.is_draining()

    monkeypatch.setattr("sentiloc.worker.jobs.faults.sleep_unless_draining", sleep)
    return slept


def failing(times: int, error: SentilocError = AWAY) -> Callable[[], int]:
    """Fails so many times, then returns the number of calls."""
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


def test_a_write_is_repeated_with_growing_pauses(pauses: list[float]) -> None:
    assert persist(failing(6), lambda: None, 600.0) == 7
    assert pauses == GROWING


@pytest.mark.parametrize(
    ("error", "patience"), [(AWAY, -1.0), (SentilocError(ErrorCode.CORRUPT_MEDIA, "broken"), 600.0)]
)
def test_a_write_is_given_up_after_its_time_or_if_it_is_refused(
    pauses: list[float], error: SentilocError, patience: float
) -> None:
    with pytest.raises(SentilocError) as caught:
        persist(failing(1, error), lambda: None, patience)
    assert (caught.value, pauses) == (error, [])


@pytest.mark.parametrize("checks", [0, 1])
def test_a_write_ends_with_its_job(pauses: list[float], checks: int) -> None:
    """Before a pause, and after one that the end of the worker has cut short."""
    stopped = SentilocError(ErrorCode.CANCELLED, "stopped")
    left = iter([None] * checks)
    process.drain_after(0.0)

    def check() -> None:
        if next(left, stopped) is stopped:
            raise stopped

    with pytest.raises(SentilocError) as caught:
        persist(failing(9), check, 600.0)
    assert (caught.value, len(pauses)) == (stopped, checks)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        self.now += seconds
        return not process.is_draining()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("sentiloc.worker.jobs.health.time", found)
    monkeypatch.setattr("sentiloc.worker.jobs.health.sleep_unless_draining", found.sleep)
    return found


class Away(LocalStorage):
    """A folder that cannot be reached for so many checks, whose times are kept."""

    def __init__(self, folder: Path, times: int, clock: Clock) -> None:
        super().__init__(folder)
        self.check, self.clock = failing(times), clock
        self.checked: list[float] = []

    def size(self, key: str) -> int | None:
        self.checked.append(self.clock.now)
        self.check()
        return super().size(key)


def health(storage: Away, folder: Path) -> Health:
    settings = Settings(data_dir=folder)
    return Health(storage, Pipelines(runtime_config(settings), settings.model), settings.features_dir)


def nobody() -> bool:
    return False


def test_an_unhealthy_worker_checks_with_growing_pauses(clock: Clock, tmp_path: Path) -> None:
    storage = Away(tmp_path, 6, clock)
    found = health(storage, tmp_path)
    assert found.wait(nobody)
    assert clock.now == 1000.0
    found.suspect(LostProcessError("gone"))
    assert found.wait(nobody)
    assert [later - earlier for earlier, later in pairwise(storage.checked)] == GROWING
    assert storage.checked[0] == 1000.0
    # The next fault begins with the shortest pause, and the checks leave no files.
    storage.checked, storage.check = [], failing(1)
    found.suspect(LostProcessError("gone"))
    assert found.wait(nobody)
    assert [later - earlier for earlier, later in pairwise(storage.checked)] == GROWING[:1]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_worker_that_could_not_use_its_disk_pauses_before_its_first_check(
    clock: Clock, tmp_path: Path
) -> None:
    storage = Away(tmp_path, 0, clock)
    found = health(storage, tmp_path)
    for number, rest in enumerate([1.0, 2.0, 4.0, *GROWING]):
        began = clock.now
        found.suspect(AWAY)
        assert found.fault is AWAY
        assert found.wait(nobody)
        assert clock.now - began == rest
        assert not found.fault
        if number == 2:
            found.proved()


def test_a_worker_that_waits_for_its_disk_hands_its_message_to_others(clock: Clock, tmp_path: Path) -> None:
    found = health(Away(tmp_path, 99, clock), tmp_path)
    found.suspect(AWAY)
    assert not found.wait(lambda: True)
    assert clock.now == 1005.0


def test_an_unhealthy_worker_stops_at_once(clock: Clock, tmp_path: Path) -> None:
    found = health(Away(tmp_path, 6, clock), tmp_path)
    found.suspect(AWAY)
    process.drain_after(0.0)
    assert not found.wait(nobody)
    assert clock.now == 1001.0
    # It stays unhealthy, so it takes no job after that.
    assert not found.wait(nobody)


def test_a_sleep_ends_when_the_worker_stops() -> None:
    assert sleep_unless_draining(0.0) and sleep_unless_draining(0.01)
    process.drain_after(0.05)
    assert not sleep_unless_draining(60.0)
    assert not sleep_unless_draining(0.0)


def test_a_missing_model_is_no_fault_of_the_disk(clock: Clock, tmp_path: Path) -> None:
    found = health(Away(tmp_path, 0, clock), tmp_path)
    found.suspect(AWAY)
    found._pipelines.error = SentilocError(ErrorCode.MODEL_UNAVAILABLE, "no package")
    clock.now += 1.0
    found.look()
    assert found.fault is None
