"""The schema version of the records in Redis. A release refuses to start on records of a newer release."""

from __future__ import annotations

import logging
from typing import cast

from redis import Redis, RedisError

from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

SCHEMA = 2
"""Increase it when a release writes records that the previous one cannot read. 1 stands for releases without this
number.
"""


def check_schema(settings: Settings) -> None:
    """Write this release's schema version into the store; refuse a store that a newer release has written to.

    Rolling upgrades work: running processes of the older release continue; only new starts are refused.

    Raises:
        SentilocError: `invalid_data` for a downgrade.
    """
    with connect(settings) as redis:
        try:
            stored = _raise_to(redis, f"{settings.redis_prefix}schema", SCHEMA)
        except RedisError as error:
            logger.warning("the version of the records in Redis is not known yet: %s", error)
            return
    if stored > SCHEMA:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"The records in Redis are of a newer release (schema {stored}); this release reads schema {SCHEMA}. "
            "Start the newer release again, or restore the backup from before the upgrade.",
        )


def _raise_to(redis: Redis, key: str, version: int) -> int:
    """Raise the number at `key` to `version` if it is lower, and return it."""
    stored = int(cast("str | None", redis.get(key)) or 0)
    if stored < version:
        redis.set(key, version)
    return max(stored, version)
