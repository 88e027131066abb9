"""API keys: what they permit and what not, and that data of another key look non-existent."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.guard import _address
from sentiloc.app.access.keys import KeyStore, NewKey, check_key, record_key, split_key
from sentiloc.app.access.problems import RateLimited
from sentiloc.app.access.rate_limit import RateLimiter
from sentiloc.app.access.request_rules import is_open
from sentiloc.app.access.usage import as_minutes, next_month, usage_key
from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import ROUTERS, create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.signing import check_webhook_secret
from tests.app.asking import VIDEO, assert_problem, finish, upload
from tests.app.test_events import is_listened_to
from tests.support.jobs import claim
from tests.support.services import PATIENCE, PrivateRedis, private_redis, wait_for

BOTH = (Scope.READ, Scope.WRITE)


@pytest.fixture
def keys(redis: Redis, settings: Settings) -> KeyStore:
    return KeyStore(redis, settings.redis_prefix)


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    """A service that requires keys."""
    with TestClient(create_app(settings.model_copy(update={"api_keys": "on"}))) as client:
        yield client


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def make(keys: KeyStore, *scopes: Scope, **limits: Any) -> dict[str, str]:
    """Headers of a new key."""
    limits = {"rate_per_minute": 0, **limits}
    return bearer(keys.create("test", scopes or BOTH, **limits).text)


def new_job(client: TestClient, headers: dict[str, str]) -> str:
    made = client.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=headers)
    return str(made.json()["id"])


def test_who_must_show_a_key() -> None:
    def asks(**settings: Any) -> bool:
        return Settings(**settings).keys_required

    assert [asks(host=host) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")] == [False] * 4
    assert [asks(host=host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "")] == [True] * 5
    assert asks(api_keys="on")
    assert not asks(host="0.0.0.0", api_keys="off")


def test_only_a_hash_is_kept(keys: KeyStore, redis: Redis, settings: Settings) -> None:
    new = keys.create("test", BOTH, rate_per_minute=5, quota_minutes=2.5)
    secret = new.text.split("_", 2)[2]  # The secret may hold underscores of its own
    stored = [redis.hgetall(key) for key in redis.scan_iter(f"{settings.redis_prefix}key:*")]
    assert stored and secret not in json.dumps(stored)
    assert len({keys.create("test", BOTH, rate_per_minute=5).text for _ in range(20)}) == 20
    assert keys.get(new.key.id) == new.key


def test_texts_that_are_no_keys(keys: KeyStore) -> None:
    good = keys.create("test", BOTH, rate_per_minute=0).text
    place, digest = split_key(good)
    assert place and len(digest) == 64
    for bad in ("", "x", "sentiloc_", "sentiloc__", f"x{good}", good.replace("_", ":"), "sentiloc_../../x_y"):
        assert split_key(bad)[0] == ""
    assert check_key({}, split_key("")[1]) is None


def test_an_empty_secret_opens_nothing(keys: KeyStore, redis: Redis, settings: Settings) -> None:
    """Also when a clock was set back since a rotation without grace, so that the old text seems to work still."""
    key_id = keys.create("test", BOTH, rate_per_minute=0).key.id
    record = record_key(settings.redis_prefix, key_id)
    assert keys.rotate(key_id)
    redis.hset(record, "old_until", repr(time.time() + 3600))
    place, digest = split_key(f"sentiloc_{key_id}_")
    assert place == key_id
    assert check_key(cast("dict[str, str]", redis.hgetall(record)), digest) is None
    assert check_key({}, digest) is None


def test_a_rotation_after_a_leak_is_not_undone(
    keys: KeyStore, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leaked text is stopped at once while another rotation gives it an hour."""
    leaked = keys.create("test", BOTH, rate_per_minute=0)
    record = record_key(settings.redis_prefix, leaked.key.id)
    stopped: list[NewKey | None] = []

    def slowly(data: bytes) -> Any:
        if not stopped:
            # Stands for the other request, between reading and writing.
            monkeypatch.undo()
            stopped.append(keys.rotate(leaked.key.id))
        return hashlib.sha256(data)

    monkeypatch.setattr("sentiloc.app.access.keys.hashlib", SimpleNamespace(sha256=slowly))
    last = keys.rotate(leaked.key.id, 3600)
    (first,) = stopped
    assert first is not None and last is not None
    fields = cast("dict[str, str]", redis.hgetall(record))
    opens = [check_key(fields, split_key(one.text)[1]) is not None for one in (leaked, first, last)]
    assert opens == [False, True, True]


