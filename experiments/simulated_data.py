"""Simulated features on TSL300's real timelines. The simulation is seeded, and its specification is fixed by a hash.

The feature sizes are the published ones (visual 1024, audio 512, face 256). Annotations are real: durations, frame
rates, segments, split and the noisy points. Only the features are simulated. Each stream is

    x_t = sentiment + speaker + shot + drift + correlated noise, each in random directions of its own, + white noise

`SimulationSpec` states what makes the task hard. Metrics measured on it are not results on TSL300.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.fsenet.datasets import Annotations, Problems, read_annotations, read_split
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import CLASSES, SNIPPET_FRAMES

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

# The number of ways in which each sentiment shows, so that no single direction of the features is a sentiment.
STYLES = 3
SENTIMENT_RANK = len(CLASSES) * STYLES
SPEAKER_RANK, SHOT_RANK, DRIFT_RANK, NOISE_RANK = 12, 12, 4, 12
EXTRA_RANK = 2  # arousal (either sentiment), and whether the person on screen is speaking to us


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """How one stream shows sentiment. The unit of amplitudes is the white noise along one direction."""

    dim: int
    strength: float
    expressed: float
    bursts_per_minute: float
    lag_seconds: float
    shot_scale: float
    speaker_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSpec:
    """Every parameter of the simulation. Times are in seconds."""

    seed: int = 20260316
    visual: StreamSpec = StreamSpec(
        dim=1024,
        strength=2.4,
        expressed=0.6,
        bursts_per_minute=2.0,
        lag_seconds=0.6,
        shot_scale=2.0,
        speaker_scale=0.3,
    )
    audio: StreamSpec = StreamSpec(
        dim=512,
        strength=2.1,
        expressed=0.7,
        bursts_per_minute=2.5,
        lag_seconds=0.3,
        shot_scale=0.5,
        speaker_scale=1.0,
    )
    face: StreamSpec = StreamSpec(
        dim=256,
        strength=1.8,
        expressed=0.7,
        bursts_per_minute=1.0,
        lag_seconds=0.3,
        shot_scale=0.5,
        speaker_scale=1.5,
    )
    rise_seconds: float = 1.5
    silent_gain: float = 0.2
    arousal: float = 0.5
    shot_seconds: float = 9.0
    speakers: int = 3
    speaker_sentiment: float = 0.5
    drift_seconds: float = 40.0
    drift_scale: float = 1.0
    noise_correlation: float = 0.6
    noise_scale: float = 1.0
    burst_seconds: tuple[float, float] = (2.0, 7.0)
    burst_strength: tuple[float, float] = (0.7, 1.3)
    burst_kept_if_speaking: float = 0.2
    speaking_in_segment: float = 0.85
    speaking_elsewhere: float = 0.35
    speaking_seconds: float = 6.0
    speaking_strength: float = 1.0
    face_seen_seconds: float = 12.0
    face_gone_seconds: float = 4.0
    face_seen_if_speaking: float = 0.95
    faceless_videos: float = 0.05

    @property
    def spec_hash(self) -> str:
        """SHA-256 (first 16 hex digits) over all numbers."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


class Timeline(NamedTuple):
    """One video's snippet centres (T,) in seconds, its end, and its annotated segments."""

    times: Floats
    duration: float
    segments: Sequence[SegmentLabel]


def load_simulated(folder: Path, split: str, spec: SimulationSpec) -> list[Item]:
    """Every video of a split: real labels, simulated features.

    The outcome depends only on the spec, not on the order.
    """
    problems = Problems()
    labels = read_annotations(folder, None, problems)
    problems.check()
    return [simulate_item(name, labels, spec) for name in read_split(folder, split)]


