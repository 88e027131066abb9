"""Owners take turns by the cost of their jobs: the queue shares out seconds of media, not numbers of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import cast

import pytest
from redis import Redis

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.jobs.leases import WaitingForOthers, WorkerCapabilities
from sentiloc.app.jobs.options import JobOptions, Priority, TimeRange
from sentiloc.app.jobs.record import JobError, JobRecord, JobState, NewJob, cost_of, expected_cost
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode

CLIP, LONG = 10.0, 300.0
# By these sizes, the queue expects the lengths above.
BYTES = {CLIP: 5_000_000, LONG: 150_000_000}


def submit(
    store: JobStore,
    owner: str | None,
    seconds: float | None = None,
    *,
    size: int = 1,
    priority: Priority = Priority.INTERACTIVE,
) -> str:
    job = NewJob(
        source_key="uploads/abcdefgh",
        source_name="a",
        source_bytes=size,
        media_seconds=seconds,
        model="m",
        key_id=owner,
        options=JobOptions(priority=priority),
    )
    return store.submit(job).id


def take(store: JobStore) -> JobRecord:
    taken = store.take("unnamed", "worker", 30.0, WorkerCapabilities())
    assert taken is not None and not isinstance(taken, WaitingForOthers)
    return taken


def work(
    store: JobStore, seconds_of: Mapping[str | None, float], until: Callable[[], bool]
) -> Counter[str | None]:
    """Run jobs, one at a time, until a condition holds; returns the cost of what ran for each owner."""
    spent: Counter[str | None] = Counter()
    while not until():
        record = take(store)
        media = seconds_of[record.key_id]
        assert store.succeed(record.lease, "results/r.1.json", media_seconds=media)
        spent[record.key_id] += round(cost_of(media))
    return spent


def waiting(store: JobStore, owner: str) -> int:
    return int(store.redis.zcard(f"{store.prefix}queued:interactive:{owner}"))


def require_equal_shares(spent: Counter[str | None]) -> None:
    """Both owners have waiting jobs, so their shares differ by one long job and one clip at most."""
    assert abs(spent["long"] - spent["clips"]) <= cost_of(LONG) + cost_of(CLIP), spent
    assert spent["clips"] > 2 * cost_of(LONG)


@pytest.mark.parametrize("first", ["long", "clips"])
def test_a_key_with_clips_gets_its_share_beside_a_key_with_hours(store: JobStore, first: str) -> None:
    counts = {"long": 5, "clips": 80}
    seconds: dict[str | None, float] = {"long": LONG, "clips": CLIP}
    for owner in sorted(counts, key=lambda one: one != first):
        for _ in range(counts[owner]):
            submit(store, owner, size=BYTES[seconds[owner]])
    require_equal_shares(work(store, seconds, lambda: waiting(store, "long") <= 1))
    assert waiting(store, "clips")


def test_the_share_holds_if_the_length_is_known_only_at_the_end(store: JobStore) -> None:
    """Both keys' jobs are expected to be alike: videos behind URLs have no size until they are fetched."""
    for _ in range(6):
        submit(store, "long", size=0)
    for _ in range(90):
        submit(store, "clips", size=0)
    seconds: dict[str | None, float] = {"long": LONG, "clips": CLIP}
    require_equal_shares(work(store, seconds, lambda: waiting(store, "long") <= 2))


def test_the_size_of_a_fetched_video_counts_while_its_job_runs(store: JobStore) -> None:
    for _ in range(4):
        submit(store, "long", size=0)
    record = take(store)
    assert store.fetched(record.lease, BYTES[LONG])
    # Sent again, as after a lost answer or by the next attempt, it counts once.
    assert store.fetched(record.lease, BYTES[LONG])
    for _ in range(20):
        submit(store, "clips", size=BYTES[CLIP])
    taken = Counter(take(store).key_id for _ in range(21))
    assert taken == {"clips": 20, "long": 1}
    assert store.succeed(record.lease, "results/r.1.json", media_seconds=LONG)


def test_a_key_whose_videos_are_shorter_than_expected_is_not_held_back(store: JobStore) -> None:
    for _ in range(40):
        submit(store, "large", size=BYTES[LONG])
        submit(store, "clips", size=BYTES[CLIP])
    seconds: dict[str | None, float] = {"large": CLIP, "clips": CLIP}
    spent = work(store, seconds, lambda: waiting(store, "clips") <= 10)
    # One long job was expected to run before the queue learned better.
    assert spent["large"] >= spent["clips"] - cost_of(LONG)
    assert spent["large"] >= 10 * cost_of(CLIP)


