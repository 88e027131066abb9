"""Caches features on disk, so that the same video, or another model on it, skips the extraction."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sentiloc.model.results.warnings import parse_warnings
from sentiloc.model.segments import SnippetFeatures, parse_video
from sentiloc.worker.extraction.array_cache import UNREADABLE, Array, ArrayCache, cache_key
from sentiloc.worker.extraction.extraction import Extraction, FaceSightings

__all__ = ["FeatureCache", "cache_key"]

STREAMS = ("visual", "audio", "face")


class FeatureCache:
    """Extractions in an `ArrayCache`."""

    def __init__(self, folder: Path, max_bytes: int, max_age_seconds: float) -> None:
        self._arrays = ArrayCache(folder, max_bytes, max_age_seconds)

    def load(self, key: str) -> Extraction | None:
        """The extraction stored under `key`, if there is one; its timings are empty."""
        arrays = self._arrays.load(key)
        try:
            return None if arrays is None else _extraction(arrays)
        except UNREADABLE as error:
            self._arrays.reject(key, error)
            return None

    def store(self, key: str, extraction: Extraction) -> None:
        """Store an extraction if there is room."""
        self._arrays.store(key, _as_arrays(extraction))


def _as_arrays(extraction: Extraction) -> dict[str, Array]:
    features = extraction.features
    streams = {name: getattr(features, name) for name in STREAMS}
    present = np.stack([getattr(features, f"{name}_present") for name in STREAMS])
    kept = {name: rows for name, rows in streams.items() if rows is not None}
    warnings = [warning.to_dict() for warning in extraction.warnings]
    texts = {"info": json.dumps(asdict(extraction.info)), "warnings": json.dumps(warnings)}
    if extraction.faces is not None:
        kept |= {"face_count": extraction.faces.count, "face_boxes": extraction.faces.boxes}
    kept |= {"shots": np.array(extraction.shots, np.float64)}
    return {**{name: np.array(text) for name, text in texts.items()}, "present": present, **kept}


def _extraction(arrays: dict[str, Array]) -> Extraction:
    visual_present, audio_present, face_present = arrays["present"]
    features = SnippetFeatures(
        visual=arrays.get("visual"),
        audio=arrays.get("audio"),
        face=arrays.get("face"),
        visual_present=visual_present,
        audio_present=audio_present,
        face_present=face_present,
    )
    return Extraction(
        info=parse_video(json.loads(str(arrays["info"]))),
        features=features,
        timings={},
        warnings=parse_warnings(json.loads(str(arrays["warnings"]))),
        faces=FaceSightings(count=arrays["face_count"], boxes=arrays["face_boxes"])
        if "face_count" in arrays
        else None,
        shots=tuple(arrays["shots"].tolist()),
    )
