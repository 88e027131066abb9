"""One call deletes everything of one owner, with a receipt, and nothing of others."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from typer.testing import CliRunner

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.daily import anonymize_days
from sentiloc.app.access.keys import KeyStore, NewKey
from sentiloc.app.access.sessions import SessionStore
from sentiloc.app.access.usage import this_month
from sentiloc.app.housekeeping import erasure
from sentiloc.app.housekeeping.erasure import Receipt, forgotten_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.record import NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.signing import new_webhook_secret
from sentiloc.cli.server.keys import keys_app
from sentiloc.worker.extraction.array_cache import ArrayCache, cached_for
from sentiloc.worker.jobs.sweeper import Forgetter
from tests.app.asking import VIDEO, assert_problem, finish, storage_deletes_nothing
from tests.app.conftest import submit
from tests.support.commands import counted
from tests.support.jobs import claim

NAME = "a-name-that-must-not-stay.mp4"
WEBHOOK = "https://edit.example/hook"


@pytest.fixture
def audited(settings: Settings, tmp_path: Path) -> Settings:
    # No chore changes what the tests compare, however slow the machine is.
    changes = {"api_keys": "on", "audit_log": tmp_path / "audit.jsonl", "reaper_interval_seconds": 3600.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def client(audited: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(audited)) as client:
        yield client


@pytest.fixture
def keys(redis: Redis, settings: Settings) -> dict[str, NewKey]:
    store = KeyStore(redis, settings.redis_prefix)
    scopes = {"mine": (Scope.READ, Scope.WRITE), "other": (Scope.READ, Scope.WRITE), "admin": (Scope.ADMIN,)}
    return {name: store.create(name, scope, rate_per_minute=0) for name, scope in scopes.items()}


def name_of(key: NewKey) -> str:
    return f"{key.key.id}-{NAME}"


def ask(client: TestClient, key: NewKey, method: str, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {key.text}", **more.pop("headers", {})}
    return client.request(method, path, headers=headers, **more)


def fill(client: TestClient, key: NewKey, store: JobStore, settings: Settings) -> list[str]:
    """A finished job with feedback, a running, a queued and a cancelled one, uploads, a batch, features, usage."""
    webhook = {"url": WEBHOOK, "secret": new_webhook_secret()}
    jobs: list[str] = []
    assert ask(client, key, "POST", "/webhooks", json={"url": f"{WEBHOOK}/all"}).status_code == 201
    for _ in range(4):
        options = json.dumps({"webhook": webhook, "metadata": {"who": name_of(key)}})
        files = {"video": (name_of(key), VIDEO, "video/mp4")}
        headers = {"Idempotency-Key": f"{len(jobs)}"}
        made = ask(client, key, "POST", "/localize", files=files, data={"options": options}, headers=headers)
        assert made.status_code == 202, made.text
        jobs.append(made.json()["id"])
    finish(store, jobs[0], settings, json.dumps(EXAMPLE_RESULT).encode())
    marks = {"segments": [{"start": 0.5, "end": 1.0, "label": "positive"}]}
    assert ask(client, key, "POST", f"/jobs/{jobs[0]}/feedback", json=marks).status_code == 201
    assert claim(store, jobs[1], "worker", 3600.0)
    assert store.cancel(jobs[2])
    name = f"filename {base64.b64encode(name_of(key).encode()).decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": name}
    assert ask(client, key, "POST", "/uploads", headers=headers).status_code == 201
    whole = {**headers, "Content-Type": "application/offset+octet-stream"}
    place = ask(client, key, "POST", "/uploads", headers=whole, content=bytes(100)).headers["location"]
    used = ask(client, key, "POST", "/localize", json={"upload": place.rpartition("/")[2]})
    jobs.append(used.json()["id"])
    batch = {"items": [{"url": "https://93.184.215.14/a.mp4"}], "name": name_of(key)}
    made = ask(client, key, "POST", "/batches", json=batch, headers={"Idempotency-Key": "b"})
    assert made.status_code == 202, made.text
    jobs.append(made.json()["id"])
    earlier = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    store.redis.incrby(f"{store.prefix}usage:{key.key.id}:{earlier:%Y-%m}", 60_000)
    with cached_for(key.key.id):
        ArrayCache(settings.features_dir, 10**6, 1e6).store("a" * 64, {"row": np.zeros(3)})
    return jobs


def traces(redis: Redis, settings: Settings, key: NewKey, jobs: list[str]) -> list[str]:
    """Redis keys and files with data of an owner, except for the API key itself and its usage."""
    found = []
    for name in redis.scan_iter(f"{settings.redis_prefix}*"):
        # A message still contains the id of a deleted job until a worker takes it.
        kept = (":localize", ":answer:", ":key:", f":usage:{key.key.id}:{this_month()}")
        if any(part in name for part in kept) or name.endswith(":keys"):
            continue
        text = name + str(redis.dump(name) if redis.type(name) == "stream" else _content(redis, name))
        if key.key.id in text or name_of(key) in text or any(job in text for job in jobs):
            found.append(name)
    files = [path for path in settings.data_dir.rglob("*") if path.is_file() and path.name != "audit.jsonl"]
    return found + [
        str(path) for path in files if any(job in path.name for job in jobs) or key.key.id in str(path)
    ]


def sign_in(redis: Redis, settings: Settings, key: NewKey) -> str:
    """The name in Redis of the session of a person who works as this key."""
    before = set(redis.scan_iter(f"{settings.redis_prefix}session:*"))

    async def start() -> None:
        shared = SharedConnection(settings)
        await SessionStore(settings, shared).start(key.key.id, "anna", frozenset({Scope.READ}), "")
        await shared.close()

    asyncio.run(start())
    (name,) = {*redis.scan_iter(f"{settings.redis_prefix}session:*")} - before
    return str(name)


def usage(client: TestClient, admin: NewKey) -> dict[str, Any]:
    """Today's counts by key."""
    days = ask(client, admin, "GET", "/usage").json()["days"]
    return {day["key_id"]: {**day, "key_id": None} for day in days}


