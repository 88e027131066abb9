"""Checks that a storage belongs to this service before files without a job are deleted there.

Redis and the storage hold the same random id. With a mistyped bucket, folder or Redis prefix the ids differ, or the
storage has none; then nothing is deleted.
"""

from __future__ import annotations

import logging
import secrets
from typing import cast

from redis import Redis

from sentiloc.app.storage.base import Storage
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

MARKER_KEY = "results/storage-owner.json"


class Ownership:
    """The id of this service's storage."""

    def __init__(self, redis: Redis, prefix: str, storage: Storage) -> None:
        self._redis = redis
        self._key = f"{prefix}storage_id"
        self._jobs = f"{prefix}jobs"
        self._storage = storage

    def holds(self) -> bool:
        """True if the storage has this service's id. A new service writes its id into a storage without one.

        Raises `storage_unavailable`, and `redis.RedisError`.
        """
        known, found = cast("str | None", self._redis.get(self._key)), self._read()
        if known is None and found is None:
            return self._take()
        if known is not None and known == found:
            return True
        logger.error(
            "this storage belongs to another service (its %s names %s, Redis names %s). Files without a job are not "
            "deleted. Check SENTILOC_DATA_DIR, SENTILOC_STORAGE_URL and SENTILOC_REDIS_PREFIX; if they are right, "
            "delete that file and the Redis key %s",
            *(MARKER_KEY, found or "no service", known or "none", self._key),
        )
        return False

    def _take(self) -> bool:
        new = secrets.token_hex(16)
        # Redis first, then the file: if this stops in between, the ids differ and nothing is deleted.
        if not self._redis.set(self._key, new, nx=True):
            # Another process of this service is writing the id right now.
            return False
        with self._storage.writer(MARKER_KEY) as writer:
            writer.write(new.encode())
            writer.commit()
        return True

    def _read(self) -> str | None:
        try:
            return self._storage.read(MARKER_KEY).decode(errors="replace")
        except SentilocError as error:
            if error.code is ErrorCode.SOURCE_MISSING:
                return None
            raise