def test_a_key_gets_no_credit_for_what_it_did_not_use(store: JobStore, redis: Redis) -> None:
    for _ in range(3):
        submit(store, "large", size=BYTES[LONG])
    first = take(store)
    for _ in range(4):
        submit(store, "clips", size=BYTES[CLIP])
    for _ in range(3):
        take(store)
    assert store.succeed(first.lease, "results/r.1.json", media_seconds=CLIP)
    turn = float(str(redis.hget(f"{store.prefix}turns", "interactive")))
    (place,) = redis.zrange(f"{store.prefix}queued:interactive:large", 0, 0, withscores=True)
    assert place[1] == pytest.approx(turn, abs=0.001)


def test_a_job_that_was_put_off_and_comes_back_keeps_its_later_turn(store: JobStore) -> None:
    mine = [submit(store, "long", size=0) for _ in range(2)]
    store.succeed(take(store).lease, "results/r.1.json", media_seconds=LONG)
    place = store.redis.zscore(f"{store.prefix}queue", mine[1])
    record = take(store)
    assert record.id == mine[1]
    store.release(record.lease)
    assert store.redis.zscore(f"{store.prefix}queue", mine[1]) == place


def test_a_long_job_waits_for_no_stream_of_clips(store: JobStore) -> None:
    for _ in range(20):
        submit(store, "clips", size=BYTES[CLIP])
    for _ in range(5):
        work(store, {"clips": CLIP}, lambda: waiting(store, "clips") < 20)
        submit(store, "clips", size=BYTES[CLIP])
    submit(store, "long", 4 * 3600.0)
    assert "long" in [take(store).key_id for _ in range(2)]


def test_the_long_jobs_of_a_key_are_not_passed_for_ever(store: JobStore) -> None:
    """Each long job starts once another key has had as much, however many new clips arrive."""
    for _ in range(3):
        submit(store, "long", 100.0)
    taken: list[str | None] = []
    for _ in range(40):
        submit(store, "clips", CLIP)
        record = take(store)
        taken.append(record.key_id)
    assert taken.count("long") == 3
    assert [place for place, owner in enumerate(taken) if owner == "long"][1:] == pytest.approx(
        [8, 15], abs=2
    )


def test_weight_shares_out_cost(store: JobStore, redis: Redis) -> None:
    keys = KeyStore(redis, store.prefix)
    light, heavy = (keys.create("a", [], rate_per_minute=0, weight=weight).key.id for weight in (1, 3))
    for _ in range(60):
        submit(store, light, 15.0)
        submit(store, heavy, 55.0)
    taken = Counter(take(store).key_id for _ in range(60))
    assert taken[heavy] * 60 / (taken[light] * 20) == pytest.approx(3, rel=0.1)


def test_jobs_of_a_key_stay_in_order_when_their_costs_are_corrected(store: JobStore) -> None:
    mine = [submit(store, "long", size=0) for _ in range(8)]
    submit(store, "other", size=0)
    order: list[str] = []
    while len(order) < len(mine):
        record = take(store)
        if record.key_id == "long":
            order.append(record.id)
        store.succeed(record.lease, "results/r.1.json", media_seconds=LONG if len(order) % 2 else CLIP)
    assert order == mine


def test_a_cancelled_long_job_holds_nothing_back(store: JobStore) -> None:
    first = submit(store, "a", CLIP)
    long = submit(store, "a", 4 * 3600.0)
    last = submit(store, "a", CLIP)
    for _ in range(20):
        submit(store, "b", CLIP)
    store.cancel(long)
    taken = [take(store).id for _ in range(5)]
    assert first in taken and last in taken


@pytest.mark.parametrize("priority", list(Priority))
def test_a_cancelled_first_job_holds_nothing_back(store: JobStore, priority: Priority) -> None:
    submit(store, "b", CLIP, priority=priority)
    long = submit(store, "a", 4 * 3600.0, priority=priority)
    mine = submit(store, "a", CLIP, priority=priority)
    for _ in range(20):
        submit(store, "b", CLIP, priority=priority)
    store.cancel(long)
    assert mine in [take(store).id for _ in range(3)]


def test_a_first_job_without_a_worker_for_its_model_holds_nothing_back(store: JobStore) -> None:
    long = submit(store, "a", 4 * 3600.0)
    mine = submit(store, "a", CLIP)
    for _ in range(20):
        submit(store, "b", CLIP)
    error = JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail="no worker")
    assert store.wait([long], error, 0) == [JobState.FAILED]
    assert mine in [take(store).id for _ in range(3)]


def fail(store: JobStore, record: JobRecord) -> None:
    assert store.fail(record.lease, JobError(code=ErrorCode.UNSUPPORTED_FORMAT, detail="no video"))


