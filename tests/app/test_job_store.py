"""Job records in a real Redis: every change of state."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from sentiloc.app.access.idempotency_keys import job_request_key
from sentiloc.app.jobs.idempotency import IdempotencyKey
from sentiloc.app.jobs.record import (
    RUNNING,
    TERMINAL,
    TRANSITIONS,
    JobError,
    JobRecord,
    JobState,
    Lease,
    NewJob,
)
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode
from tests.app.conftest import submit
from tests.support.clock import set_clock
from tests.support.jobs import claim as take_job

LEASE = 30.0
ERROR = JobError(code=ErrorCode.CORRUPT_MEDIA, detail="It is broken.")


def claim(store: JobStore, job_id: str, owner: str = "one", lease: float = LEASE) -> JobRecord:
    record = take_job(store, job_id, owner, lease)
    assert record is not None
    return record


def state_of(store: JobStore, job_id: str) -> JobState:
    record = store.get(job_id)
    assert record is not None
    return record.state


def finals(store: JobStore, job_id: str) -> list[str]:
    return [fields["state"] for _, fields in store.events(job_id) if fields["kind"] == "final"]


def test_states_are_closed_and_terminal_ones_never_move() -> None:
    assert {*RUNNING, *TERMINAL, JobState.QUEUED} == set(JobState) == set(TRANSITIONS)
    assert not any(TRANSITIONS[state] for state in TERMINAL)
    assert all(JobState.QUEUED in TRANSITIONS[state] for state in RUNNING)


def test_a_submitted_job_is_queued_in_order(store: JobStore) -> None:
    jobs = [submit(store) for _ in range(3)]
    assert [store.queue_position(job.id) for job in jobs] == [1, 2, 3]
    assert jobs[0].state is JobState.QUEUED
    assert len({job.id for job in jobs}) == 3
    assert min(len(job.id) for job in jobs) >= 22
    assert store.get("unknown") is None


def test_of_many_claims_one_wins(store: JobStore) -> None:
    job = submit(store)
    won: list[JobRecord] = []
    start = threading.Barrier(8)

    def race(owner: str) -> None:
        start.wait()
        record = take_job(store, job.id, owner, LEASE)
        if record is not None:
            won.append(record)

    threads = [threading.Thread(target=race, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert won[0].attempt == 1
    assert store.queue_position(job.id) is None


def test_a_job_starts_with_its_first_attempt(store: JobStore) -> None:
    first = claim(store, submit(store).id)
    assert first.started_at is not None
    assert store.release(first.lease)
    second = claim(store, first.id)
    assert (second.attempt, second.started_at) == (2, first.started_at)


def test_progress_moves_forward_through_the_stages(store: JobStore) -> None:
    lease = claim(store, submit(store).id).lease
    assert store.renew(lease, LEASE, "extracting", 0.4)
    assert state_of(store, lease.job_id) is JobState.EXTRACTING
    assert store.renew(lease, LEASE, "decoding", 0.5)
    record = store.get(lease.job_id)
    assert record is not None
    assert (record.state, record.progress) == (JobState.EXTRACTING, 0.5)


def test_renewal_extends_the_lease(store: JobStore) -> None:
    lease = claim(store, submit(store).id, lease=60.0).lease
    for _ in range(4):
        set_clock(store.redis, store.prefix, 30)
        assert store.renew(lease, 60.0, "decoding", 0.0)
    assert store.expired() == []
    set_clock(store.redis, store.prefix, 61)
    assert store.expired() == [lease.job_id]


def test_a_late_worker_cannot_overwrite(store: JobStore) -> None:
    job = submit(store)
    late = claim(store, job.id, "late", lease=60.0).lease
    assert store.expire(job.id, 3) is None
    set_clock(store.redis, store.prefix, 61)
    assert store.expire(job.id, 3) is JobState.QUEUED
    now = claim(store, job.id, "now").lease
    assert now.attempt == 2
    assert not store.renew(late, LEASE, "localizing", 0.9)
    assert not store.succeed(late, "results/latelate.json")
    assert not store.fail(late, ERROR)
    assert not store.release(late)
    assert store.succeed(now, "results/nownownow.json")
    record = store.get(job.id)
    assert record is not None
    assert (record.result_key, record.progress) == ("results/nownownow.json", 1.0)
    assert finals(store, job.id) == ["succeeded"]


@pytest.mark.parametrize("sign", ["renew", "succeed", "fail", "defer", "release"])
def test_a_worker_that_was_only_cut_off_has_not_crashed(store: JobStore, sign: str) -> None:
    """Its lease has expired and another worker has the job: whatever it wants to write tells that it lives."""
    signs: dict[str, Callable[[Lease], object]] = {
        "renew": lambda lease: store.renew(lease, LEASE, "localizing", 0.9),
        "succeed": lambda lease: store.succeed(lease, "results/latelate.json"),
        "fail": lambda lease: store.fail(lease, ERROR),
        "defer": lambda lease: store.defer(lease, ERROR, Settings()),
        "release": store.release,
    }
    job = submit(store)
    late = claim(store, job.id, "late", lease=60.0).lease
    set_clock(store.redis, store.prefix, 61)
    assert store.expire(job.id, 3) is JobState.QUEUED
    now = claim(store, job.id, "now")
    assert now.crashes == 1
    for _ in range(2):
        assert not signs[sign](late)
    record = store.get(job.id)
    assert record is not None
    assert (record.crashes, record.attempt, store.holds(now.lease)) == (0, 2, True)


def test_a_failed_job_keeps_its_reason(store: JobStore) -> None:
    lease = claim(store, submit(store).id).lease
    assert store.fail(lease, ERROR)
    record = store.get(lease.job_id)
    assert record is not None
    assert (record.state, record.error) == (JobState.FAILED, ERROR)
    assert record.finished_at is not None


def test_many_are_cancelled_in_parts(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.app.jobs.store._CHUNK", 2)
    ids = [submit(store).id for _ in range(5)]
    store.cancel(ids[3])
    assert store.cancel_many(ids) == [True, True, True, False, True]
    assert {state_of(store, job_id) for job_id in ids} == {JobState.CANCELLED}
    assert store.cancel_many([]) == []


@pytest.mark.parametrize("is_running", [False, True])
def test_cancelling_ends_the_job_at_once(store: JobStore, is_running: bool) -> None:
    job = submit(store)
    lease = claim(store, job.id).lease if is_running else None
    assert store.cancel(job.id)
    assert not store.cancel(job.id)
    assert take_job(store, job.id, "other", LEASE) is None
    if lease is not None:
        assert not store.renew(lease, LEASE, "decoding", 0.1)
        assert not store.succeed(lease, "results/abcdefgh.json")
    assert state_of(store, job.id) is JobState.CANCELLED
    assert finals(store, job.id) == ["cancelled"]
    assert (store.leased(), store.queued()) == ([], [])


def test_a_released_job_returns_to_its_place_without_blame(store: JobStore) -> None:
    first, second = submit(store), submit(store)
    assert store.release(claim(store, first.id).lease)
    record = store.get(first.id)
    assert record is not None
    assert (record.state, record.crashes, record.owner) == (JobState.QUEUED, 0, None)
    assert store.queued() == [first.id, second.id]


def test_a_job_that_loses_three_workers_is_poison(store: JobStore) -> None:
    job = submit(store)
    for expected in (JobState.QUEUED, JobState.QUEUED, JobState.FAILED):
        claim(store, job.id, lease=60.0)
        set_clock(store.redis, store.prefix, 61)
        assert store.expire(job.id, 3) is expected
    record = store.get(job.id)
    assert record is not None
    assert record.error is not None
    assert record.error.code is ErrorCode.POISON
    assert finals(store, job.id) == ["failed"]


def test_a_lease_that_holds_is_not_taken_unless_its_owner_is_dead(store: JobStore) -> None:
    job = submit(store)
    claim(store, job.id, "one")
    assert store.expire(job.id, 3) is None
    assert store.expire(job.id, 3, dead_owner="two") is None
    assert store.expire(job.id, 3, dead_owner="one") is JobState.QUEUED


def test_only_finished_jobs_can_be_deleted(store: JobStore) -> None:
    job = submit(store)
    assert store.delete_many([job.id])[0] is None
    store.cancel(job.id)
    deleted = store.delete_many([job.id])[0]
    assert deleted is not None
    assert deleted.source_key == job.source_key
    assert store.get(job.id) is None
    assert store.events(job.id) == []


def grow_older(store: JobStore, job_id: str, seconds: float) -> None:
    """Act as if the job's last message had been sent `seconds` earlier."""
    place = f"{store.prefix}job:{job_id}"
    store.redis.hset(place, "sent_at", str(float(str(store.redis.hget(place, "sent_at"))) - seconds))


