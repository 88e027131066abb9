"""An API key's quotas, checked again when its job begins: jobs accepted at the same time may exceed them together."""

from __future__ import annotations

from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.usage import held_bytes
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.model.errors import ErrorCode, SentilocError


def require_minutes(store: JobStore, record: JobRecord) -> None:
    """Raise `quota_exceeded` if the key has no minutes left."""
    keys = KeyStore(store.redis, store.prefix)
    if record.key_id is not None and keys.is_used_up(record.key_id):
        detail = "The API key had no minutes left when this job began."
        raise SentilocError(ErrorCode.QUOTA_EXCEEDED, detail)


def require_room(store: JobStore, record: JobRecord, max_bytes: int) -> None:
    """Raise `storage_quota_exceeded` if the key already stores `max_bytes` (0: no limit)."""
    if record.key_id is None or not max_bytes:
        return
    if held_bytes(store.redis, store.prefix, record.key_id).stored >= max_bytes:
        detail = f"The API key may store {max_bytes} bytes in all, and had no room left when this job began."
        raise SentilocError(ErrorCode.STORAGE_QUOTA_EXCEEDED, detail)