def test_without_a_key_only_the_page_and_the_health_are_open(guarded: TestClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/web/main.js"):
        assert guarded.get(path).status_code == 200, path
    for path, operations in guarded.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if is_open(path) or method == "options":
                continue
            answer = guarded.request(method, re.sub(r"\{[^}]+\}", "abc", path))
            assert answer.status_code == 401, (method, path)
            if method != "head":
                assert_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert_problem(guarded.get("/nowhere"), 401, "unauthorized")


def test_both_headers_open_the_same(guarded: TestClient, keys: KeyStore) -> None:
    text = keys.create("test", BOTH, rate_per_minute=0).text
    assert guarded.get("/jobs", headers=bearer(text)).status_code == 200
    assert guarded.get("/jobs", headers={"X-API-Key": text}).status_code == 200
    assert guarded.get("/jobs", headers={"Authorization": f"bearer  {text} "}).status_code == 200
    assert_problem(guarded.get("/jobs", headers={"Authorization": f"Basic {text}"}), 401, "unauthorized")
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    refused = guarded.get("/jobs", headers=bearer(wrong))
    assert_problem(refused, 401, "unauthorized")
    assert "invalid_token" in refused.headers["www-authenticate"]


def test_scopes(guarded: TestClient, keys: KeyStore) -> None:
    read, write, metrics, admin = (make(keys, scope) for scope in Scope)
    assert guarded.get("/jobs", headers=read).status_code == 200
    refused = guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=read)
    assert_problem(refused, 403, "forbidden")
    assert_problem(guarded.get("/jobs", headers=write), 403, "forbidden")
    assert_problem(guarded.get("/metrics", headers=read), 403, "forbidden")
    assert_problem(guarded.get("/jobs", headers=metrics), 403, "forbidden")
    assert guarded.get("/metrics", headers=metrics).status_code == 200
    assert guarded.get("/metrics", headers=admin).status_code == 200
    assert guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=admin).status_code == 202


@pytest.mark.parametrize("end", ["%0A", "%0a/", "/%0A", "%0D%0A", "%00", "%7F"])
def test_a_control_character_leads_past_no_guard(guarded: TestClient, keys: KeyStore, end: str) -> None:
    """The router takes `/keys` and a line break for `/keys`; a guard that compares paths does not."""
    every = make(keys, *BOTH, Scope.METRICS)
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        path = re.sub(r"\{\w+\}", "A" * 22, route.path).rstrip("/")
        for method in route.methods or ():
            for base in ("", "/v1"):
                answer = guarded.request(method, f"{base}{path}{end}", headers=every)
                assert answer.status_code == 404, (method, path)
    answer = guarded.post("/v1/keys%0A", json={"name": "mine", "scopes": ["admin"]}, headers=every)
    assert_problem(answer, 404, "not_found")
    assert len(keys.all()) == 1


def test_revoked_and_expired_keys_are_refused(guarded: TestClient, keys: KeyStore) -> None:
    new = keys.create("test", BOTH, rate_per_minute=0)
    assert guarded.get("/jobs", headers=bearer(new.text)).status_code == 200
    assert keys.revoke(new.key.id)
    assert_problem(guarded.get("/jobs", headers=bearer(new.text)), 401, "unauthorized")
    assert not keys.revoke("000000000000")
    old = make(keys, expires_at=time.time() - 1)
    assert_problem(guarded.get("/jobs", headers=old), 401, "unauthorized")
    assert [key.is_valid for key in keys.all()] == [False, False]


def test_a_revoked_key_hears_no_more_events(guarded: TestClient, keys: KeyStore, store: JobStore) -> None:
    owner = keys.create("test", BOTH, rate_per_minute=0)
    job = new_job(guarded, bearer(owner.text))
    heard: list[str] = []
    listener = threading.Thread(
        target=lambda: heard.append(guarded.get(f"/jobs/{job}/events", headers=bearer(owner.text)).text)
    )
    listener.start()
    wait_for(lambda: is_listened_to(store))
    keys.revoke(owner.key.id)
    listener.join(PATIENCE)
    store.cancel(job)
    listener.join()
    assert "event: state" in heard[0]
    assert "event: final" not in heard[0]


def test_only_a_key_that_may_read_shares_what_it_made(
    guarded: TestClient, keys: KeyStore, store: JobStore, settings: Settings
) -> None:
    """A link needs no key, so it would give the result to a key that may only write."""
    new = keys.create("test", [Scope.WRITE], rate_per_minute=0)
    job = new_job(guarded, bearer(new.text))
    finish(store, job, settings, json.dumps(EXAMPLE_RESULT).encode())
    assert_problem(guarded.post(f"/jobs/{job}/share", headers=bearer(new.text)), 403, "forbidden")
    assert guarded.delete(f"/jobs/{job}/share", headers=bearer(new.text)).status_code == 204


