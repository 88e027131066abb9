"""The effect of a cheaper visual stream on its features, on the scores, and on the segments.

It is cheaper with another precision of the visual network, or if that network reads only some of the snippets.

Both runs share everything except the visual network: sound, faces, FSENet, calibration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.evaluation.metrics import segment_tiou
from sentiloc.model.package import load_package
from sentiloc.model.results.result import Result, SegmentOptions
from sentiloc.model.segments import FloatArray, Segment
from sentiloc.model.weights import sha256
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import Extractor, load_extractor
from sentiloc.worker.extraction.extraction import Extraction
from sentiloc.worker.pipelines.sentiment import SentimentPipeline, load_sentiment_pipeline
from sentiloc.worker.precision.effect import FeatureEffect, feature_effect
from sentiloc.worker.runtime.device import Precision

SAME_TIOU = 0.5
"""Segments of the two runs count as the same segment if they share at least this part of their time."""
Pair = tuple[Segment, Segment]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEffect:
    """Segments with the full and with the cheaper visual stream, and how they match.

    `kept` and `relabelled` share at least half of their time with one of the other list. The changes of tIoU and
    confidence are those of the kept segments; None without any.
    """

    before: int
    after: int
    kept: int
    relabelled: int
    tiou: float | None
    confidence_largest: float | None
    confidence_mean: float | None

    @property
    def vanished(self) -> int:
        """Segments of the full stream that the cheaper one does not find."""
        return self.before - self.kept - self.relabelled

    @property
    def appeared(self) -> int:
        """Segments that the full stream does not find."""
        return self.after - self.kept - self.relabelled

    def to_dict(self) -> dict[str, Any]:
        """All values, including derived ones."""
        return asdict(self) | {"vanished": self.vanished, "appeared": self.appeared}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect over `videos` videos with `snippets` snippets; `score_*` refer to the three class scores in [0, 1]."""

    videos: int
    snippets: int
    features: FeatureEffect
    score_largest: float
    score_mean: float
    segments: SegmentEffect

    def to_dict(self) -> dict[str, Any]:
        """All values, ready for JSON."""
        return asdict(self) | {"segments": self.segments.to_dict()}


def load_both(config: RuntimeConfig, model: str, precision: Precision) -> tuple[SentimentPipeline, Extractor]:
    """Load the pipeline that reads every snippet in float32, and the visual extractor in `precision`, on one device.

    The extractor reads the snippets that `config` says.

    Raises `spec_mismatch` for a package that has no visual stream, `device_unavailable` for a precision that this
    device or processor does not have, `weights_missing` and what `load_sentiment_pipeline` raises.
    """
    package = load_package(model, config.models_dir)
    spec = package.spec
    if spec.visual is None or spec.task != "sentiment":
        detail = f"{model} finds no sentiment in pictures: a precision of the visual network changes nothing"
        raise SentilocError(ErrorCode.SPEC_MISMATCH, detail)
    # Sound and faces are shared by both runs, so the second extractor skips them.
    pictures = replace(spec, audio=None, face=None)
    other = replace(
        load_extractor(pictures, replace(config, precision=precision)),
        visual_stride=config.visual_stride,
        visual_by_shots=config.visual_by_shots,
    )
    full = replace(config, precision="float32", visual_stride=1, visual_by_shots=False)
    return load_sentiment_pipeline(package, full), other


def compare(
    pipeline: SentimentPipeline,
    other: Extractor,
    videos: Sequence[Path],
    options: SegmentOptions | None = None,
) -> Effect:
    """Run videos through the pipeline with its own visual features, then with those of `other`, and compare.

    Raises `invalid_data` for the videos on which an 8-bit network was calibrated, because its error is too small on
    them. Errors about a video name that video.
    """
    check_held_out(other, videos)
    exact, ours = list[FloatArray](), list[FloatArray]()
    results = list[tuple[Result, Result]]()
    for video in videos:
        extraction, visual = _extract(video, pipeline, other)
        exact.append(np.asarray(extraction.features.visual))
        ours.append(visual)
        changed = replace(extraction, features=replace(extraction.features, visual=visual))
        chosen = options or pipeline.default_options
        results.append(
            (pipeline.localize_features(extraction, chosen), pipeline.localize_features(changed, chosen))
        )
    scores = np.concatenate([np.abs(_scores(before) - _scores(after)) for before, after in results])
    return Effect(
        videos=len(videos),
        snippets=len(scores),
        features=feature_effect(np.concatenate(exact), np.concatenate(ours)),
        score_largest=float(scores.max()),
        score_mean=float(scores.mean()),
        segments=segment_effect([(before.segments, after.segments) for before, after in results]),
    )


def check_held_out(other: Extractor, videos: Sequence[Path]) -> None:
    """Raise `invalid_data` if there is no video, or one on which the network was calibrated."""
    learned = other.visual and other.visual.calibrated_on
    known = [video.name for video in videos if learned and video.is_file() and sha256(video) in learned]
    if known or not videos:
        detail = f"the 8-bit network was calibrated on these videos, compare it on others: {', '.join(known)}"
        raise SentilocError(ErrorCode.INVALID_DATA, detail if known else "no video was given to compare on")


def segment_effect(lists: Sequence[tuple[Sequence[Segment], Sequence[Segment]]]) -> SegmentEffect:
    """Compare each video's segments with the full and with the cheaper visual stream."""
    pairs = [pair for before, after in lists for pair in pair_segments(before, after)]
    kept = [pair for pair in pairs if pair[0].label == pair[1].label]
    moved = [abs(one.confidence - other.confidence) for one, other in kept]
    return SegmentEffect(
        before=sum(len(before) for before, _ in lists),
        after=sum(len(after) for _, after in lists),
        kept=len(kept),
        relabelled=len(pairs) - len(kept),
        tiou=float(np.mean([_tiou([one], [other])[0, 0] for one, other in kept])) if kept else None,
        confidence_largest=max(moved, default=None),
        confidence_mean=float(np.mean(moved)) if moved else None,
    )


def pair_segments(before: Sequence[Segment], after: Sequence[Segment]) -> Iterator[Pair]:
    """Pair the segments that share most of their time, at least half of it. Each is in at most one pair."""
    if not before or not after:
        return
    tiou = _tiou(before, after)
    while tiou.max() >= SAME_TIOU:
        one, other = divmod(int(tiou.argmax()), len(after))
        yield before[one], after[other]
        # Both segments are now paired; the loop ends when no pair is left.
        tiou[one], tiou[:, other] = 0.0, 0.0


def _tiou(
    before: Sequence[Segment], after: Sequence[Segment]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    times = [np.array([(segment.start, segment.end) for segment in part]).T for part in (before, after)]
    return segment_tiou(*times[0], *times[1])


def _extract(video: Path, pipeline: SentimentPipeline, other: Extractor) -> tuple[Extraction, FloatArray]:
    try:
        extraction = pipeline.extractor.extract(video, _silent)
        visual = other.extract(video, _silent).features.visual
    except SentilocError as error:
        raise SentilocError(error.code, f"{video.name}: {error.detail}") from error
    return extraction, np.asarray(visual)


def _silent(_stage: str, _done: float) -> None:
    pass


def _scores(result: Result) -> FloatArray:
    return result.curve.frame_scores().scores