def end_by_cancelling(store: JobStore, record: JobRecord) -> None:
    assert store.cancel(record.id)


def give_up(store: JobStore, record: JobRecord) -> None:
    error = JobError(code=ErrorCode.STORAGE_UNAVAILABLE, detail="gone")
    assert store.defer(record.lease, error, Settings(max_attempts=1), is_bounded=True) is JobState.FAILED


def release_and_cancel(store: JobStore, record: JobRecord) -> None:
    assert store.release(record.lease)
    assert store.cancel(record.id)


@pytest.mark.parametrize("end", [fail, end_by_cancelling, give_up, release_and_cancel])
def test_a_long_job_that_ends_early_holds_nothing_back(
    store: JobStore, end: Callable[[JobStore, JobRecord], None]
) -> None:
    """A wrong video is cancelled or refused soon, and the right one follows it."""
    submit(store, "a", 4 * 3600.0)
    wrong = take(store)
    waiting_already = submit(store, "a", CLIP)
    for _ in range(20):
        submit(store, "b", CLIP)
    end(store, wrong)
    right = submit(store, "a", CLIP)
    assert {waiting_already, right} <= {take(store).id for _ in range(5)}


@pytest.mark.parametrize("end", [fail, end_by_cancelling])
def test_the_part_of_a_job_that_was_done_is_charged(
    store: JobStore, redis: Redis, end: Callable[[JobStore, JobRecord], None]
) -> None:
    submit(store, "a", LONG - 5)
    record = take(store)
    assert store.renew(record.lease, 30.0, "extracting", 0.5)
    end(store, record)
    turns = redis.hgetall(f"{store.prefix}turns")
    own = float(turns["interactive a"]) - float(turns["interactive"])
    assert own == pytest.approx(LONG / 2 / 60, abs=0.01)


def test_a_job_that_hangs_without_progress_is_charged_for_its_time(store: JobStore, redis: Redis) -> None:
    submit(store, "a", LONG - 5)
    record = take(store)
    redis.hincrbyfloat(f"{store.prefix}job:{record.id}", "claimed_at", -120.0)
    fail(store, record)
    turns = redis.hgetall(f"{store.prefix}turns")
    own = float(turns["interactive a"]) - float(turns["interactive"])
    assert own == pytest.approx(2.0, abs=0.1)


def test_work_that_nobody_else_wanted_is_not_held_against_a_key(store: JobStore) -> None:
    submit(store, "a", 4 * 3600.0)
    record = take(store)
    submit(store, "a", 4 * 3600.0)
    store.succeed(record.lease, "results/r.1.json", media_seconds=4 * 3600.0)
    store.succeed(take(store).lease, "results/r.1.json", media_seconds=4 * 3600.0)
    for _ in range(10):
        submit(store, "b", CLIP)
    submit(store, "a", CLIP)
    assert "a" in [take(store).key_id for _ in range(3)]


def test_what_a_key_has_had_counts_while_others_wait(store: JobStore) -> None:
    submit(store, "a", LONG)
    record = take(store)
    for _ in range(5):
        submit(store, "b", CLIP)
    store.succeed(record.lease, "results/r.1.json", media_seconds=LONG)
    submit(store, "a", CLIP)
    assert [take(store).key_id for _ in range(6)] == ["b"] * 5 + ["a"]


def test_batch_jobs_are_fair_by_cost_too_and_wait_for_interactive_ones(store: JobStore) -> None:
    for _ in range(3):
        submit(store, "long", LONG, priority=Priority.BATCH)
    for _ in range(15):
        submit(store, "clips", CLIP, priority=Priority.BATCH)
    submit(store, "long", 4 * 3600.0)
    assert take(store).options.priority is Priority.INTERACTIVE
    assert Counter(take(store).key_id for _ in range(16)) == {"long": 1, "clips": 15}


def test_small_errors_add_up_and_are_corrected_together(store: JobStore, redis: Redis) -> None:
    """Moving the jobs of a key costs time for each of them, so it waits until there is something to gain."""
    for _ in range(200):
        submit(store, "many", CLIP)
    submit(store, "other", CLIP)
    places = redis.zrange(f"{store.prefix}queued:interactive:many", -1, -1, withscores=True)
    moved = []
    for _ in range(25):
        record = take(store)
        store.succeed(record.lease, "results/r.1.json", media_seconds=CLIP + 12)
        now = redis.zrange(f"{store.prefix}queued:interactive:many", -1, -1, withscores=True)
        moved.append(now != places)
        places = now
    # Twelve seconds are a fifth of a turn, and two hundred jobs are moved for two turns.
    assert 1 <= moved.count(True) <= 3
    assert redis.zscore(f"{store.prefix}queue", places[0][0]) == places[0][1]