def features_hash(items: Sequence[Item]) -> str:
    """SHA-256 (first 16 hex digits) over names, labels and features: identifies the simulated data."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr((item.name, item.fps, item.points, item.segments)).encode())
        for stream in ("visual", "audio", "face", "face_present"):
            digest.update(np.ascontiguousarray(getattr(item.features, stream)).tobytes())
    return digest.hexdigest()[:16]


def simulate_item(name: str, labels: Annotations, spec: SimulationSpec) -> Item:
    """One video with simulated features; its random generator is seeded by its name."""
    fps, duration = labels.fps[name], labels.durations[name]
    snippets = max(1, int(duration * fps / SNIPPET_FRAMES))
    times = (np.arange(snippets, dtype=np.float64) + 0.5) * (SNIPPET_FRAMES / fps)
    rng = np.random.default_rng((spec.seed, zlib.crc32(name.encode())))
    timeline = Timeline(times, duration, labels.segments.get(name, ()))
    points = {
        PointLabel(min(int(frame / SNIPPET_FRAMES), snippets - 1), index)
        for frame, index in labels.points.get(name, ())
    }
    return Item(
        name=name,
        features=simulate_features(timeline, spec, rng),
        fps=fps,
        points=tuple(sorted(points)),
        segments=tuple(timeline.segments),
    )


def simulate_features(timeline: Timeline, spec: SimulationSpec, rng: Generator) -> SnippetFeatures:
    """Draw the three streams of one video."""
    speaking = _speaking(timeline, spec, rng)
    present = _face_present(timeline, speaking, spec, rng)
    shot: Indices = np.cumsum(rng.random(timeline.times.size) < _step(timeline) / spec.shot_seconds)
    speaker: Indices = rng.integers(spec.speakers, size=shot[-1] + 1)[shot]
    drawn = {
        name: _stream(name, timeline, (speaking, shot, speaker), spec, rng)
        for name in ("visual", "audio", "face")
    }
    drawn["face"][~present] = 0.0
    everywhere = np.ones(timeline.times.size, dtype=np.bool_)
    return SnippetFeatures(**drawn, visual_present=everywhere, audio_present=everywhere, face_present=present)


def _stream(
    name: str,
    timeline: Timeline,
    setting: tuple[Bools, Indices, Indices],
    spec: SimulationSpec,
    rng: Generator,
) -> Singles:
    """One stream (T, dim): latent coordinates (T, rank) on random unit directions, and white noise."""
    stream: StreamSpec = getattr(spec, name)
    speaking, shot, speaker = setting
    size = timeline.times.size
    sentiment = _expression(timeline, stream, spec, rng) + _bursts(timeline, speaking, stream, spec, rng)
    arousal = spec.arousal * sentiment.sum(axis=1, keepdims=True)
    sentiment += spec.speaker_sentiment * rng.normal(size=(spec.speakers, SENTIMENT_RANK))[speaker]
    address = spec.speaking_strength * speaking[:, None] * (name == "face")
    parts = [
        sentiment,
        arousal,
        address,
        stream.speaker_scale * rng.normal(size=(spec.speakers, SPEAKER_RANK))[speaker],
        stream.shot_scale * rng.normal(size=(shot[-1] + 1, SHOT_RANK))[shot],
        spec.drift_scale
        * _autoregressive(size, DRIFT_RANK, np.exp(-_step(timeline) / spec.drift_seconds), rng),
        spec.noise_scale * _autoregressive(size, NOISE_RANK, spec.noise_correlation, rng),
    ]
    features: Singles = np.concatenate(parts, axis=1).astype(np.float32) @ directions(name, spec)
    features += rng.standard_normal(features.shape, dtype=np.float32)
    return features


def directions(name: str, spec: SimulationSpec) -> Singles:
    """Random unit directions (rank, dim) of a stream's latents, the same in every video."""
    stream: StreamSpec = getattr(spec, name)
    rank = SENTIMENT_RANK + EXTRA_RANK + SPEAKER_RANK + SHOT_RANK + DRIFT_RANK + NOISE_RANK
    rng = np.random.default_rng((spec.seed, zlib.crc32(name.encode()), rank))
    rows = rng.normal(size=(rank, stream.dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def _expression(timeline: Timeline, stream: StreamSpec, spec: SimulationSpec, rng: Generator) -> Floats:
    """What segments show in a stream (T, classes × styles): each has one style, and some show almost nothing."""
    shown = np.zeros((timeline.times.size, SENTIMENT_RANK))
    for segment in timeline.segments:
        gain = rng.uniform(0.7, 1.3) if rng.random() < stream.expressed else rng.uniform(0, spec.silent_gain)
        column = segment.class_index * STYLES + int(rng.integers(STYLES))
        lag = rng.normal(0, stream.lag_seconds)
        span = (segment.start + lag, segment.end + lag)
        shown[:, column] += stream.strength * gain * _envelope(timeline.times, *span, spec.rise_seconds)
    return shown


def _bursts(
    timeline: Timeline, speaking: Bools, stream: StreamSpec, spec: SimulationSpec, rng: Generator
) -> Floats:
    """Distractors: moments that look like sentiment in this stream alone, rarely during speech to the viewer."""
    shown = np.zeros((timeline.times.size, SENTIMENT_RANK))
    for _ in range(int(rng.poisson(stream.bursts_per_minute * timeline.duration / 60))):
        start = rng.uniform(0, timeline.duration)
        span = (start, start + rng.uniform(*spec.burst_seconds))
        kept = rng.random() < (spec.burst_kept_if_speaking if speaking[_index(timeline, start)] else 1.0)
        gain = stream.strength * rng.uniform(*spec.burst_strength)
        column = int(rng.integers(SENTIMENT_RANK))
        shown[:, column] += kept * gain * _envelope(timeline.times, *span, spec.rise_seconds)
    return shown


def _envelope(times: Floats, start: float, end: float, rise: float) -> Floats:
    """0 outside, 1 inside, and linear in between over `rise` seconds around each boundary."""
    edge = np.minimum(times - start, end - times) / rise + 0.5
    return np.clip(edge, 0.0, 1.0)


def _speaking(timeline: Timeline, spec: SimulationSpec, rng: Generator) -> Bools:
    """Whether the person on screen speaks to the camera: mostly within sentiment, about a third of the time
    elsewhere.
    """
    spells = np.cumsum(rng.random(timeline.times.size) < _step(timeline) / spec.speaking_seconds)
    speaking: Bools = (rng.random(spells[-1] + 1) < spec.speaking_elsewhere)[spells]
    for segment in timeline.segments:
        inside = (timeline.times >= segment.start) & (timeline.times < segment.end)
        speaking[inside] = rng.random() < spec.speaking_in_segment
    return speaking


def _face_present(timeline: Timeline, speaking: Bools, spec: SimulationSpec, rng: Generator) -> Bools:
    """Where a face is seen: in intervals, more often while it speaks, and in some videos never."""
    mean = spec.face_seen_seconds * spec.face_gone_seconds / (spec.face_seen_seconds + spec.face_gone_seconds)
    spells = np.cumsum(rng.random(timeline.times.size) < _step(timeline) / mean)
    share = spec.face_seen_seconds / (spec.face_seen_seconds + spec.face_gone_seconds)
    seen: Bools = (rng.random(spells[-1] + 1) < share)[spells]
    seen |= speaking & (rng.random(spells[-1] + 1) < spec.face_seen_if_speaking)[spells]
    return seen if rng.random() >= spec.faceless_videos else np.zeros_like(seen)


def _autoregressive(size: int, rank: int, correlation: float, rng: Generator) -> Floats:
    """Stationary AR(1) series (size, rank) with unit variance."""
    steps = rng.normal(size=(size, rank))
    steps[1:] *= np.sqrt(1 - correlation**2)
    return np.asarray(lfilter([1.0], [1.0, -correlation], steps, axis=0))


def _step(timeline: Timeline) -> float:
    return 2 * float(timeline.times[0])


def _index(timeline: Timeline, seconds: float) -> int:
    return min(int(seconds / _step(timeline)), timeline.times.size - 1)