def test_another_key_s_job_is_not_there(
    guarded: TestClient, keys: KeyStore, store: JobStore, settings: Settings
) -> None:
    mine, other, admin = make(keys), make(keys), make(keys, Scope.ADMIN)
    headers = {**mine, "Idempotency-Key": "once"}
    job_id = guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=headers).json()["id"]
    finish(store, job_id, settings, json.dumps(EXAMPLE_RESULT).encode())
    paths = [path for path in guarded.get("/openapi.json").json()["paths"].items() if "{job_id}" in path[0]]
    assert len(paths) >= 6
    for template, operations in paths:
        for method in operations:
            path = template.format(job_id=job_id, other_id=job_id, n=0)
            body: dict[str, Any] = {"json": {"segments": []}} if method == "post" else {}
            assert_problem(guarded.request(method, path, headers=other, **body), 404, "job_not_found")
    assert guarded.get(f"/jobs/{job_id}", headers=mine).json()["state"] == "succeeded"
    assert guarded.get("/jobs", headers=other).json()["jobs"] == []
    assert [len(guarded.get("/jobs", headers=key).json()["jobs"]) for key in (mine, admin)] == [1, 1]
    assert guarded.get(f"/jobs/{job_id}/result", headers=admin).status_code == 200


def test_idempotency_keys_and_feedback_belong_to_a_key(
    guarded: TestClient, keys: KeyStore, store: JobStore, settings: Settings
) -> None:
    def post(key: dict[str, str]) -> str:
        files = {"video": ("a.mp4", VIDEO)}
        return str(
            guarded.post("/localize", files=files, headers={**key, "Idempotency-Key": "x"}).json()["id"]
        )

    one, two = make(keys), make(keys)
    job_id = post(one)
    assert post(one) == job_id != post(two)
    finish(store, job_id, settings, json.dumps(EXAMPLE_RESULT).encode())
    assert guarded.post(f"/jobs/{job_id}/feedback", json={"segments": []}, headers=one).status_code == 201
    sizes = [len(guarded.get("/feedback/export", headers=key).content) for key in (one, two)]
    assert sizes[0] > sizes[1]


def test_the_last_use_of_a_key_is_not_written_with_every_request(
    guarded: TestClient, keys: KeyStore, redis: Redis, settings: Settings
) -> None:
    new = keys.create("test", BOTH, rate_per_minute=0)
    record = f"{settings.redis_prefix}key:{new.key.id}"
    assert guarded.get("/jobs", headers=bearer(new.text)).status_code == 200
    assert float(str(redis.hget(record, "last_used_at"))) > 0
    redis.hset(record, "last_used_at", "1")
    assert guarded.get("/jobs", headers=bearer(new.text)).status_code == 200
    assert redis.hget(record, "last_used_at") == "1"