def _content(redis: Redis, name: str) -> object:
    kind = str(redis.type(name))
    if kind == "hash":
        return redis.hgetall(name)
    if kind == "zset":
        return redis.zrange(name, 0, -1)
    if kind == "list":
        return redis.lrange(name, 0, -1)
    return redis.smembers(name) if kind == "set" else redis.get(name)


def test_all_data_of_an_owner_and_none_of_others_is_deleted(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis, audited: Settings
) -> None:
    sessions = [sign_in(redis, audited, keys[name]) for name in ("mine", "mine", "other")]
    others_session = sessions[-1]
    mine, other = (fill(client, keys[name], store, audited) for name in ("mine", "other"))
    assert traces(redis, audited, keys["mine"], mine)
    # What a job took more than was expected, if it is little.
    redis.hset(f"{audited.redis_prefix}turns", f"owed batch {keys['mine'].key.id}", "0.05")
    before = set(traces(redis, audited, keys["other"], other))
    used = usage(client, keys["admin"])
    answer = ask(client, keys["mine"], "DELETE", "/owners/me/data")
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert receipt["complete"] and receipt["owner"] == keys["mine"].key.id
    counts = {name: count for name, count in receipt.items() if isinstance(count, int) and count is not True}
    assert counts == {
        **{
            "jobs": 6,
            "results": 1,
            "thumbnails": 0,
            "feedback": 1,
            "uploads": 1,
            "batches": 1,
            "webhooks": 1,
            "sessions": 2,
        },
        **{"feature_entries": 1, "idempotency_keys": 5, "usage_days": 1, "usage_months": 1},
    }
    left = traces(redis, audited, keys["mine"], mine)
    # Workers that are off learn from it which features they must delete.
    assert [name for name in left if not name.endswith(":forgotten")] == []
    # An event of the other's jobs may be sent, and noted, at any moment.
    changed = set(traces(redis, audited, keys["other"], other)) ^ before
    assert [name for name in changed if ":webhook" not in name and ":hooklog:" not in name] == []
    assert redis.exists(others_session)
    known = {**used, "erased": used[keys["mine"].key.id]}
    del known[keys["mine"].key.id]
    # The cancelled jobs of the erasure count, too.
    known["erased"] = {**known["erased"], "cancelled": usage(client, keys["admin"])["erased"]["cancelled"]}
    assert usage(client, keys["admin"]) == known
    assert ask(client, keys["mine"], "GET", f"/jobs/{mine[0]}").status_code == 404
    assert ask(client, keys["other"], "GET", f"/jobs/{other[0]}/result").status_code == 200
    again = ask(client, keys["mine"], "DELETE", "/owners/me/data").json()
    assert again["complete"] and again["jobs"] == 0
    # The key still works.
    assert fill(client, keys["mine"], store, audited)


