"""Expression embeddings, computed once: of still faces in several appearances, and of real clips frame by frame.

Stills are also made to talk by opening the mouth, so that a moving mouth does not count as a smile.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from recipes.starter.clips import IGNORED, Clip, decode_image
from recipes.starter.faces.augment import augment
from recipes.starter.faces.faces import FaceSet
from sentiloc.model.extractors.expression import EMBEDDING_DIM, EMOTIONS
from sentiloc.model.extractors.face_crop import CROP_MARGIN, FACE_SIZE, crop_face
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

logger = logging.getLogger(__name__)

Grey = NDArray[np.uint8]
Encode = Callable[[NDArray[np.uint8]], FloatArray]
"""Grey faces (batch, 48, 48) -> embeddings (batch, 256)."""

# Appearances of a still face; the first is unchanged.
STILL_VERSIONS = 3
# Appearances of a clip; the first is unchanged.
CLIP_VERSIONS = 4
JUNK = 1200
# Share of the annotators' votes for one sentiment.
CLEAR_SHARE = 0.6
# In MediaPipe's order of the 52 blendshapes. The direction of gaze is left out, because it is not a sentiment.
_GAZE = slice(11, 19)
SPEAKING_SHAPES = np.delete(np.arange(52), [0, *range(_GAZE.start, _GAZE.stop)])
"""Blendshapes that are used: all except the neutral one and those of gaze."""
_BATCH = 64
# A margin for shifts, which would otherwise show the repeated border.
_CROP_WIDER = 1.25
# In the order of FER+: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt.
_SENTIMENT = np.array([NON_SENTIMENT, POSITIVE, IGNORED, NEGATIVE, NEGATIVE, NEGATIVE, NEGATIVE, NEGATIVE])


@dataclass(frozen=True, slots=True, kw_only=True)
class StillBank:
    """N still faces in V appearances: embeddings (N, V, 256), sentiment (N,).

    `junk` (M, 256) are embeddings of things that are no faces, as a detector's false alarms are.
    """

    embeddings: NDArray[np.float16]
    sentiment: NDArray[np.int64]
    junk: NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFaces:
    """One clip's faces over time: embeddings (V, N, 256), `seen` (N,)."""

    embeddings: NDArray[np.float16]
    seen: BoolArray


def open_encoder(network: Path) -> Encode:
    """The expression network as a function. It uses one core, because trainings run at the same time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def encode(faces: NDArray[np.uint8]) -> FloatArray:
        parts = [
            session.run(["embedding"], {name: faces[i : i + _BATCH, None].astype(np.float32) / 255})[0]
            for i in range(0, len(faces), _BATCH)
        ]
        return np.concatenate(parts)

    return encode


def face_reading(network: Path) -> FloatArray:
    """Rows (n, 256) that project an embedding to the outputs of the network's own heads, except for constants.

    The outputs are the logits of eight emotions and three sentiments, the blendshapes of brows, eyelids, cheeks, mouth
    and nose (not those of gaze), and whether there is a face. Missing heads are left out.
    """
    graph = onnx.load(str(network)).graph
    held = {
        tuple(x.dims): onnx.numpy_helper.to_array(x)
        for x in graph.initializer
        if x.dims[1:] == [EMBEDDING_DIM]
    }
    if (len(EMOTIONS), EMBEDDING_DIM) not in held:
        raise ValueError(f"{network} has no classifier of {len(EMOTIONS)} emotions")
    rows = [held[size, EMBEDDING_DIM] for size in (len(EMOTIONS), 3, 52, 1) if (size, EMBEDDING_DIM) in held]
    found = np.concatenate([row[SPEAKING_SHAPES] if len(row) == 52 else row for row in rows])
    return np.asarray(found, np.float32)


def file_digest(path: Path) -> str:
    """First 12 hex digits of a file's SHA-256, used as a cache key."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def sentiment_of_faces(faces: FaceSet) -> NDArray[np.int64]:
    """Class of each face (n,); IGNORED if annotators do not agree."""
    shares = np.stack(
        [faces.targets[:, c == _SENTIMENT].sum(1) for c in (NEGATIVE, POSITIVE, NON_SENTIMENT)], 1
    )
    return np.where(shares.max(1) >= CLEAR_SHARE, shares.argmax(1), IGNORED)


def still_bank(
    read: Callable[[], tuple[FaceSet, Grey]], encode: Encode, cache: Path, *, per_class: int, seed: int
) -> StillBank:
    """Embeddings of up to `per_class` clear faces of each sentiment; version 0 is the unchanged face.

    `read` returns the faces, and pictures (n, 48, 48) without a face.
    """

    def make() -> dict[str, Any]:
        (faces, nothing), rng = read(), np.random.default_rng(seed)
        sentiment = sentiment_of_faces(faces)
        pools = [np.flatnonzero(sentiment == c) for c in (NEGATIVE, POSITIVE, NON_SENTIMENT)]
        chosen = np.concatenate([rng.permutation(pool)[:per_class] for pool in pools])
        versions = [
            encode(faces.images[chosen] if v == 0 else _vary_stills(faces.images[chosen], rng))
            for v in range(STILL_VERSIONS)
        ]
        return {
            "embeddings": np.stack(versions, 1).astype(np.float16),
            "sentiment": sentiment[chosen],
            "junk": encode(nothing[rng.permutation(len(nothing))[:JUNK]]).astype(np.float16),
        }

    return StillBank(**cached(cache, make))


