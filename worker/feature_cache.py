"""Features of videos seen before, on disk: the same upload again, or another localizer, skips extraction."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model.segments import SnippetFeatures, VideoInfo
from worker.extraction import Extraction
from worker.rows import let_go

logger = logging.getLogger(__name__)

STREAMS = ("visual", "audio", "face")
_CHUNK = 1024 * 1024
_SUFFIX = ".features"
_ABANDONED_SECONDS = 3600.0


class FeatureCache:
    """A folder of entries, shared by any number of processes.

    An entry is written whole or not at all; one that cannot be read counts as missing and is removed. Above
    `max_bytes` the entries unused for longest go, and any entry unused for `max_age_seconds` goes.
    """

    def __init__(self, folder: Path, max_bytes: int, max_age_seconds: float) -> None:
        self._folder, self._max_bytes, self._max_age_seconds = folder, max_bytes, max_age_seconds

    def load(self, key: str) -> Extraction | None:
        """The extraction stored under `key`, if there is one; its timings are empty."""
        path = self._path(key)
        try:
            if time.time() - path.stat().st_mtime > self._max_age_seconds:
                path.unlink()
                return None
            found = _read(path)
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("features in the cache cannot be read and are extracted anew: %s", error)
            path.unlink(missing_ok=True)
            return None
        return found

    def store(self, key: str, extraction: Extraction) -> None:
        """Keep an extraction, if there is room; a cache that cannot be written is logged, not an error."""
        part = self._folder / f"{key}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                np.savez(file, allow_pickle=False, **_arrays(extraction))
            for stream in STREAMS:
                let_go(getattr(extraction.features, stream))
            part.replace(self._path(key))
            self._evict()
        except OSError as error:
            logger.warning("features are not kept: %s", error.strerror)
            with contextlib.suppress(OSError):
                part.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _evict(self) -> None:
        """Remove what is too old or too much, and what killed processes left."""
        now, kept = time.time(), 0
        entries = [(_status(path), path) for path in self._folder.iterdir()]
        present = [(status, path) for status, path in entries if status is not None]
        for status, path in sorted(present, key=lambda entry: entry[0].st_mtime, reverse=True):
            age, is_part = now - status.st_mtime, path.suffix != _SUFFIX
            kept += 0 if is_part else status.st_size
            unused = age > (_ABANDONED_SECONDS if is_part else self._max_age_seconds)
            if unused or (not is_part and kept > self._max_bytes):
                path.unlink(missing_ok=True)


def cache_key(video: Path, identity: str) -> str:
    """SHA-256 over a file's bytes and `identity`, which names all else that features depend on."""
    digest = hashlib.sha256(f"{len(identity)}:{identity}".encode())
    with video.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _arrays(extraction: Extraction) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    features = extraction.features
    streams = {name: getattr(features, name) for name in STREAMS}
    present = np.stack([getattr(features, f"{name}_present") for name in STREAMS])
    kept = {name: rows for name, rows in streams.items() if rows is not None}
    return {"info": np.array(json.dumps(asdict(extraction.info))), "present": present, **kept}


def _read(path: Path) -> Extraction:
    """Raises what NumPy and zipfile raise for a damaged file: its checksums cover every byte of the arrays."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        visual, audio, face = (arrays[name] if name in arrays.files else None for name in STREAMS)
        visual_present, audio_present, face_present = arrays["present"]
        info = VideoInfo(**json.loads(str(arrays["info"])))
    features = SnippetFeatures(
        visual=visual,
        audio=audio,
        face=face,
        visual_present=visual_present,
        audio_present=audio_present,
        face_present=face_present,
    )
    return Extraction(info=info, features=features, timings={})
