"""Real clips of a person, decoded once: the face in every 4th frame of the 25 fps grid, and the voice at 16 kHz.

Faces are stored as wide crops (twice the face's box) together with the box, so that boxes can be jittered and pictures
degraded later without decoding again. Boxes come from YuNet, which is a teacher here, or from another detector.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]
FindFace = Callable[[Image], Box | None]

SAMPLE_RATE = 16_000
FRAME_RATE = 25
# 16 frames are a snippet, so every fourth gives four pictures of a face in each.
FRAME_STEP = 4
# The label that PyTorch's losses ignore.
IGNORED = -1
# The crop's side, in sides of the face's box: room to move the box later.
_LOOSENESS = 2.0
# Pixels. The expression network reads 48, so more would only fill the cache.
_LARGEST_CROP = 224
_SENTIMENT = {
    **dict.fromkeys(("happy", "happiness"), POSITIVE),
    **dict.fromkeys(
        (
            "angry",
            "anger",
            "sad",
            "sadness",
            "fearful",
            "fear",
            "disgust",
            "disgusted",
            "contempt",
        ),
        NEGATIVE,
    ),
    **dict.fromkeys(("neutral", "calm"), NON_SENTIMENT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One acted clip: JPEG crops and boxes (N, 4; x, y, width, height in the crop) of N sampled frames, the voice.

    `seen` (N,) says where a face was found; `samples` are int16 mono at 16 kHz; `seconds` is the picture's length.
    """

    name: str
    actor: str
    emotion: str
    crops: tuple[bytes, ...]
    boxes: FloatArray
    seen: BoolArray
    samples: NDArray[np.int16]
    seconds: float

    @property
    def sentiment(self) -> int:
        """Class index of the clip's emotion, or IGNORED."""
        return sentiment_of(self.emotion)


def sentiment_of(emotion: str) -> int:
    """Class index of an acted emotion; IGNORED for surprise, which is neither positive nor negative."""
    return _SENTIMENT.get(emotion, IGNORED)


def teacher_detector(weights: Path, *, least_score: float = 0.6) -> FindFace:
    """A function that returns the largest face found by YuNet as x, y, width, height in pixels.

    The network is loaded at the first call.
    """
    loaded: list[Any] = []

    def find(image: Image) -> Box | None:
        detector = (
            loaded[0] if loaded else cv2.FaceDetectorYN.create(str(weights), "", (320, 320), least_score)
        )
        loaded[:] = [detector]
        # YuNet refuses a picture of another size than was announced.
        detector.setInputSize((image.shape[1], image.shape[0]))
        _, rows = detector.detect(image)
        if rows is None or not len(rows):
            return None
        x, y, width, height = max(rows, key=lambda row: row[2] * row[3])[:4]
        return float(x), float(y), float(width), float(height)

    return find


def read_clips(folder: Path, cache: Path, find_face: FindFace) -> list[Clip]:
    """All clips of a folder with an `index.csv` (file, actor, sentence, emotion); each is decoded only once."""
    cache.mkdir(parents=True, exist_ok=True)
    with (folder / "index.csv").open(encoding="utf-8") as rows:
        return [_cached(folder, cache, row, find_face) for row in csv.DictReader(rows)]


def decode_image(jpeg: bytes) -> Image:
    """A stored crop as BGR (height, width, 3)."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def decode_sound(path: Path) -> NDArray[np.int16]:
    """The first audio track as mono int16 at 16 kHz; empty if there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.int16)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        parts = [
            part.to_ndarray()[0]
            # None makes the resampler return the samples that it still holds.
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def sampled_frames(path: Path, step: int = FRAME_STEP) -> Iterator[Image]:
    """Every `step`-th frame of the 25 fps grid as BGR; a grid point shows the frame on screen at that time."""
    # Fractions, because sums of 0.16 as floats drift across a frame's edge in long clips.
    due, shown, elapsed, origin = Fraction(0), None, Fraction(0), None
    for frame, time in _timed_frames(path):
        origin = time if origin is None else origin
        elapsed = time - origin
        while shown is not None and elapsed > due:
            yield _bgr(shown)
            due += Fraction(step, FRAME_RATE)
        shown = frame
    if shown is not None and elapsed >= due:
        yield _bgr(shown)


def _timed_frames(path: Path) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.pts is not None and frame.time_base is not None:
                yield frame, frame.pts * frame.time_base


def _bgr(frame: av.VideoFrame) -> Image:
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _cached(folder: Path, cache: Path, row: dict[str, str], find_face: FindFace) -> Clip:
    store = cache / f"{Path(row['file']).stem}.npz"
    if not store.exists():
        partial = store.with_suffix(".part.npz")
        np.savez(partial, **_read(folder / row["file"], find_face))
        partial.rename(store)
    with np.load(store) as held:
        ends = np.cumsum(held["sizes"])
        joined = held["jpeg"].tobytes()
        crops = tuple(joined[end - size : end] for end, size in zip(ends, held["sizes"], strict=True))
        return Clip(
            name=store.stem,
            actor=row["actor"],
            emotion=row["emotion"],
            crops=crops,
            boxes=held["boxes"],
            seen=held["seen"],
            samples=held["samples"],
            seconds=float(held["seconds"]),
        )


def _read(path: Path, find_face: FindFace) -> dict[str, Any]:
    frames = list(sampled_frames(path))
    found = [find_face(frame) for frame in frames]
    crops, boxes = zip(*(_loose_crop(*pair) for pair in zip(frames, found, strict=True)), strict=True)
    return {
        "jpeg": np.frombuffer(b"".join(crops), np.uint8),
        "sizes": np.array([len(crop) for crop in crops]),
        "boxes": np.array(boxes, np.float32),
        "seen": np.array([box is not None for box in found]),
        "samples": decode_sound(path),
        "seconds": len(frames) * FRAME_STEP / FRAME_RATE,
    }


def _loose_crop(frame: Image, box: Box | None) -> tuple[bytes, Box]:
    if box is None:
        return b"", (0.0, 0.0, 0.0, 0.0)
    x, y, width, height = box
    side = max(width, height) * _LOOSENESS
    scale = min(1.0, _LARGEST_CROP / side)
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    size = round(side * scale)
    crop = cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    # Pictures are degraded later on purpose, so the stored ones must not have visible artefacts.
    jpeg = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    return jpeg, ((x - left) * scale, (y - top) * scale, width * scale, height * scale)