def test_an_end_that_another_worker_reports_changes_no_turn(store: JobStore, redis: Redis) -> None:
    submit(store, "a", CLIP)
    record = take(store)
    store.release(record.lease)
    turns = redis.hgetall(f"{store.prefix}turns")
    assert not store.succeed(record.lease, "results/r.1.json", media_seconds=LONG)
    assert redis.hgetall(f"{store.prefix}turns") == turns


def test_a_repeated_end_is_charged_once(store: JobStore, redis: Redis) -> None:
    submit(store, "a", CLIP)
    record = take(store)
    submit(store, "a", CLIP)
    for _ in range(2):
        assert store.succeed(record.lease, "results/r.1.json", media_seconds=LONG)
    turns = redis.hgetall(f"{store.prefix}turns")
    own = float(turns["interactive a"]) - float(turns["interactive"])
    assert own == pytest.approx(cost_of(LONG) / 60, abs=0.001)


def test_jobs_of_an_earlier_version_have_turns_of_a_minute(store: JobStore, redis: Redis) -> None:
    for owner in ("a", "b"):
        for _ in range(6):
            old = submit(store, owner, 55.0)
            redis.hdel(f"{store.prefix}job:{old}", "span", "cost")
    seconds: dict[str | None, float] = {"a": LONG, "b": CLIP}
    assert work(store, seconds, lambda: not waiting(store, "a"))["b"]


def test_the_next_job_lies_a_minute_behind_one_of_an_earlier_version(store: JobStore, redis: Redis) -> None:
    old = submit(store, "a", LONG)
    redis.hdel(f"{store.prefix}job:{old}", "span", "cost")
    first, second = (redis.zscore(f"{store.prefix}queue", job) for job in (old, submit(store, "a", LONG)))
    assert first is not None and second == pytest.approx(first + 1)


@pytest.mark.parametrize(("count", "moves"), [(5000, 60.0), (5001, 0.0)])
def test_of_thousands_of_waiting_jobs_all_move_or_none(
    store: JobStore, redis: Redis, count: int, moves: float
) -> None:
    submit(store, "many", CLIP)
    record = take(store)
    before = {f"{number:04}": 2 + number / 10 for number in range(count)}
    both = [f"{store.prefix}{name}" for name in ("queue", "queued:interactive:many")]
    for places in both:
        redis.zadd(places, before)
    media = 3600.0 + CLIP
    store.succeed(record.lease, "results/r.1.json", media_seconds=media)
    for places in both:
        now = dict(cast("list[tuple[str, float]]", redis.zrange(places, 0, -1, withscores=True)))
        assert now == pytest.approx({name: place + moves for name, place in before.items()})


def test_after_a_cancelled_job_a_key_has_no_more_than_its_share(store: JobStore) -> None:
    submit(store, "a", LONG)
    take(store)
    long = submit(store, "a", LONG)
    submit(store, "a", CLIP)
    for _ in range(15):
        submit(store, "b", CLIP)
    store.cancel(long)
    assert Counter(take(store).key_id for _ in range(15)) == {"b": 15}


def test_a_job_can_be_cancelled_when_no_turn_is_known(store: JobStore, redis: Redis) -> None:
    """As after an upgrade, while jobs of a version without turns wait."""
    first, second = submit(store, "a", CLIP), submit(store, "a", CLIP)
    redis.delete(f"{store.prefix}turns")
    assert store.cancel(first)
    assert take(store).id == second


def test_turns_move_no_job_back_into_the_queue(store: JobStore, redis: Redis) -> None:
    """A worker of an earlier version does not remove the jobs that it takes from their owner's queue."""
    submit(store, "a", CLIP)
    record = take(store)
    long, taken, last = submit(store, "a", LONG), submit(store, "a", CLIP), submit(store, "a", CLIP)
    redis.zrem(f"{store.prefix}queue", taken)
    store.cancel(long)
    assert store.queued() == [last]
    store.succeed(record.lease, "results/r.1.json", media_seconds=LONG)
    assert store.queued() == [last]


def test_the_expected_cost() -> None:
    assert expected_cost(5_000_000) == cost_of(10.0)
    assert expected_cost(0) == cost_of(60.0)
    assert expected_cost(2**60) == cost_of(4 * 3600.0)
    assert expected_cost(500_000_000, TimeRange(start=20.0, end=50.0)) == cost_of(30.0)
    assert expected_cost(5_000_000, TimeRange(start=20.0, end=50.0)) == cost_of(10.0)
    assert expected_cost(5_000_000, TimeRange(start=5.0)) == cost_of(10.0)
