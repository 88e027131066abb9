"""A real Redis for the tests of the API, and a separate job store for each test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.support.services import PrivateRedis, private_redis

if TYPE_CHECKING:
    from tests.support.sign_in.lying import LyingProvider


@pytest.fixture(scope="package")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with private_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture
def settings(redis_server: PrivateRedis, tmp_path: Path) -> Settings:
    prefix = f"t{secrets.token_hex(4)}:"
    return Settings(
        redis_url=redis_server.url,
        redis_prefix=prefix,
        data_dir=tmp_path,
        max_upload_bytes=10_000,
        allowed_hosts=["*"],  # test clients call the service by made-up names
    )


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    with connect(settings) as client:
        yield client


@pytest.fixture
def store(redis: Redis, settings: Settings) -> JobStore:
    return JobStore(redis, settings.redis_prefix)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def submit(store: JobStore, name: str = "clip.mp4") -> JobRecord:
    return store.submit(NewJob(source_key="uploads/abcdefgh", source_name=name, source_bytes=7, model="m"))


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    """An OpenID Connect provider with prepared answers."""
    pytest.importorskip("joserfc", reason="joserfc is not installed (it is part of [oidc])")
    from tests.support.sign_in.lying import lying_provider

    with lying_provider() as found:
        yield found


@pytest.fixture
def start(settings: Settings, liar: LyingProvider) -> Callable[..., TestClient]:
    """A client of a service whose provider is the liar; `changes` are settings."""
    from tests.support.sign_in.lying import asking

    def make(**changes: object) -> TestClient:
        names = {"api_keys", "oidc_issuer", "oidc_client_id", "oidc_scopes", *changes}
        given = asking(liar.issuer, oidc_scopes={"editors": ["read", "write"]}, **changes).model_dump(
            include=names
        )
        app = create_app(settings.model_copy(update=given))
        return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)

    return make
