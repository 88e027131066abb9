"""Thumbnails of the segments' peaks, made once at the job's end and stored with the result."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.keys import thumbnail_key
from sentiloc.model.errors import SentilocError
from sentiloc.worker.config import CacheConfig, ThumbnailConfig
from sentiloc.worker.decoder.decode import grab_frames
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.extraction.array_cache import Array, ArrayCache, cache_key
from sentiloc.worker.extraction.extract import FACE_MAX_SIDE
from sentiloc.worker.extraction.stills import Stills, encode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The job whose pictures are made, their storage, and the cache of earlier jobs.

    Requests to the storage are made in a context `waiting()`, because they may take a while without progress.
    """

    storage: Storage
    job_id: str
    attempt: int
    cache: CacheConfig
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext


def keep_stills(
    config: ThumbnailConfig, folder: Path | None, *, is_draft: bool = False
) -> AbstractContextManager[Stills | None]:
    """A store for stills of the thumbnails' size in `folder`; None if a second decoder is better.

    Very large thumbnails would take much of the memory that is shared with the decoder, and a draft has to be fast.
    """
    if is_draft or not (config.most and 0 < config.side_pixels <= FACE_MAX_SIDE):
        return nullcontext()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return Stills(config.side_pixels, config.quality, folder)
    except OSError as error:
        logger.warning("no stills are kept: %s", error)
        return nullcontext()


def make_thumbnails(
    path: Path,
    peaks: Sequence[float],
    config: ThumbnailConfig,
    limits: DecodeLimits,
    go_on: Callable[[], None],
    owner: Owner | None = None,
    stills: Stills | None = None,
) -> list[bytes]:
    """JPEGs of the frames at `peaks` (seconds), in that order; fewer if the time limit or the video ends first.

    With `stills` of all peaks, the video is not decoded again: their frames are from the same snippets.

    Seeking can fail in a video that could be localized. Then pictures are missing, but the job does not fail.
    Exceptions of `go_on` are passed on. With an `owner`, pictures are copied from another job of the same video if
    possible.
    """
    wanted = peaks[: config.most] if config.side_pixels else ()
    if not wanted:
        return []
    if owner is None:
        return _kept(stills, wanted) or _grab(path, wanted, config, limits, go_on)
    # The cache only remembers which job has the pictures: a picture must not outlive its job.
    cache = ArrayCache(owner.cache.folder, owner.cache.max_bytes, owner.cache.max_age_seconds)
    shown = (list(wanted), config.side_pixels, config.quality)
    key = cache_key(path, f"thumbnails {shown}")
    made = _kept(stills, wanted)
    if not made:
        with owner.waiting():
            made = _copies(owner.storage, cache.load(key), len(wanted))
    made = made or _grab(path, wanted, config, limits, go_on)
    # Only a complete set is remembered, because a partial one would be copied forever.
    if len(made) == len(wanted):
        cache.store(key, {"job": np.array(owner.job_id), "attempt": np.array(owner.attempt)})
    return made


def _kept(stills: Stills | None, wanted: Sequence[float]) -> list[bytes]:
    """The stills for all `wanted` seconds; none if one is missing."""
    found = [] if stills is None else [stills.jpeg_at(seconds) for seconds in wanted]
    return [one for one in found if one is not None] if None not in found else []


def _copies(storage: Storage, seen: Mapping[str, Array] | None, count: int) -> list[bytes]:
    """Copies of all pictures of the job that `seen` names; none if one is missing."""
    if seen is None:
        return []
    names = (thumbnail_key(str(seen["job"]), int(seen["attempt"]), index) for index in range(count))
    try:
        return [storage.read(name) for name in names]
    except SentilocError:
        return []


def _grab(
    path: Path,
    wanted: Sequence[float],
    config: ThumbnailConfig,
    limits: DecodeLimits,
    go_on: Callable[[], None],
) -> list[bytes]:
    deadline = time.monotonic() + config.seconds
    made: list[bytes] = []
    frames = grab_frames(path, wanted, config.side_pixels, limits, go_on)
    try:
        for frame in frames:
            made.append(encode(frame, config.quality))
            go_on()
            if time.monotonic() > deadline:
                break
    except (SentilocError, StopIteration, cv2.error) as error:
        go_on()
        logger.warning("only %d of %d thumbnails: %s", len(made), len(wanted), error)
    finally:
        # Ends the decoder's process even if the loop is left early.
        frames.close()
    return made


def save_thumbnails(storage: Storage, job_id: str, attempt: int, pictures: Sequence[bytes]) -> int:
    """Store the pictures; returns how many fit into the storage."""
    for index, picture in enumerate(pictures):
        try:
            with storage.writer(thumbnail_key(job_id, attempt, index)) as writer:
                writer.write(picture)
                writer.commit()
        except SentilocError as error:
            logger.warning("only %d of %d thumbnails are kept: %s", index, len(pictures), error)
            return index
    return len(pictures)
