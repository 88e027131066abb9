"""Redis clients with time limits, one quick retry, and text instead of bytes."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from sentiloc.app.redis.address import SentinelAddress, sentinel_address
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError

_CONNECT_SECONDS = 2.0
# One quick retry hides a connection that was closed while idle, or a restart of Redis.
_RETRY_SECONDS = 0.05


def redis_url(settings: Settings) -> str:
    """The configured URL; raises `invalid_data` without one. `sentiloc serve` always sets one."""
    if settings.redis_url is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            "SENTILOC_REDIS_URL is not set. Set it, or use `sentiloc serve`, which starts its own Redis.",
        )
    return settings.redis_url


def broker_url(settings: Settings) -> str:
    """The same Redis as a URL that Celery understands."""
    url = redis_url(settings)
    address = sentinel_address(url)
    if address is not None:
        return address.broker_url
    # Celery's name for a Unix socket.
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def broker_options(settings: Settings) -> dict[str, object]:
    """What Celery's transport needs in addition to the URL: the primary's name and the Sentinels' login."""
    address = sentinel_address(settings.redis_url or "")
    if address is None:
        return {}
    # Every new connection asks the Sentinels: one that does not answer must not delay the others.
    limits = {**_sentinel_limits(), "retry": _retry()}
    return {"master_name": address.primary, "sentinel_kwargs": {**limits, **address.sentinel_options}}


def broker_tls(settings: Settings) -> dict[str, object] | None:
    """TLS options of a broker behind Sentinels; None without TLS. For a single server they are in its URL."""
    address = sentinel_address(settings.redis_url or "")
    return dict(address.options) if address is not None and address.is_tls else None


def connect(settings: Settings) -> Redis:
    """A thread-safe client that connects when first used and answers or raises within a few seconds."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": settings.redis_timeout_seconds,
        "socket_connect_timeout": _CONNECT_SECONDS,
        # A connection that was idle for longer is checked before it is used.
        "health_check_interval": 30,
        "retry": _retry(),
    }
    address = sentinel_address(redis_url(settings))
    if address is None:
        return Redis.from_url(redis_url(settings), **options)
    # The library's Sentinel classes have no type annotations.
    limits = {"retry": _retry()}
    sentinel: Any = Sentinel(address.sentinels, sentinel_kwargs=_sentinel_options(address, **limits))  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(address.primary, **_primary_options(address), **options)
    return client


def connect_async(settings: Settings) -> AsyncRedis:
    """The client for coroutines of one event loop. A blocking read must be shorter than the socket time-out."""
    options = _async_options(socket_timeout=settings.redis_timeout_seconds, health_check_interval=30)
    address = sentinel_address(redis_url(settings))
    if address is None:
        client: AsyncRedis = AsyncRedis.from_url(redis_url(settings), **options)
        return client
    return _async_primary(address, options)


def connection_pool(settings: Settings) -> ConnectionPool:
    """Makes connections for coroutines that apply their own time limits. Hashes arrive as flat lists (RESP 2).

    A connection to a primary behind Sentinels asks its pool where the primary is, so the pool must be kept.
    """
    # RESP 2 returns hashes as flat lists, which are cheaper to read than maps.
    options = _async_options(socket_timeout=None, protocol=2)
    address = sentinel_address(redis_url(settings))
    pool: ConnectionPool = (
        ConnectionPool.from_url(redis_url(settings), **options)
        if address is None
        else _async_primary(address, options).connection_pool
    )
    return pool


def _async_options(**options: Any) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "retry": _async_retry(),
        **options,
    }


def _retry() -> Retry:
    # Sentinels get it, too. The client's own would try one that is down for several seconds before it asks the next.
    return Retry(ConstantBackoff(_RETRY_SECONDS), 1)


def _async_retry() -> AsyncRetry:
    return AsyncRetry(ConstantBackoff(_RETRY_SECONDS), 1)


def _async_primary(address: SentinelAddress, options: dict[str, Any]) -> AsyncRedis:
    limits = {"retry": _async_retry()}
    sentinel: Any = AsyncSentinel(
        list(address.sentinels), sentinel_kwargs=_sentinel_options(address, **limits)
    )  # type: ignore[no-untyped-call]
    client: AsyncRedis = sentinel.master_for(address.primary, **_primary_options(address), **options)
    return client


def _primary_options(address: SentinelAddress) -> dict[str, Any]:
    login = {"username": address.username, "password": address.password, "db": address.database}
    return {**login, **address.options, **({"ssl": True} if address.is_tls else {})}


def _sentinel_options(address: SentinelAddress, **limits: Any) -> dict[str, Any]:
    tls = {**address.options, "ssl": True} if address.is_tls else {}
    return {**_sentinel_limits(), **limits, **tls, **address.sentinel_options}


def _sentinel_limits() -> dict[str, Any]:
    return {"socket_timeout": _CONNECT_SECONDS, "socket_connect_timeout": _CONNECT_SECONDS}