def test_an_erasure_is_complete_only_when_no_file_is_left(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis, audited: Settings
) -> None:
    mine = keys["mine"]
    jobs = fill(client, mine, store, audited)
    name = f"filename {base64.b64encode(name_of(mine).encode()).decode()}"
    whole = {"Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": name}
    whole["Content-Type"] = "application/offset+octet-stream"
    place = ask(client, mine, "POST", "/uploads", headers=whole, content=bytes(100)).headers["location"]
    with storage_deletes_nothing():
        for _ in range(2):
            assert_problem(ask(client, mine, "DELETE", "/owners/me/data"), 503, "storage_unavailable")
    receipt = ask(client, mine, "DELETE", "/owners/me/data").json()
    assert (receipt["complete"], receipt["jobs"], receipt["uploads"]) == (True, 6, 2)
    left = traces(redis, audited, mine, [*jobs, place.rpartition("/")[2]])
    assert [name for name in left if not name.endswith(":forgotten")] == []


def test_uploads_whose_end_was_interrupted_are_erased(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis, audited: Settings
) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100"}
    whole = {**headers, "Content-Type": "application/offset+octet-stream"}
    place = ask(client, keys["mine"], "POST", "/uploads", headers=whole, content=bytes(100)).headers[
        "location"
    ]
    with storage_deletes_nothing():
        for method, path in (("DELETE", place), ("DELETE", "/owners/me/data")):
            refused = ask(client, keys["mine"], method, path, headers=headers)
            assert_problem(refused, 503, "storage_unavailable")
    receipt = ask(client, keys["mine"], "DELETE", "/owners/me/data").json()
    assert (receipt["complete"], receipt["uploads"]) == (True, 1)
    assert traces(redis, audited, keys["mine"], [place.rpartition("/")[2]]) == [f"{store.prefix}forgotten"]


def test_a_file_that_cannot_be_deleted_stops_no_other_part_of_an_erasure(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis, audited: Settings
) -> None:
    mine = keys["mine"]
    jobs = fill(client, mine, store, audited)
    with storage_deletes_nothing(of=jobs[0]):
        for _ in range(2):
            assert_problem(ask(client, mine, "DELETE", "/owners/me/data"), 503, "storage_unavailable")
    assert [store.get(job) is None for job in jobs] == [False, *[True] * 5]
    left = traces(redis, audited, mine, jobs[1:])
    assert not [name for name in left if ":upload" in name or ":batch" in name]
    receipt = ask(client, mine, "DELETE", "/owners/me/data").json()
    assert (receipt["complete"], receipt["jobs"]) == (True, 1)


def test_an_upload_that_has_ended_keeps_no_name(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis
) -> None:
    mine = keys["mine"]
    about = {"filename": name_of(mine), "localize": json.dumps({"metadata": {"who": name_of(mine)}})}
    metadata = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in about.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": metadata}
    whole = {**headers, "Content-Type": "application/offset+octet-stream"}
    open_one = ask(client, mine, "POST", "/uploads", headers=headers).headers["location"]
    used = ask(client, mine, "POST", "/uploads", headers=whole, content=bytes(100)).headers["location"]
    ids = [place.rpartition("/")[2] for place in (open_one, used)]
    assert ask(client, mine, "DELETE", open_one, headers=headers).status_code == 204
    assert ask(client, mine, "DELETE", f"/jobs/{ids[1]}").status_code == 200
    assert ask(client, mine, "DELETE", f"/jobs/{ids[1]}").status_code == 204
    for upload_id in ids:
        fields = redis.hgetall(f"{store.prefix}upload:{upload_id}")
        assert fields["key_id"] == mine.key.id
        assert (fields["name"], fields["metadata"], fields.get("options")) == ("", "", None)
    assert ask(client, mine, "HEAD", open_one, headers=headers).status_code == 410