def test_a_key_has_its_rate(guarded: TestClient, keys: KeyStore) -> None:
    slow, other = make(keys, rate_per_minute=3), make(keys, rate_per_minute=3)
    assert [guarded.get("/jobs", headers=slow).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = guarded.get("/jobs", headers=slow)
    assert_problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert guarded.get("/jobs", headers=other).status_code == 200


def test_guessing_ends_soon(settings: Settings, keys: KeyStore) -> None:
    good = make(keys)
    strict = settings.model_copy(update={"api_keys": "on", "bad_keys_per_minute": 2})
    with TestClient(create_app(strict)) as guarded:
        codes = [guarded.get("/jobs", headers=bearer(f"sentiloc_{n}")).status_code for n in range(4)]
        assert codes == [401, 401, 429, 429]
        refused = guarded.get("/jobs", headers=bearer("sentiloc_4"))
        assert_problem(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) <= 30
        assert guarded.get("/jobs", headers=good).status_code == 200


def test_a_key_has_its_quota(
    guarded: TestClient, keys: KeyStore, store: JobStore, settings: Settings
) -> None:
    new = keys.create("test", BOTH, rate_per_minute=0, quota_minutes=2)
    key = bearer(new.text)
    repeated = {**key, "Idempotency-Key": "k"}
    first = guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=repeated).json()["id"]
    record = claim(store, first, "worker", 30.0)
    assert record is not None
    for _ in range(2):
        assert store.succeed(record.lease, f"results/{first}.1.json", media_seconds=150.0)
    body = guarded.get("/key", headers=key).json()
    assert (body["used_minutes"], body["quota_minutes"], body["id"]) == (2.5, 2.0, new.key.id)
    refused = guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=key)
    assert_problem(refused, 429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert guarded.get(f"/jobs/{first}", headers=key).status_code == 200
    again = guarded.post("/localize", files={"video": ("a.mp4", VIDEO)}, headers=repeated)
    assert (again.status_code, again.json()["id"]) == (202, first)
    other = guarded.post(
        "/localize", files={"video": ("a.mp4", VIDEO)}, headers={**key, "Idempotency-Key": "l"}
    )
    assert_problem(other, 429, "quota_exceeded")
    assert store.redis.ttl(usage_key(settings.redis_prefix, new.key.id)) > 86_400


def test_an_idempotency_key_lets_only_its_own_request_pass_the_quota(
    guarded: TestClient, keys: KeyStore, store: JobStore, settings: Settings
) -> None:
    new = keys.create("test", BOTH, rate_per_minute=0, quota_minutes=2)
    key = bearer(new.text)
    job_key, batch_key = ({**key, "Idempotency-Key": text} for text in ("job", "batch"))
    file, batch = {"video": ("a.mp4", VIDEO)}, {"items": [{"url": "https://example.com/a.mp4"}]}
    assert guarded.post("/localize", files=file, headers=job_key).status_code == 202
    assert guarded.post("/batches", json=batch, headers=batch_key).status_code == 202
    store.redis.set(usage_key(settings.redis_prefix, new.key.id), 3 * 60_000)
    assert guarded.post("/localize", files=file, headers=job_key).status_code == 202
    assert guarded.post("/batches", json=batch, headers=batch_key).status_code == 202
    upload = {"Tus-Resumable": "1.0.0", "Upload-Length": "7"}
    for refused in (
        guarded.post("/uploads", headers={**job_key, **upload}),
        guarded.post("/batches", json=batch, headers=job_key),
        guarded.post("/localize", files=file, headers=batch_key),
    ):
        assert_problem(refused, 429, "quota_exceeded")


def test_a_server_without_keys_requires_none(client: TestClient) -> None:
    assert client.get("/key").json()["required"] is False
    assert upload(client).status_code == 202
    document = client.get("/openapi.json").json()
    assert {} in document["paths"]["/v1/jobs"]["get"]["security"]


def test_the_document_names_the_schemes(guarded: TestClient) -> None:
    document = guarded.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    operation = document["paths"]["/v1/localize"]["post"]
    assert operation["security"] == [{"bearer": []}, {"key": []}]
    examples = operation["responses"]["429"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"rate_limited", "quota_exceeded", "storage_quota_exceeded", "key_limit"}
    assert document["paths"]["/healthz"]["get"]["security"] == []


def test_no_redis_no_entry(redis_server: PrivateRedis, tmp_path: Path) -> None:
    nowhere = Settings(redis_url=f"unix://{tmp_path}/no.sock", api_keys="on", data_dir=tmp_path)
    with TestClient(create_app(nowhere)) as guarded:
        assert_problem(guarded.get("/jobs", headers=bearer("sentiloc_x_y")), 503, "redis_unavailable")
        assert guarded.get("/healthz").status_code == 200


def test_a_full_redis_still_lets_keys_read(tmp_path: Path) -> None:
    """It refuses to write, and the time of a key's last use is written with a request that reads."""
    with private_redis(tmp_path / "redis") as server:
        settings = Settings(redis_url=server.url, data_dir=tmp_path, api_keys="on")
        with connect(settings) as redis, TestClient(create_app(settings)) as client:
            key = make(KeyStore(redis, settings.redis_prefix))
            redis.config_set("maxmemory", "1")
            assert_problem(client.get("/v1/jobs/unknown", headers=key), 404, "job_not_found")
            assert client.get("/v1/jobs", headers=key).status_code == 200
            assert_problem(
                client.post("/v1/webhooks", json={"url": "https://a.example"}, headers=key),
                503,
                "redis_unavailable",
            )


def test_buckets_fill_again() -> None:
    now = [0.0]
    buckets = RateLimiter(lambda: now[0])
    assert [buckets.take("a", 2) for _ in range(3)] == [0, 0, 30]
    now[0] = 31.0
    assert buckets.take("a", 2) == 0
    assert buckets.take("a", 2) == pytest.approx(29)
    now[0] = 1000.0
    assert [buckets.take("a", 2) > 0 for _ in range(3)] == [False, False, True]


def test_a_bucket_reports_its_level_and_when_it_is_full() -> None:
    now = [0.0]
    buckets = RateLimiter(lambda: now[0])
    assert buckets.standing("a", 6) == (6, 0)
    buckets.take("a", 6)
    buckets.take("a", 6)
    now[0] = 3.5
    # A token comes back every ten seconds; what is left of one is not counted, begun seconds are.
    assert buckets.standing("a", 6) == (4, 17)


@pytest.mark.parametrize(
    ("now", "ends"),
    [("2026-01-31", "2026-02-01"), ("2026-11-30", "2026-12-01"), ("2026-12-31", "2027-01-01")],
)
def test_a_quota_starts_again_with_the_next_month(now: str, ends: str) -> None:
    late = datetime.fromisoformat(f"{now}T23:59:59+00:00")
    assert next_month(late) == datetime.fromisoformat(f"{ends}T00:00:00+00:00")


def test_the_limiter_forgets_the_name_used_least_recently() -> None:
    limiter = RateLimiter(lambda: 0.0, most_names=2)
    assert [limiter.take(name, 1) for name in ("a", "b", "a")] == [0, 0, 60]
    assert limiter.take("c", 1) == 0
    assert limiter.take("a", 1) > 0
    assert limiter.take("b", 1) == 0


def test_the_limiter_does_not_grow_with_the_number_of_names() -> None:
    limiter = RateLimiter(lambda: 0.0, most_names=100)
    for number in range(1000):
        limiter.take(str(number), 1)
    assert len(limiter._levels) == 100
    assert limiter.take("999", 1) == 60
    assert limiter.take("0", 1) == 0


def test_a_webhook_secret_turns_over(keys: KeyStore) -> None:
    new = keys.create("test", BOTH, rate_per_minute=0)
    second = keys.rotate_webhook_secret(new.key.id)
    assert keys.webhook_secrets(new.key.id) == [second, new.webhook_secret]
    third = keys.rotate_webhook_secret(new.key.id)
    assert keys.webhook_secrets(new.key.id) == [third, second]
    assert keys.rotate_webhook_secret("000000000000") is None
    check_webhook_secret(str(third))


def test_callers_without_a_key_see_no_details_of_workers(
    guarded: TestClient, client: TestClient, store: JobStore
) -> None:
    worker = WorkerPresence(
        name="host/1",
        seen_at=0,
        model="m",
        error="spec_mismatch: of a package in a folder",
        paused="storage_full: of a disk",
    )
    beat(store.redis, store.prefix, worker)
    assert guarded.get("/readyz").json()["warnings"] == ["1 of 1 workers take no jobs: storage_full"]
    assert guarded.get("/readyz").json()["reasons"] == ["spec_mismatch"]
    assert client.get("/readyz").json()["reasons"] == [worker.error]


def test_usage_is_counted_in_milliseconds_and_shown_in_minutes() -> None:
    assert [as_minutes(text) for text in (None, "0", "60000", "90000")] == [0, 0, 1, 1.5]


def test_a_key_is_used_up_at_its_quota_and_not_before(keys: KeyStore, store: JobStore) -> None:
    limited = keys.create("limited", BOTH, rate_per_minute=0, quota_minutes=2.0).key
    unlimited = keys.create("unlimited", BOTH, rate_per_minute=0).key
    for minutes, is_used_up in ((0.0, False), (1.999, False), (2.0, True), (3.0, True)):
        for key in (limited, unlimited):
            store.redis.set(usage_key(store.prefix, key.id), round(minutes * 60_000))
        assert keys.is_used_up(limited.id) is is_used_up
        assert not keys.is_used_up(unlimited.id)
    assert not keys.is_used_up("000000000000")


def test_failed_logins_are_counted_by_address_and_by_network_of_an_ipv6_client() -> None:
    def name(host: str) -> str:
        return _address({"type": "http", "client": (host, 1)})

    assert name("192.0.2.1") != name("192.0.2.2")
    assert name("2001:db8:0:1::1") == name("2001:db8:0:1:ffff::2") == "2001:db8:0:1::/64"
    assert name("2001:db8:0:1::1") != name("2001:db8:0:2::1")
    assert name("unix") == "unix"
    assert _address({"type": "http", "client": None}) == ""


@pytest.mark.parametrize(("wait", "told"), [(0.2, "1"), (1.0, "1"), (2.0, "2"), (2.1, "3")])
def test_a_client_is_never_asked_back_too_early(wait: float, told: str) -> None:
    assert (RateLimited("Try again later.", wait).headers or {})["Retry-After"] == told
