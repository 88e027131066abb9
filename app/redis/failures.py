"""Error messages that say why Redis cannot be used, and what to change."""

from __future__ import annotations

import logging
import re
import ssl
from typing import Any

from redis import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    Redis,
    RedisError,
    ResponseError,
)
from redis.sentinel import MasterNotFoundError

from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

LOGIN = "Redis refuses the login: check the user and the password in SENTILOC_REDIS_URL."
TLS = (
    "TLS with Redis failed: check that the server expects TLS (rediss://) and that its certificate is signed by a "
    "known authority. For your own, add ?ssl_ca_certs=/path/ca.pem to SENTILOC_REDIS_URL."
)
CLUSTER = (
    "Redis runs in cluster mode, which Sentiloc cannot use: its scripts change several keys at once. Use one "
    "server, or a primary with Sentinels."
)
LOADING = "Redis is loading its data."
NO_PRIMARY = "No Sentinel knows a primary of the name in SENTILOC_REDIS_URL that can be reached."
FULL = "Redis has used its maxmemory: no job can be accepted. Raise maxmemory, or delete old jobs."
READS_ONLY = "Redis is a replica, so it takes no jobs: SENTILOC_REDIS_URL must lead to the primary."
FEW_REPLICAS = (
    "Redis has too few replicas, so it takes no jobs: see SENTILOC_REDIS_WAIT_REPLICAS, and min-replicas-to-write in "
    "Redis's configuration."
)
NO_DISK = "Redis cannot write to its disk, so it takes no jobs: its log says why."
NO_ROUTE = "Redis cannot be reached."
# The client raises some of these as plain errors, depending on the server's version.
_LOGIN_ERRORS = ("NOAUTH", "WRONGPASS", "NOPERM", "invalid username-password", "without any password")

# Errors for which some versions of the client have no class.
_REFUSALS = {"NOREPLICAS": FEW_REPLICAS, "MISCONF": NO_DISK}
_REPLICA = re.compile(r"slave\d+")


def reason(error: BaseException) -> str:
    """One sentence that explains an error of the client: login, TLS, loading, no room, no primary, or no connection."""
    causes = _causes(error)
    text = " ".join(str(cause) for cause in causes)
    if any(isinstance(cause, AuthenticationError) for cause in causes) or any(
        word in text for word in _LOGIN_ERRORS
    ):
        return LOGIN
    # A server without TLS does not answer the handshake, which ends as a time-out instead of an SSL error.
    if any(isinstance(cause, ssl.SSLError) for cause in causes) or "ssl" in text.lower():
        return TLS
    if any(isinstance(cause, BusyLoadingError) for cause in causes):
        return LOADING
    if any(isinstance(cause, MasterNotFoundError) for cause in causes):
        return NO_PRIMARY
    if any(isinstance(cause, OutOfMemoryError) for cause in causes):
        return FULL
    if any(isinstance(cause, ReadOnlyError) for cause in causes):
        return READS_ONLY
    return next((found for mark, found in _REFUSALS.items() if mark in text), NO_ROUTE)


def refusal(redis: Redis, replicas: int = 0) -> str | None:
    """Why a Redis that answers refuses new jobs; None if it takes them. Raises `redis.RedisError`.

    `replicas` is the number of replicas that must hold a job.
    """
    try:
        state: dict[str, Any] = redis.info()
    except ResponseError:
        # A proxy, or the user's rights, may not allow INFO.
        return None
    # Redis does not count its own buffers either.
    used = int(state.get("used_memory", 0)) - int(state.get("mem_not_counted_for_evict", 0))
    if state.get("maxmemory_policy") == "noeviction" and 0 < int(state.get("maxmemory", 0)) < used:
        return FULL
    if state.get("role") == "slave":
        return READS_ONLY
    if state.get("aof_last_write_status") == "err":
        return NO_DISK
    following = sum(_is_online(value) for name, value in state.items() if _REPLICA.fullmatch(name))
    # The second figure is there only with `min-replicas-to-write`.
    if following < replicas or state.get("min_slaves_good_slaves") == 0:
        return FEW_REPLICAS
    return None


def _is_online(replica: object) -> bool:
    return isinstance(replica, dict) and replica.get("state") == "online"


def check_redis(settings: Settings) -> None:
    """Refuse to start on permanent errors; warn about temporary ones.

    Raises:
        SentilocError: `invalid_data` for a refused login, a failed TLS handshake and a cluster.
    """
    with connect(settings) as redis:
        try:
            problem = CLUSTER if _is_cluster(redis) else None
        except RedisError as error:
            problem = reason(error)
    if problem in (LOGIN, TLS, CLUSTER):
        raise SentilocError(ErrorCode.INVALID_DATA, problem)
    if problem is not None:
        logger.warning("%s The service waits for it.", problem)


def _is_cluster(redis: Redis) -> bool:
    try:
        return str(redis.info("cluster").get("cluster_enabled", 0)) == "1"
    except ResponseError as error:
        if reason(error) == LOGIN:
            raise
        # A proxy may not support INFO. Treat it as a single server.
        redis.ping()
        return False


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    # Errors can form a circle through their contexts.
    while error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__ or error
    return found
