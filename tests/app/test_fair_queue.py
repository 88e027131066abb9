"""The queue is fair: owners take turns by their weights, regardless of their number of jobs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from redis import Redis

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.jobs.leases import WaitingForOthers, WorkerCapabilities
from sentiloc.app.jobs.options import JobOptions, Priority
from sentiloc.app.jobs.record import JobError, JobRecord, NewJob
from sentiloc.app.jobs.store import JobStore, QueueFullError
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode

FAULT = JobError(code=ErrorCode.STORAGE_UNAVAILABLE, detail="down")


def submit(
    store: JobStore,
    owner: str | None,
    priority: Priority = Priority.INTERACTIVE,
    model: str = "m",
    reel: str = "",
    **more: Any,
) -> str:
    job = NewJob(
        source_key="uploads/abcdefgh",
        source_name="a",
        source_bytes=1,
        model=model,
        reel=reel,
        key_id=owner,
        options=JobOptions(priority=priority),
    )
    return store.submit(job, **more).id


def take(store: JobStore) -> JobRecord | None:
    taken = store.take("unnamed", "worker", 30.0, WorkerCapabilities())
    assert not isinstance(taken, WaitingForOthers)
    return taken


def owners(store: JobStore, count: int) -> list[str | None]:
    taken = [take(store) for _ in range(count)]
    return [record.key_id for record in taken if record is not None]


def test_jobs_of_one_owner_are_first_in_first_out(store: JobStore) -> None:
    ids = [submit(store, None) for _ in range(5)]
    assert [store.queue_position(job_id) for job_id in ids] == [1, 2, 3, 4, 5]
    taken = [take(store) for _ in range(6)]
    assert [record and record.id for record in taken] == [*ids, None]


def test_a_greedy_owner_delays_another_by_one_job(store: JobStore) -> None:
    greedy = [submit(store, "greedy") for _ in range(60)]
    assert store.queue_position(submit(store, "other")) in (1, 2)
    assert "other" in owners(store, 2)
    # Also later in the run: neither owner starves.
    for _ in range(5):
        assert store.queue_position(submit(store, "other")) in (1, 2)
        assert Counter(owners(store, 2)) == {"other": 1, "greedy": 1}
    assert store.queue_position(greedy[-1]) == 60 - 6


def test_owners_with_many_jobs_each_take_turns(store: JobStore) -> None:
    for owner, count in (("a", 30), ("b", 20), ("c", 10)):
        for _ in range(count):
            submit(store, owner)
    assert Counter(owners(store, 30)) == {"a": 10, "b": 10, "c": 10}
    assert Counter(owners(store, 20)) == {"a": 10, "b": 10}


def test_a_key_with_more_weight_gets_more_turns(store: JobStore, redis: Redis) -> None:
    keys = KeyStore(redis, store.prefix)
    light, heavy = (keys.create("a", [], rate_per_minute=0, weight=weight).key.id for weight in (1, 3))
    for owner in (light, heavy):
        for _ in range(40):
            submit(store, owner)
    assert Counter(owners(store, 40)) == {light: 10, heavy: 30}


def test_a_tiny_weight_of_an_earlier_release_puts_no_job_behind_batch_jobs(
    store: JobStore, redis: Redis
) -> None:
    tiny = KeyStore(redis, store.prefix).create("a", [], rate_per_minute=0, weight=1e-14).key.id
    for _ in range(3):
        submit(store, tiny)
    assert owners(store, 3) == [tiny] * 3
    submit(store, "b", Priority.BATCH)
    submit(store, "a")
    assert owners(store, 2) == ["a", "b"]


def test_a_clock_of_turns_that_had_left_its_range_returns(store: JobStore, redis: Redis) -> None:
    """A server may have taken tiny weights before it was upgraded, and jobs may still have such turns."""
    stuck = submit(store, "tiny")
    for place in (f"{store.prefix}queue", f"{store.prefix}queued:interactive:tiny"):
        assert redis.zadd(place, {stuck: 1e14}, xx=True, ch=True)
    redis.hset(f"{store.prefix}job:{stuck}", "turn", "1e14")
    redis.hset(f"{store.prefix}turns", mapping={"interactive": "1e14", "interactive tiny": "1e14"})
    assert owners(store, 1) == ["tiny"]
    submit(store, "b", Priority.BATCH)
    for owner in ("a", "tiny"):
        submit(store, owner)
    assert Counter(owners(store, 2)) == {"a": 1, "tiny": 1}
    assert owners(store, 1) == ["b"]


def test_cancelled_jobs_are_not_held_against_their_owner(store: JobStore) -> None:
    for job_id in [submit(store, "a") for _ in range(50)]:
        store.cancel(job_id)
    for _ in range(10):
        submit(store, "b")
    submit(store, "a")
    assert "a" in owners(store, 2)


def test_batch_jobs_wait_for_interactive_ones_and_are_fair_among_themselves(store: JobStore) -> None:
    for _ in range(5):
        submit(store, "a", Priority.BATCH)
    submit(store, "b", Priority.BATCH)
    submit(store, "a")
    assert owners(store, 1) == ["a"]
    assert set(owners(store, 2)) == {"a", "b"}


def test_a_job_that_comes_back_keeps_its_turn(store: JobStore) -> None:
    first, *_ = [submit(store, "a") for _ in range(3)]
    record = take(store)
    assert record is not None and record.id == first
    store.release(record.lease)
    assert store.queue_position(first) == 1


def test_a_job_that_comes_back_does_not_set_the_clock_of_turns_back(store: JobStore, redis: Redis) -> None:
    """Otherwise the next job of an owner without queued ones would come before jobs that have waited longer."""
    first, _ = submit(store, "a"), submit(store, "a")
    record = take(store)
    take(store)
    assert record is not None and record.id == first
    turn = redis.hget(f"{store.prefix}turns", "interactive")
    store.release(record.lease)
    again = take(store)
    assert again is not None and again.id == first
    assert redis.hget(f"{store.prefix}turns", "interactive") == turn


def test_after_redis_s_clock_was_set_back_a_fault_ends_a_job_no_later(
    store: JobStore, redis: Redis, settings: Settings
) -> None:
    job = submit(store, "a")
    record = take(store)
    assert record is not None
    store.defer(record.lease, FAULT, settings)
    name = f"{store.prefix}job:{job}"
    before = float(str(redis.hget(name, "fault_until")))
    redis.hset(name, mapping={"fault_at": repr(before + 3600), "not_before": "0"})
    record = take(store)
    assert record is not None
    store.defer(record.lease, FAULT, settings)
    # A little later than the first time, not hours.
    assert float(str(redis.hget(name, "fault_until"))) < before + 1800


def test_a_job_that_waits_after_a_fault_is_passed_over(store: JobStore, settings: Settings) -> None:
    first, second = submit(store, "a"), submit(store, "a")
    record = take(store)
    assert record is not None and record.id == first
    store.defer(record.lease, FAULT, settings)
    after = take(store)
    assert after is not None and after.id == second
    assert take(store) is None


def test_jobs_queued_by_an_earlier_version_come_first(store: JobStore, redis: Redis) -> None:
    old = submit(store, "a")
    redis.hdel(f"{store.prefix}job:{old}", "turn")
    redis.delete(f"{store.prefix}turns", f"{store.prefix}queued:interactive:a")
    submit(store, "b")
    record = take(store)
    assert record is not None and record.id == old


def test_a_key_has_a_limit_of_queued_jobs(store: JobStore, redis: Redis) -> None:
    mine = [submit(store, "a", max_queued=3) for _ in range(3)]
    with pytest.raises(QueueFullError):
        submit(store, "a", max_queued=3)
    with pytest.raises(QueueFullError):
        submit(store, "a", Priority.BATCH, max_queued=3)
    submit(store, "b", max_queued=3)
    for _ in range(5):
        submit(store, None, max_queued=3)
    store.cancel(mine[0])
    submit(store, "a", max_queued=3)
    # A worker of an earlier version does not know the queues of owners.
    redis.zrem(f"{store.prefix}queue", mine[1])
    submit(store, "a", max_queued=3)


def test_an_empty_queue_leaves_no_keys(store: JobStore, redis: Redis) -> None:
    submit(store, "a")
    store.cancel(submit(store, "b"))
    take(store)
    assert not list(redis.scan_iter(f"{store.prefix}queue*"))


def take_of(store: JobStore, *models: str, avoided: tuple[str, ...] = ()) -> str | set[str] | None:
    """The job that a worker with these models takes, or the models of the jobs that it passes over."""
    found = store.take("unnamed", "worker", 30.0, WorkerCapabilities(frozenset(models), frozenset(avoided)))
    if isinstance(found, WaitingForOthers):
        return set(found.models)
    return None if found is None else found.id


def test_a_worker_passes_over_what_it_cannot_run_and_the_turns_stay(store: JobStore) -> None:
    large = [submit(store, "greedy", model="large") for _ in range(3)]
    small = [submit(store, owner, model="small") for owner in ("greedy", "other", "greedy")]
    # A worker without the large model takes the others, in turn.
    assert [take_of(store, "small") for _ in range(3)] == [small[1], small[0], small[2]]
    assert take_of(store, "small") == {"large"}
    # The jobs that it has passed over come before later ones of others.
    later = submit(store, "third", model="large")
    assert [take_of(store, "small", "large") for _ in range(4)] == [*large, later]
    assert take_of(store, "small") is None


def test_a_worker_without_models_takes_reels_and_names_what_it_leaves(store: JobStore) -> None:
    submit(store, None, model="one")
    submit(store, None, Priority.BATCH, model="two")
    reel = submit(store, None, model="", reel="{}")
    assert take_of(store) == reel
    assert take_of(store) == {"one", "two"}


def test_a_name_within_another_name_is_not_enough(store: JobStore) -> None:
    submit(store, None, model="i3d")
    assert take_of(store, "fsenet-i3d", "i3d-small") == {"i3d"}


def test_a_worker_leaves_a_job_that_it_had_to_put_back(store: JobStore) -> None:
    job, other = submit(store, None), submit(store, None)
    assert take_of(store, "m", avoided=(job,)) == other
    assert take_of(store, "m", avoided=(job,)) == {"m"}
    assert take_of(store, "m") == job


def test_a_worker_for_any_model_leaves_jobs_to_others_too(store: JobStore) -> None:
    job = submit(store, None)
    passed = store.take("unnamed", "worker", 30.0, WorkerCapabilities(avoided=frozenset({job})))
    assert passed == WaitingForOthers(frozenset({"m"}))


def test_jobs_that_wait_for_a_pause_are_not_for_other_workers(store: JobStore, settings: Settings) -> None:
    submit(store, None, model="large")
    held = take(store)
    assert held is not None
    store.defer(held.lease, FAULT, settings)
    assert take_of(store, "small") is None


def test_a_worker_finds_its_job_behind_twelve_thousand_that_it_cannot_run(store: JobStore) -> None:
    first = submit(store, None, model="large")
    pipe = store.redis.pipeline()
    for number in range(12_000):
        pipe.copy(f"{store.prefix}job:{first}", f"{store.prefix}job:{number}")
        pipe.zadd(f"{store.prefix}queue", {str(number): 1 + number / 24_000})
    pipe.execute()
    assert take_of(store, "small") == {"large"}
    last = submit(store, "other", model="small")
    assert take_of(store, "small") == last


@pytest.mark.parametrize("positions", [1, 2, 3, 5, 6])
def test_the_parts_of_a_queue_that_is_read_in_parts_add_up(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, positions: int
) -> None:
    """However few positions one script looks at: every model is named, and the last job is found."""
    monkeypatch.setattr("sentiloc.app.jobs.leases._LOOKED_AT", positions)
    for model in ("one", "two", "three", "one", "one"):
        submit(store, None, model=model)
    assert take_of(store, "small") == {"one", "two", "three"}
    last = submit(store, None, model="small")
    assert take_of(store, "small") == last
    assert take_of(store, "none") == {"one", "two", "three"}
