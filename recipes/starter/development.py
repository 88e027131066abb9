"""Real-world clips with labels, and the half of them that may be used to choose and to calibrate.

Two people labelled the files independently; `sure` means that they agree. These clips are never used for training.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from recipes.starter.dataset import embed_sound
from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.extractors.logmel import NORMAL_LEVEL
from sentiloc.model.package import extractor_id
from sentiloc.model.spec import CLASSES, SERVING_FRAME_RATE, AudioStream, FaceStream, ModelSpec
from sentiloc.worker.decoder.decode import DecodeLimits
from sentiloc.worker.extraction.extract import Extractor
from sentiloc.worker.extraction.extraction import Extraction
from sentiloc.worker.extraction.feature_cache import FeatureCache, cache_key
from sentiloc.worker.features.face import load_face_extractor

Half = Literal["development", "check"]
HALVES: tuple[Half, Half] = ("development", "check")
SALT = "h"
"""The salt was chosen before any evaluation, so that both halves have enough clips of every label."""
NOTHING = "none"
# Bytes; above this, the cache evicts its oldest entries.
_CACHE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """One labelled clip; `quiet`: no sound or a silent one; `empty`: nobody is in the picture."""

    file: str
    source: str
    sentiment: str
    sure: bool
    kind: str
    voice: bool
    quiet: bool
    empty: bool

    @property
    def neutral(self) -> bool:
        """Whether the clip has no sentiment."""
        return self.sentiment in ("neutral", NOTHING)

    @property
    def half(self) -> Half:
        """The half that its source belongs to."""
        return half_of(self.source)


def half_of(name: str) -> Half:
    """The half that a source (or an untrimmed video) belongs to, decided by a digest.

    Only the development half may be used to choose, fit or calibrate anything; the other half is for checking.
    """
    # By a digest and not by chance, so that the halves are the same on every machine.
    return HALVES[int(hashlib.sha256(f"{SALT}{name}".encode()).hexdigest(), 16) % 2]


def read_labels(file: Path) -> list[LabelledClip]:
    """Read the clips of a `labels.csv`."""
    with file.open(newline="", encoding="utf-8") as rows:
        return [_clip(row) for row in csv.DictReader(rows)]


def read_development(data: Path, cache: Path, models: Path, hearing: nn.Module) -> list[Item]:
    """The sure clips of the development half as items, with face embeddings and encoded sound.

    One segment covers the whole clip if it has a sentiment. `models` holds the face extractors. Features are stored in
    `cache`.
    """
    return embed_sound(extract_development(data, cache, _extractor(models)), hearing)


def extract_development(data: Path, cache: Path, extractor: Extractor) -> list[Item]:
    """The same clips with log-mels as sound, and with the features of `extractor`."""
    clips = [clip for clip in read_labels(data / "wild" / "labels.csv") if clip.half == "development"]
    chosen = [clip for clip in clips if clip.sure and (clip.neutral or clip.sentiment in CLASSES)]
    return [_item(clip, _extracted(extractor, data / "wild" / clip.file, cache)) for clip in chosen]


def _extractor(models: Path) -> Extractor:
    threads = 1
    detector, encoder = models / "face-detector", models / "expression"
    spec = ModelSpec(
        name="development",
        version="0",
        visual=None,
        audio=AudioStream(level=NORMAL_LEVEL),
        face=FaceStream(encoder=extractor_id(encoder)),
    )
    face = load_face_extractor(detector, encoder, threads=threads)
    return Extractor(
        spec=spec,
        limits=DecodeLimits(threads=threads),
        face=face,
        visual=None,
        networks=(face.name, face.digest),
    )


def _extracted(extractor: Extractor, path: Path, cache: Path) -> Extraction:
    """A clip's features, extracted once and cached."""
    store = FeatureCache(cache, _CACHE_BYTES, float("inf"))
    key = cache_key(path, extractor.identity)
    known = store.load(key)
    if known is None:
        known = extractor.extract(path, lambda _stage, _done: None)
        store.store(key, known)
    return known


def _item(clip: LabelledClip, extraction: Extraction) -> Item:
    whole = (
        SegmentLabel(0.0, extraction.info.duration, CLASSES.index(clip.sentiment))
        if not clip.neutral
        else None
    )
    return Item(
        name=f"clips-{clip.file}",
        features=extraction.features,
        fps=SERVING_FRAME_RATE,
        points=(),
        segments=(whole,) if whole else (),
    )


def _clip(row: Mapping[str, str]) -> LabelledClip:
    return LabelledClip(
        file=row["file"],
        source=row["source"],
        sentiment=row["sentiment"],
        sure=row["sure"] == "sure",
        kind=row["kind"],
        voice=row["voice"] == "1",
        quiet=row["quiet"] != "0",
        empty=row["face"] == "0",
    )
