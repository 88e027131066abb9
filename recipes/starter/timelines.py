"""Timelines of sentiment and point labels, drawn from TSL300's statistics.

Times are in seconds. A timeline is a list of segments in order without overlap; the time between them is neutral.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import NEGATIVE, POSITIVE

SHORTEST, LONGEST = 1.0, 30.0
LONGEST_GAP = 40.0
_LABELS = {"n": NEGATIVE, "p": POSITIVE}


class Span(NamedTuple):
    """A true segment: start and end in seconds, and its class index."""

    start: float
    end: float
    label: int


class Point(NamedTuple):
    """One point label: seconds and class index."""

    time: float
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStatistics:
    """Empirical distributions: segment lengths and gaps (seconds), and how often labels repeat or are positive."""

    lengths: FloatArray
    gaps: FloatArray
    repeat: float
    positive: float


def read_statistics(annotations: Path) -> TimelineStatistics:
    """Statistics of TSL300's `videosenti_gt.json`; lengths are limited to 1-30 s, gaps to 40 s."""
    database = json.loads(annotations.read_text(encoding="utf-8"))["database"]
    videos = [_spans(video["annotations"]) for video in database.values()]
    spans = [span for video in videos for span in video]
    pairs = [pair for video in videos for pair in pairwise(video)]
    return TimelineStatistics(
        lengths=np.array(
            [s.end - s.start for s in spans if SHORTEST <= s.end - s.start <= LONGEST], np.float32
        ),
        gaps=np.array([min(max(b.start - a.end, 0.0), LONGEST_GAP) for a, b in pairs], np.float32),
        repeat=float(np.mean([a.label == b.label for a, b in pairs])),
        positive=float(np.mean([s.label == POSITIVE for s in spans])),
    )


def sample_timeline(
    rng: np.random.Generator, statistics: TimelineStatistics, duration: float, *, gap_scale: float = 1.0
) -> list[Span]:
    """Segments within [0, duration) seconds; `gap_scale` below 1 packs them closer than TSL300 does."""
    return list(_walk(rng, statistics, duration, gap_scale))


def draw_points(rng: np.random.Generator, spans: list[Span], *, outside: float = 0.05) -> list[Point]:
    """One point per segment, as annotators place them: around its middle, and sometimes outside."""
    return [_draw_point(rng, span, rng.random() < outside) for span in spans]


def _spans(annotations: list[dict[str, list[str] | str]]) -> list[Span]:
    return sorted(
        Span(float(item["segment"][0]), float(item["segment"][1]), _LABELS[str(item["label"])])
        for item in annotations
    )


def _walk(
    rng: np.random.Generator, statistics: TimelineStatistics, duration: float, gap_scale: float
) -> Iterator[Span]:
    label = POSITIVE if rng.random() < statistics.positive else NEGATIVE
    # A video may begin anywhere within a gap.
    time = float(rng.choice(statistics.gaps)) * gap_scale * rng.random()
    while True:
        length = float(rng.choice(statistics.lengths))
        if time + length > duration:
            return
        yield Span(time, time + length, label)
        time += length + float(rng.choice(statistics.gaps)) * gap_scale
        # Negative is 0, positive is 1.
        label = label if rng.random() < statistics.repeat else 1 - label


def _draw_point(rng: np.random.Generator, span: Span, beside: bool) -> Point:
    length = span.end - span.start
    if beside:
        offset = length / 2 + rng.exponential(1.0)
        time = (span.start + span.end) / 2 + offset * rng.choice((-1.0, 1.0))
        return Point(max(float(time), 0.0), span.label)
    # The end itself would fall into the next snippet.
    time = np.clip(rng.normal((span.start + span.end) / 2, length / 5), span.start, span.end - 1e-3)
    return Point(float(time), span.label)
