"""CTEN's input: two modalities of equally long segments. Numpy only; used by serving and training.

There are at most `MAX_SEGMENTS` of them, each the mean of its snippets. Or their number is fixed, as in the paper: then
the picture of a segment is one snippet of 16 successive frames, a random one in training, and its sound is all of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import ModelSpec

MAX_SEGMENTS = 256
"""Attention is computed between all pairs of segments, so longer videos get longer segments to bound the cost."""


class SegmentInputs(NamedTuple):
    """visual (T, visual_dim), audio (T, audio_dim), and the number of snippets per segment.

    choices (S, visual_dim): with a fixed number of segments, every snippet, of which a segment has one as its picture.
    """

    visual: FloatArray
    audio: FloatArray
    snippets: float
    choices: FloatArray | None = None


def modality_dims(spec: ModelSpec) -> tuple[int, int]:
    """Widths of the visual and audio modality under a spec; raises `spec_mismatch` if it lacks either.

    Visual: scene features, face features or both beside each other (a 3D ResNet counts as scene features).
    Audio: embedded (frames = 1, e.g. a 2D ResNet), or mean and deviation of each mel band over the snippet.
    """
    visual = (spec.visual.dim if spec.visual else 0) + (spec.face.dim if spec.face else 0)
    audio = 0 if spec.audio is None else spec.audio.mels * (1 if spec.audio.frames == 1 else 2)
    if not visual or not audio:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{spec.name}: CTEN needs a picture and a sound stream")
    return visual, audio


def segment_slices(snippets: int, segments: int | None, most: int = MAX_SEGMENTS) -> list[slice]:
    """The snippets of each segment of a video: those whose middle is in it. `segments`: their number, if fixed.

    A segment that contains no middle, in a video of fewer snippets than segments, has the snippet that it lies in.
    """
    if segments is None:
        # Rounded up, so that there are never more than `most` segments.
        size = -(-snippets // most)
        return [slice(start, min(start + size, snippets)) for start in range(0, snippets, size)]
    # In whole numbers: the middle (n + 1/2) of snippet n reaches the edge i S / T from n = (2 i S - T) / 2 T on.
    edges = [-(-(2 * i * snippets - segments) // (2 * segments)) for i in range(segments + 1)]
    nearest = [(2 * i + 1) * snippets // (2 * segments) for i in range(segments)]
    return [
        slice(first, stop) if first < stop else slice(near, near + 1)
        for first, stop, near in zip(edges, edges[1:], nearest, strict=False)
    ]


def draw_pictures(choices: FloatArray, segments: int, rng: np.random.Generator) -> FloatArray:
    """Section 3.1: the picture of each segment is a random one of its snippets; (S, dim) -> (T, dim)."""
    slices = segment_slices(len(choices), segments)
    return choices[[int(rng.integers(part.start, part.stop)) for part in slices]]


def segment_inputs(
    features: SnippetFeatures, spec: ModelSpec, most: int = MAX_SEGMENTS, segments: int | None = None
) -> SegmentInputs:
    """The modalities of a video under a spec, zero if a stream is absent.

    They are averaged to `most` segments, or to `segments`, whose picture is their middle snippet.
    """
    parts = []
    if spec.visual is not None:
        parts.append(_masked(features.visual, features.visual_present, spec.visual.dim))
    if spec.face is not None:
        parts.append(_masked(features.face, features.face_present, spec.face.dim))
    visual, audio = np.concatenate(parts, axis=1), _audio(features, modality_dims(spec)[1])
    if segments is not None:
        slices = segment_slices(len(features), segments)
        middle = visual[[(part.start + part.stop - 1) // 2 for part in slices]]
        sound = np.stack([audio[part].mean(axis=0) for part in slices])
        return SegmentInputs(middle, sound, len(features) / segments, visual)
    snippets = -(-len(features) // most)
    return SegmentInputs(_pooled(visual, snippets), _pooled(audio, snippets), snippets)


def _masked(values: FloatArray | None, present: BoolArray, dim: int) -> FloatArray:
    if values is None:
        return np.zeros((len(present), dim), np.float32)
    return (values * present[:, None]).astype(np.float32)


def _audio(features: SnippetFeatures, dim: int) -> FloatArray:
    values = features.audio
    if values is not None and values.ndim == 3 and values.shape[1] > 1:
        # The paper uses a 2D ResNet here; two moments of each band keep the input small.
        values = np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)
    elif values is not None:
        values = values.reshape(len(values), -1)
    return _masked(values, features.audio_present, dim)


def _pooled(values: FloatArray, count: int) -> FloatArray:
    """Means of each `count` neighbours; the last group may have fewer."""
    starts = np.arange(0, len(values), count)
    sizes = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts, axis=0) / sizes[:, None], np.float32)
