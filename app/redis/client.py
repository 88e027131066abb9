"""One way to connect to Redis: bounded waiting, one quick retry, text in and out."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError


def redis_url(settings: Settings) -> str:
    """The configured URL; raises when there is none (`sentiloc serve` always sets one)."""
    if settings.redis_url is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            "SENTILOC_REDIS_URL is not set; set it, or use `sentiloc serve`, which brings its own Redis",
        )
    return settings.redis_url


def broker_url(settings: Settings) -> str:
    """The same Redis in the form that Celery reads."""
    url = redis_url(settings)
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def connect(settings: Settings) -> Redis:
    """A client (thread-safe, connects when first used) that answers or raises within a few seconds."""
    return Redis.from_url(
        redis_url(settings),
        decode_responses=True,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
        health_check_interval=30,
        retry=Retry(ConstantBackoff(0.05), 1),
    )


def connect_async(settings: Settings) -> AsyncRedis:
    """The same for coroutines of one event loop; a blocking read must end before the time-out does."""
    client: AsyncRedis = AsyncRedis.from_url(
        redis_url(settings),
        decode_responses=True,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
        health_check_interval=30,
        retry=AsyncRetry(ConstantBackoff(0.05), 1),
    )
    return client


def new_connection(settings: Settings) -> AbstractConnection:
    """For a coroutine that bounds by itself how long it waits for an answer; hashes come as flat lists."""
    pool: Any = ConnectionPool.from_url(
        redis_url(settings),
        decode_responses=True,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=2.0,
        retry=AsyncRetry(ConstantBackoff(0.05), 1),
    )
    connection: AbstractConnection = pool.make_connection()
    return connection