def clip_faces(clips: list[Clip], encode: Encode, cache: Path, *, seed: int) -> list[ClipFaces]:
    """Embeddings of every sampled frame of every clip; version 0 is clean, the others are augmented."""

    def make() -> dict[str, Any]:
        logger.info("embedding the faces of %d clips", len(clips))
        parts = [_embed_clip(clip, encode, seed * 1000 + i) for i, clip in enumerate(clips)]
        return {"embeddings": np.concatenate(parts, 1).astype(np.float16)}

    joined = cached(cache, make)["embeddings"]
    ends = np.cumsum([len(clip.seen) for clip in clips])
    return [
        ClipFaces(embeddings=joined[:, end - len(clip.seen) : end], seen=clip.seen)
        for clip, end in zip(clips, ends, strict=True)
    ]


def cached(store: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The arrays of an npz file, which is made first if it is missing."""
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        partial = store.with_suffix(".part.npz")
        np.savez(partial, **make())
        partial.rename(store)
    with np.load(store) as held:
        return {name: held[name] for name in held.files}


def talk(face: Grey, opening: float) -> Grey:
    """Open the mouth of a square face (side, side) or (side, side, 3): the jaw drops by `opening` (0 to 1), the mouth
    is dark.
    """
    side = face.shape[0]
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    # Where a mouth is in a crop with CROP_MARGIN, in shares of its side.
    mouth, jaw = 0.74 * side, float(opening) * 0.1 * side
    near = np.exp(-(((columns - side / 2) / (0.3 * side)) ** 2))
    drop = jaw * near / (1 + np.exp(-(rows - mouth - jaw / 2) * (48 / side)))
    source = (rows - drop).astype(np.float32)
    moved = cv2.remap(face, columns, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    width, height = 0.13 * side, max(0.7 * jaw, 0.1)
    inside = ((columns - side / 2) / width) ** 2 + ((rows - mouth - jaw / 2) / height) ** 2
    shade = 1 - 0.65 * min(1.0, 2 * opening) / (1 + np.exp((4 * (inside - 1)).clip(max=20)))
    shaded = moved * shade.reshape(*shade.shape, *[1] * (face.ndim - 2))
    return np.asarray(shaded.clip(0, 255), np.uint8)


def _vary_stills(images: Grey, rng: np.random.Generator) -> Grey:
    openings = rng.uniform(0, 1, len(images)) * (rng.random(len(images)) < 0.7)
    talking = np.stack([talk(i, o) if o > 0.05 else i for i, o in zip(images, openings, strict=True)])
    # `augment` draws from torch's global generator, but the result must depend only on our seed.
    torch.manual_seed(int(rng.integers(2**31)))
    parts = [
        augment(torch.from_numpy(talking[i : i + 512, None]).float() / 255, FACE_SIZE)[:, 0]
        for i in range(0, len(talking), 512)
    ]
    return (torch.cat(parts) * 255).round().byte().numpy()


def _embed_clip(clip: Clip, encode: Encode, seed: int) -> FloatArray:
    """(V, N, 256); frames without a face are zeros."""
    embeddings = np.zeros((CLIP_VERSIONS, len(clip.seen), 256), np.float32)
    if clip.seen.any():
        for version in range(CLIP_VERSIONS):
            rng = np.random.default_rng((seed, version))
            embeddings[version, clip.seen] = encode(_appearance(clip, version, rng))
    return embeddings


def _appearance(clip: Clip, version: int, rng: np.random.Generator) -> Grey:
    """Grey faces (seen frames, 48, 48): the same augmentation for the whole clip, with a little jitter."""
    look = int(rng.integers(2**31))
    wide = 1.0 if version == 0 else float(rng.uniform(1.0, 1.3))
    faces = []
    for jpeg, box in zip(clip.crops, clip.boxes, strict=True):
        if not jpeg:
            continue
        x, y, width, height = box + (rng.normal(0, 0.02, 4) * box[2:].max() if version else 0)
        image = cv2.cvtColor(decode_image(jpeg), cv2.COLOR_BGR2RGB)
        if wide > 1.0:
            image = cv2.resize(image, None, fx=wide, fy=1.0)
        margin = CROP_MARGIN if version == 0 else CROP_MARGIN * _CROP_WIDER
        size = FACE_SIZE if version == 0 else round(FACE_SIZE * _CROP_WIDER)
        face = crop_face(
            np.asarray(image, np.uint8), (x * wide, y, (x + width) * wide, y + height), margin, size
        )
        if version:
            # The same seed for every frame: a clip keeps one camera and one lamp.
            torch.manual_seed(look)
            face = _augment_centre(face)
        faces.append(face)
    return np.stack(faces)


def _augment_centre(face: Grey) -> Grey:
    """Augment a crop that is wider than needed, then keep its centre: shifts then show more face, not border."""
    side = face.shape[0]
    varied = augment(torch.from_numpy(face[None, None]).float() / 255, side)[0, 0]
    edge = (side - FACE_SIZE) // 2
    return (varied[edge : edge + FACE_SIZE, edge : edge + FACE_SIZE] * 255).round().byte().numpy()
