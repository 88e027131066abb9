"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.services import private_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server of the module's own."""
    with private_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url
