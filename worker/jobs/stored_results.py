"""The files of an attempt: its result with pictures, or its reel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.keys import partial_key, reel_key, result_key, thumbnail_key
from sentiloc.worker.pipelines.thumbnails import save_thumbnails
from sentiloc.worker.reels.storing import upload

if TYPE_CHECKING:
    from sentiloc.model.results.task_result import AnyResult


def store_result(
    storage: Storage, record: JobRecord, key: str, result: AnyResult, pictures: Sequence[bytes]
) -> tuple[int, int]:
    """Store the result and its pictures; returns the number of pictures, and the bytes of all. May be repeated."""
    # NaN is not JSON; better an error here than a result that clients cannot parse.
    text = json.dumps(result.to_dict(), allow_nan=False).encode()
    with storage.writer(key) as writer:
        writer.write(text)
        writer.commit()
    count = save_thumbnails(storage, record.id, record.attempt, pictures)
    # Before the job is marked as succeeded, because nothing looks for them afterwards.
    _delete_lost_attempts(storage, record)
    return count, len(text) + sum(map(len, pictures[:count]))


def discard_result(storage: Storage, record: JobRecord, key: str, pictures: int) -> None:
    """Delete a stored result and its pictures, because the job is no longer this attempt's."""
    for lost in (key, *(thumbnail_key(record.id, record.attempt, n) for n in range(pictures))):
        storage.delete(lost)


def store_reel(storage: Storage, record: JobRecord, key: str, path: Path) -> None:
    """Store the rendered file. May be repeated."""
    upload(storage, path, key)
    _delete_lost_attempts(storage, record)


def _delete_lost_attempts(storage: Storage, record: JobRecord) -> None:
    """Delete results that earlier attempts stored but could not record before they were killed."""
    stored = (result_key, partial_key) if record.reel is None else (reel_key,)
    for attempt in range(1, record.attempt):
        for key in stored:
            storage.delete(key(record.id, attempt))
