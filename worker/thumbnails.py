"""A small picture of each segment's peak, made once at the job's end and kept beside the result."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from app.settings import Settings
from app.storage import Storage, thumbnail_key
from model.errors import SentilocError
from worker.decode import Pictures, grab_frames
from worker.decoder.request import DecodeLimits

logger = logging.getLogger(__name__)


def make_thumbnails(
    path: Path, peaks: Sequence[float], settings: Settings, go_on: Callable[[], None]
) -> list[bytes]:
    """JPEGs of the frames at `peaks` (seconds), in their order; fewer where time or the video runs out.

    A video that could be localized may still fail here (it is sought in now): that costs pictures, not the job.
    What `go_on` raises goes through.
    """
    wanted = peaks[: settings.max_thumbnails] if settings.thumbnail_side_pixels else ()
    deadline = time.monotonic() + settings.thumbnail_seconds
    made: list[bytes] = []
    if not wanted:
        return made
    limits = DecodeLimits.from_settings(settings)
    frames = grab_frames(path, wanted, settings.thumbnail_side_pixels, limits, go_on)
    try:
        for frame in frames:
            made.append(_jpeg(frame, settings.thumbnail_quality))
            go_on()
            if time.monotonic() > deadline:
                break
    except (SentilocError, StopIteration, cv2.error) as error:
        go_on()
        logger.warning("only %d of %d thumbnails: %s", len(made), len(wanted), error)
    finally:
        frames.close()
    return made


def save_thumbnails(storage: Storage, job_id: str, attempt: int, pictures: Sequence[bytes]) -> int:
    """Store them; returns how many there was room for."""
    for index, picture in enumerate(pictures):
        try:
            with storage.writer(thumbnail_key(job_id, attempt, index)) as writer:
                writer.write(picture)
                writer.commit()
        except SentilocError as error:
            logger.warning("only %d of %d thumbnails are kept: %s", index, len(pictures), error)
            return index
    return len(pictures)


def _jpeg(frame: Pictures, quality: int) -> bytes:
    """An RGB picture (height, width, 3) as JPEG."""
    bgr = np.ascontiguousarray(frame[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