def test_announcements_are_rarer_each_time(store: JobStore) -> None:
    job = submit(store)
    assert not store.should_announce(job.id, 100, broker_is_empty=False)
    grow_older(store, job.id, 110)
    assert not store.should_announce(job.id, 100, broker_is_empty=False)
    assert store.should_announce(job.id, 100, broker_is_empty=True)
    grow_older(store, job.id, 390)
    assert not store.should_announce(job.id, 100, broker_is_empty=False)
    grow_older(store, job.id, 20)
    assert store.should_announce(job.id, 100, broker_is_empty=False)
    claim(store, job.id)
    assert not store.should_announce(job.id, 0.0, broker_is_empty=True)


def test_deletion_removes_every_redis_key(store: JobStore, redis: Redis) -> None:
    job = submit(store)
    store.fail(claim(store, job.id).lease, ERROR)
    store.delete_many([job.id])
    counters = {f"{store.prefix}{name}" for name in ("sequence", "figures", "turns")}
    # Answers are kept for a minute; a day's usage is kept for the account.
    kept = (":answer:", ":daily:", ":used:")
    left = {key for key in redis.scan_iter(f"{store.prefix}*") if not any(part in key for part in kept)}
    assert left == counters


OPERATIONS = st.sampled_from(["claim", "renew", "succeed", "fail", "cancel", "release", "expire", "late"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATIONS, max_size=14))
def test_any_history_is_legal_and_ends_at_most_once(store: JobStore, operations: list[str]) -> None:
    job = submit(store)
    leases = [claim(store, job.id, "0", lease=0.0).lease]
    seen = [JobState.DECODING]
    for number, operation in enumerate(operations, 1):
        apply(store, operation, leases, str(number))
        seen.append(state_of(store, job.id))
    moves = itertools.pairwise(seen)
    assert all(old == new or new in TRANSITIONS[old] for old, new in moves)
    ended = [state for state in seen if state.is_terminal]
    assert finals(store, job.id) == ([ended[0]] if ended else [])
    if not ended:
        assert (job.id in store.queued()) != (job.id in store.leased())


