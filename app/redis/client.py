"""Redis clients with time limits, one quick retry, and text instead of bytes."""

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
    """The configured URL; raises `invalid_data` without one. `sentiloc serve` always sets one."""
    if settings.redis_url is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            "SENTILOC_REDIS_URL is not set. Set it, or use `sentiloc serve`, which starts its own store.",
        )
    return settings.redis_url


def broker_url(settings: Settings) -> str:
    """The same Redis as a URL that Celery understands."""
    url = redis_url(settings)
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def connect(settings: Settings) -> Redis:
    """A thread-safe client that connects when first used and answers or raises within a few seconds."""
    return Redis.from_url(
        redis_url(settings),
        decode_responses=True,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
        health_check_interval=30,
        retry=Retry(ConstantBackoff(0.05), 1),
    )


def connect_async(settings: Settings) -> AsyncRedis:
    """The client for coroutines of one event loop. A blocking read must be shorter than the socket time-out."""
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
    """One connection for a coroutine with its own time limit. Hashes arrive as flat lists (RESP 2)."""
    pool: Any = ConnectionPool.from_url(
        redis_url(settings),
        decode_responses=True,
        # RESP 2 gives hashes as flat lists, which cost less to read than maps.
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=2.0,
        retry=AsyncRetry(ConstantBackoff(0.05), 1),
    )
    connection: AbstractConnection = pool.make_connection()
    return connection