def test_a_worker_s_late_result_is_discarded(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, audited: Settings
) -> None:
    fill(client, keys["mine"], store, audited)
    job = ask(client, keys["mine"], "POST", "/localize", files={"video": VIDEO}).json()["id"]
    record = claim(store, job, "worker", 30.0)
    assert record is not None
    ask(client, keys["mine"], "DELETE", "/owners/me/data")
    assert not store.holds(record.lease)
    assert not store.succeed(record.lease, f"results/{job}.1.json")
    assert store.get(job) is None


def test_only_an_admin_may_erase_another_owner(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, audited: Settings
) -> None:
    jobs = fill(client, keys["mine"], store, audited)
    path = f"/owners/{keys['mine'].key.id}/data"
    assert_problem(ask(client, keys["other"], "DELETE", path), 403, "forbidden")
    assert store.get(jobs[0]) is not None
    assert ask(client, keys["admin"], "DELETE", path).json()["jobs"] == 6
    assert store.get(jobs[0]) is None


def test_a_server_without_keys_erases_data_without_an_owner(settings: Settings, store: JobStore) -> None:
    with TestClient(create_app(settings)) as client:
        client.post("/localize", files={"video": VIDEO})
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "100"}
        client.post("/uploads", headers=headers)
        assert client.post("/webhooks", json={"url": "https://93.184.215.14/hook"}).status_code == 201
        receipt = client.delete("/owners/me/data").json()
        assert (receipt["owner"], receipt["complete"]) == (None, True)
        assert (receipt["jobs"], receipt["uploads"], receipt["webhooks"]) == (1, 1, 1)
        assert client.get("/jobs").json()["jobs"] == []
        assert client.get("/webhooks").json()["webhooks"] == []
        assert list(store.redis.scan_iter(f"{store.prefix}hook*")) == []


@pytest.mark.parametrize("owner", ["mine", None])
def test_an_erasure_that_takes_too_long_goes_on_with_the_next_call(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch, owner: str | None
) -> None:
    """Each call does some of each kind, and none is complete before all is gone. Until then, who calls is signed in."""
    monkeypatch.setattr(erasure, "_PAGE", 2)
    redis, session, turns = store.redis, f"{store.prefix}session:a", f"{store.prefix}turns"
    redis.set(session, "a")
    redis.zadd(f"{store.prefix}sessions-of:mine", {session: 1.0})
    spans: dict[Any, Any] = {f"{kind}{Priority.BATCH} {owner or ''}": "1" for kind in ("", "owed ")}
    others: dict[Any, Any] = {f"{Priority.BATCH} other": "1"}
    made: dict[str, Any] = {
        "source_key": "uploads/abcdefgh",
        "source_name": "a.mp4",
        "source_bytes": 7,
        "model": "m",
    }
    jobs = [store.submit(NewJob(**made, key_id=owner)).id for _ in range(5)]
    eraser, counts = Services.from_settings(settings).eraser, list[int]()
    for _ in range(20):
        receipt = Receipt(owner)
        eraser.erase(receipt, seconds=-1.0)
        counts.append(receipt.jobs)
        left = store.get_many(jobs)
        assert receipt.complete == (left == [None] * 5)
        assert (receipt.event == "erased an owner's data") == receipt.complete
        assert receipt.sessions == (receipt.complete and owner is not None)
        assert redis.exists(session) == 1 - receipt.sessions
        if receipt.complete:
            break
        redis.hset(turns, mapping={**spans, **others})
    assert sum(counts) == 5 and max(counts) < 3
    assert not spans.keys() & redis.hgetall(turns).keys() and redis.hexists(turns, *others)