def apply(store: JobStore, operation: str, leases: list, number: str) -> None:  # type: ignore[type-arg]
    lease = leases[-1]
    if operation == "claim":
        record = take_job(store, lease.job_id, number, 0.0)
        leases.extend([record.lease] if record else [])
    elif operation == "renew":
        store.renew(lease, 0.0, "localizing", 0.5)
    elif operation == "succeed":
        store.succeed(lease, "results/abcdefgh.json")
    elif operation == "fail":
        store.fail(lease, ERROR)
    elif operation == "cancel":
        store.cancel(lease.job_id)
    elif operation == "release":
        store.release(lease)
    elif operation == "expire":
        store.expire(lease.job_id, 3)
    else:
        store.succeed(leases[0], "results/firstone.json")


def test_a_job_whose_model_is_served_again_is_announced_as_a_new_one_is(store: JobStore) -> None:
    job = submit(store)
    store.redis.hset(f"{store.prefix}job:{job.id}", "sent", "5")
    store.wait([job.id], ERROR, 60.0)
    store.served([job.id])
    assert store.redis.hmget(f"{store.prefix}job:{job.id}", "sent", "sent_at") == ["0", "0"]


def test_a_deleted_job_leaves_its_owners_list(store: JobStore) -> None:
    new = NewJob(source_key="uploads/a", source_name="a", source_bytes=7, model="m", key_id="0123456789ab")
    job = store.submit(new)
    mine = f"{store.prefix}jobs:{new.key_id}"
    assert store.redis.zrange(mine, 0, -1) == [job.id]
    store.cancel(job.id)
    assert store.delete_many([job.id])[0] is not None
    assert store.redis.zcard(mine) == 0


def test_a_deleted_job_forgets_no_later_request_of_its_idempotency_key(store: JobStore) -> None:
    key = IdempotencyKey("again", "digest", 60)
    first, second = (
        NewJob(source_key=f"uploads/{n}", source_name="a", source_bytes=7, model="m", idempotency=key)
        for n in range(2)
    )
    early = store.submit(first)
    # The key has expired and is used again.
    store.redis.delete(job_request_key(store.prefix, None, key.text))
    late = store.submit(second)
    store.cancel(early.id)
    store.delete_many([early.id])
    seen = store.seen(key, None)
    assert late.id != early.id
    assert seen is not None and seen.id == late.id
