"""Synthetic videos with planted emotion segments. All features are random numbers.

A video has one emotion and one or two emotional segments. Each segment is a short keyframe core, in which the emotion
is strong, within a longer context, in which it is weak. In some videos the core is ambiguous: it shows what two
emotions have in common (crying, for sadness and joy), and only the context distinguishes them. Emotional segments of
every class share one direction (arousal). Without it, attention that is linear in the features (equation 7) could not
distinguish an emotion from none. The rest is noise, with distractors in a single modality. The annotated segment is
core and context.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.cten.items import EmotionItem

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedEmotions:
    """The parameters of the synthetic data; lengths in segments of `segment_seconds`."""

    classes: int = 6
    visual_dim: int = 48
    audio_dim: int = 32
    length: tuple[int, int] = (14, 22)
    stretches: tuple[int, int] = (1, 2)
    core: tuple[int, int] = (1, 2)
    context: tuple[int, int] = (2, 4)
    core_strength: float = 4.0
    context_strength: float = 1.6
    arousal: float = 1.0
    ambiguous: float = 0.5
    distractors: float = 1.5
    noise: float = 1.0
    segment_seconds: float = 1.0
    seed: int = 2023


def planted_emotions(world: PlantedEmotions, count: int, split: str) -> list[EmotionItem]:
    """`count` videos, the same for the same parameters, split name and index."""
    key = sum(split.encode())
    bases = {
        "visual": _directions(world, world.visual_dim, 1),
        "audio": _directions(world, world.audio_dim, 2),
    }
    return [
        _video(world, f"{split}-{i:04d}", np.random.default_rng((world.seed, key, i)), bases)
        for i in range(count)
    ]


def _directions(world: PlantedEmotions, dim: int, key: int) -> Floats:
    """Unit directions (3 M + 1, dim): each class's core, each class's context, what pairs share, and arousal."""
    rows = np.random.default_rng((world.seed, key)).normal(size=(3 * world.classes + 1, dim))
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _video(
    world: PlantedEmotions, name: str, rng: np.random.Generator, bases: dict[str, Floats]
) -> EmotionItem:
    label = int(rng.integers(world.classes))
    total = int(rng.integers(world.length[0], world.length[1] + 1))
    streams = {key: world.noise * rng.normal(size=(total, basis.shape[1])) for key, basis in bases.items()}
    spans = _place(world, total, rng)
    ambiguous = bool(rng.random() < world.ambiguous)
    for start, core_start, core_stop, stop in spans:
        for key, basis in bases.items():
            core = basis[2 * world.classes + label // 2] if ambiguous else basis[label]
            context = basis[world.classes + label] + world.arousal * basis[-1]
            streams[key][start:stop] += world.context_strength * rng.uniform(0.7, 1.3) * context
            core = core + world.arousal * basis[-1]
            streams[key][core_start:core_stop] += world.core_strength * rng.uniform(0.7, 1.3) * core
    for _ in range(int(rng.poisson(world.distractors))):
        key = ("visual", "audio")[int(rng.integers(2))]
        at = int(rng.integers(total))
        streams[key][at : at + 2] += world.core_strength * bases[key][int(rng.integers(world.classes))]
    return EmotionItem(
        name=name,
        visual=streams["visual"].astype(np.float32),
        audio=streams["audio"].astype(np.float32),
        class_index=label,
        segment_seconds=world.segment_seconds,
        segments=tuple((s * world.segment_seconds, e * world.segment_seconds) for s, _, _, e in spans),
    )


def _place(world: PlantedEmotions, total: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Stretches as (start, core start, core stop, stop), in order, apart by at least two segments."""
    count = int(rng.integers(world.stretches[0], world.stretches[1] + 1))
    room = total // count
    spans = []
    for index in range(count):
        core = int(rng.integers(world.core[0], world.core[1] + 1))
        before, after = (int(rng.integers(world.context[0], world.context[1] + 1)) for _ in range(2))
        size = before + core + after
        start = index * room + int(rng.integers(0, max(1, room - size - 2)))
        spans.append((start, start + before, start + before + core, start + size))
    return spans
