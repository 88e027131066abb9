"""Redis addresses, and distinct errors for each reason why a real server cannot be used."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from redis import Redis, RedisError, ResponseError

from sentiloc.app.redis.address import SentinelAddress, sentinel_address
from sentiloc.app.redis.client import broker_url, connect
from sentiloc.app.redis.failures import (
    CLUSTER,
    FEW_REPLICAS,
    LOGIN,
    NO_DISK,
    NO_PRIMARY,
    NO_ROUTE,
    READS_ONLY,
    TLS,
    check_redis,
    reason,
    refusal,
)
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from tests.support.servers import redis_on_a_port
from tests.support.services import wait_for

URL = (
    "rediss+sentinel://jobs:p%40ss@one,[2001:db8::1]:5000/main/3?ssl_ca_certs=/ca.pem&sentinel_password=s%26s"
)


def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=url, data_dir=tmp_path)


def test_a_sentinel_url_has_its_parts() -> None:
    assert sentinel_address(URL) == SentinelAddress(
        sentinels=(("one", 26379), ("2001:db8::1", 5000)),
        primary="main",
        database=3,
        username="jobs",
        password="p@ss",
        is_tls=True,
        options={"ssl_ca_certs": "/ca.pem"},
        sentinel_options={"password": "s&s"},
    )
    assert sentinel_address("redis://one:6379/0") is None


def test_the_broker_gets_every_sentinel(tmp_path: Path) -> None:
    login = "jobs:p%40ss@"
    assert broker_url(settings(URL, tmp_path)) == (
        f"sentinel://{login}one:26379/3;sentinel://{login}[2001:db8::1]:5000/3"
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel:///main",
        "redis+sentinel://one:port/main",
        "redis+sentinel://one,,two/main",
        "redis+sentinel://one/main/x",
        "redis+sentinel://one/main/0/1",
    ],
)
def test_a_wrong_sentinel_url_is_named(url: str) -> None:
    with pytest.raises(SentilocError, match="SENTILOC_REDIS_URL: "):
        sentinel_address(url)


def failure(url: str, tmp_path: Path) -> str:
    with connect(settings(url, tmp_path)) as redis, pytest.raises(RedisError) as caught:
        redis.ping()
    return reason(caught.value)


def test_a_refused_login_is_reported(tmp_path: Path) -> None:
    with redis_on_a_port(tmp_path, "--requirepass", "right") as port:
        assert failure(f"redis://127.0.0.1:{port}", tmp_path) == LOGIN
        assert failure(f"redis://:wrong@127.0.0.1:{port}", tmp_path) == LOGIN
        with pytest.raises(SentilocError, match="refuses the login"):
            check_redis(settings(f"redis://:wrong@127.0.0.1:{port}", tmp_path))
        check_redis(settings(f"redis://:right@127.0.0.1:{port}", tmp_path))


def test_a_server_without_tls_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Such a server does not answer the handshake, so each attempt takes the whole time limit.
    monkeypatch.setattr("sentiloc.app.redis.client._CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("SENTILOC_REDIS_TIMEOUT_SECONDS", "0.5")
    with redis_on_a_port(tmp_path) as port:
        assert failure(f"rediss://127.0.0.1:{port}", tmp_path) == TLS
        with pytest.raises(SentilocError, match="TLS with Redis failed"):
            check_redis(settings(f"rediss://127.0.0.1:{port}", tmp_path))


def test_a_missing_route_is_reported_and_retried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", pauses.append)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert failure(f"redis://127.0.0.1:{port}", tmp_path) == NO_ROUTE
        assert failure(f"redis+sentinel://127.0.0.1:{port}/main", tmp_path) == NO_PRIMARY
        check_redis(settings(f"redis://127.0.0.1:{port}", tmp_path))
    assert pauses
    assert sum(pauses) < 1.0


def test_a_cluster_is_refused(tmp_path: Path) -> None:
    with redis_on_a_port(tmp_path, "--cluster-enabled", "yes") as port:
        with pytest.raises(SentilocError, match="cluster mode") as caught:
            check_redis(settings(f"redis://127.0.0.1:{port}", tmp_path))
        assert caught.value.detail == CLUSTER


def test_too_few_replicas_are_reported(tmp_path: Path) -> None:
    (tmp_path / "replica").mkdir()
    with redis_on_a_port(tmp_path) as port, Redis(port=port) as redis:
        assert (refusal(redis), refusal(redis, 1)) == (None, FEW_REPLICAS)
        redis.config_set("min-replicas-to-write", 1)
        with pytest.raises(RedisError) as caught:
            redis.set("a", "b")
        assert (reason(caught.value), refusal(redis)) == (FEW_REPLICAS, FEW_REPLICAS)
        follows = ("--replicaof", "127.0.0.1", str(port), "--repl-diskless-sync-delay", "0")
        redis.config_set("repl-diskless-sync-delay", 0)
        with redis_on_a_port(tmp_path / "replica", *follows) as other, Redis(port=other) as replica:
            wait_for(lambda: refusal(redis, 1) is None)
            assert (refusal(redis, 2), refusal(replica)) == (FEW_REPLICAS, READS_ONLY)


def test_a_redis_that_cannot_write_to_its_disk_is_reported() -> None:
    error = ResponseError("MISCONF Errors writing to the AOF file: No space left on device")
    assert reason(error) == NO_DISK