@pytest.mark.parametrize("owner", ["mine", None])
def test_entries_of_records_that_are_gone_are_erased(
    settings: Settings, store: JobStore, owner: str | None
) -> None:
    """As after a record that Redis lost or that has expired."""
    names = [f"{store.prefix}{kind}{f':{owner}' if owner else ''}" for kind in ("jobs", "uploads", "batches")]
    for name in names:
        store.redis.zadd(name, {"gone": 1.0})
    receipt = Receipt(owner)
    Services.from_settings(settings).eraser.erase(receipt, seconds=5.0)
    assert (receipt.complete, receipt.jobs) == (True, 0)
    assert store.redis.exists(*names) == 0


def test_erasing_what_has_no_owner_reads_only_the_owners_of_others(
    settings: Settings, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_PAGE", 4)
    mine = [submit(store).id for _ in range(30)]
    new = NewJob(
        source_key="uploads/abcdefgh", source_name="a.mp4", source_bytes=7, model="m", key_id="other"
    )
    others = [store.submit(replace(new, id=f"{number:022}")).id for number in range(30)]
    services = Services.from_settings(settings)
    receipt = Receipt(None)
    services.eraser.erase(receipt)
    assert (receipt.complete, receipt.jobs) == (True, 30)
    assert store.get_many(mine) == [None] * 30
    assert all(store.get_many(others))
    # Of the others, whose walk is made twice, only the owner is read.
    with counted(redis, "hgetall") as asked:
        services.eraser.erase(Receipt(None))
    days = 403
    assert asked[0] <= days


@pytest.mark.parametrize("is_here", [True, False], ids=["api", "worker"])
def test_features_without_an_owner_are_deleted_with_those_of_any_owner(
    client: TestClient,
    keys: dict[str, NewKey],
    store: JobStore,
    audited: Settings,
    tmp_path: Path,
    is_here: bool,
) -> None:
    """Keys may share them, and a server without keys has no others."""
    folder = audited.features_dir if is_here else tmp_path / "elsewhere"
    cache = ArrayCache(folder, 10**6, 1e6)
    worker = Forgetter(store, folder)
    with TestClient(create_app(audited.model_copy(update={"api_keys": "off"}))) as open_client:
        erasures: tuple[Callable[[], Any], ...] = (
            lambda: open_client.delete("/owners/me/data").json(),
            lambda: ask(client, keys["mine"], "DELETE", "/owners/me/data").json(),
        )
        for erase in erasures:
            cache.store("a" * 64, {"row": np.zeros(3)})
            worker.delete_erased()
            assert len(list(folder.glob("*"))) == 1
            assert erase()["feature_entries"] == (1 if is_here else 0)
            worker.delete_erased()
            assert list(folder.glob("*")) == []
            # A minute later, the worker no longer waits for the end of jobs that were running.
            for owner in cast("list[str]", store.redis.zrange(forgotten_key(store.prefix), 0, -1)):
                store.redis.zincrby(forgotten_key(store.prefix), -60, owner)
            worker.delete_erased()


def test_an_owner_that_is_no_key_is_not_found(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, redis: Redis, audited: Settings
) -> None:
    fill(client, keys["mine"], store, audited)
    KeyStore(redis, store.prefix).revoke(keys["mine"].key.id)
    assert ask(client, keys["admin"], "DELETE", f"/owners/{keys['mine'].key.id}/data").json()["jobs"] == 6
    totals = usage(client, keys["admin"])["erased"]
    for unknown in ("erased", "0123456789ab"):
        answer = ask(client, keys["admin"], "DELETE", f"/owners/{unknown}/data")
        assert_problem(answer, 404, "key_not_found")
    assert usage(client, keys["admin"])["erased"] == totals
    with pytest.raises(ValueError, match="no key"):
        anonymize_days(redis, store.prefix, "erased")


def test_the_command_prints_the_receipt(
    client: TestClient,
    keys: dict[str, NewKey],
    store: JobStore,
    audited: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(client, keys["mine"], store, audited)
    given = {
        "REDIS_URL": audited.redis_url,
        "REDIS_PREFIX": audited.redis_prefix,
        "AUDIT_LOG": audited.audit_log,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SENTILOC_{name}", str(value))
    get_settings.cache_clear()
    arguments = ["erase", keys["mine"].key.id, "--data-dir", str(audited.data_dir)]
    try:
        assert CliRunner().invoke(keys_app, arguments, input="n\n").exit_code != 0
        with storage_deletes_nothing():
            assert CliRunner().invoke(keys_app, [*arguments, "--yes"]).exit_code != 0
        done = CliRunner().invoke(keys_app, [*arguments, "--yes"])
    finally:
        get_settings.cache_clear()
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["jobs"] == 6
    text = (audited.data_dir / "audit.jsonl").read_text(encoding="utf-8")
    lines = [line for line in map(json.loads, text.splitlines()) if line["who"].startswith("operator:")]
    # A failed try is logged, too: it may have deleted a part.
    assert [(line["jobs"], line["complete"]) for line in lines] == [(0, False), (6, True)]


def test_other_workers_delete_features_at_their_next_check(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    cache, owner = ArrayCache(folder, 10**6, 1e6), keys["mine"].key.id

    def store_one(who: str) -> None:
        with cached_for(who):
            cache.store("a" * 64, {"row": np.zeros(3)})

    running = Forgetter(store, folder)
    store_one(owner)
    store_one(keys["other"].key.id)
    assert running.delete_erased() == 0
    assert ask(client, keys["mine"], "DELETE", "/owners/me/data").status_code == 200
    assert Forgetter(store, folder).delete_erased() <= 1
    # Twice: a job that was running may store features after the first deletion, until it notices its end.
    for _ in range(2):
        store_one(owner)
        assert running.delete_erased() == 1
        assert running.delete_erased() == 0
    assert len(list(folder.rglob("*.arrays"))) == 1
    # Features that the owner's later jobs store stay.
    store.redis.zincrby(forgotten_key(store.prefix), -60, owner)
    assert running.delete_erased() == 0
    store_one(owner)
    assert running.delete_erased() == 0
    assert len(list(folder.rglob("*.arrays"))) == 2


def test_the_audit_log_has_actors_and_actions_but_no_content(
    client: TestClient, keys: dict[str, NewKey], store: JobStore, audited: Settings
) -> None:
    jobs = fill(client, keys["mine"], store, audited)
    ask(client, keys["mine"], "GET", f"/jobs/{jobs[0]}/result")
    ask(client, keys["mine"], "GET", f"/jobs/{jobs[0]}")
    ask(client, keys["other"], "DELETE", f"/jobs/{jobs[0]}")
    client.get(f"/jobs/{jobs[0]}/result", headers={"Authorization": "Bearer wrong"})
    ask(client, keys["mine"], "DELETE", "/owners/me/data")
    text = (audited.data_dir / "audit.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"at", "who", "what"} <= set(line) for line in lines)
    mine = [line for line in lines if line["who"] == f"key:{keys['mine'].key.id}"]
    read = next(line for line in mine if line["what"].startswith("GET"))
    assert (read["job_id"], read["status"], read["address"]) == (jobs[0], 200, "testclient")
    assert not any(
        line["what"].endswith("/jobs/{job_id}") and line["what"].startswith("GET") for line in lines
    )
    foreign = [line for line in lines if line["who"] == f"key:{keys['other'].key.id}"]
    assert [(line["what"].split()[0], line["status"]) for line in foreign] == [("DELETE", 404)]
    assert {line["who"] for line in lines} == {mine[0]["who"], foreign[0]["who"]}
    assert any(line["what"] == "erased an owner's data" and line["jobs"] == 6 for line in mine)
    for content in (NAME, "edit.example", "positive", keys["mine"].text):
        assert content not in text


def test_a_counter_does_not_live_longer_because_its_owner_is_erased(redis: Redis, settings: Settings) -> None:
    prefix = settings.redis_prefix
    day = (datetime.now(UTC).date() - date(1970, 1, 1)).days - 399
    for owner, left in (("one", 86_400), ("two", 43_200)):
        redis.hset(f"{prefix}daily:{owner}:{day}", "failed", 2)
        redis.expire(f"{prefix}daily:{owner}:{day}", left)
        assert anonymize_days(redis, prefix, owner) == 1
    assert redis.hgetall(f"{prefix}daily:erased:{day}") == {"failed": "4"}
    # The longest that one of them had left.
    assert 86_000 < redis.ttl(f"{prefix}daily:erased:{day}") <= 86_400
