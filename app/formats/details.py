"""What the report shows in addition to a result's segments: its curves, its warnings, its model, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sentiloc.model.results.strength import strength
from sentiloc.model.results.task_result import AnyResult
from sentiloc.model.results.warnings import ResultWarning
from sentiloc.model.segments import Segment

MOST_MOMENTS = 6
"""The number of best moments that a report shows with a picture."""
Moment = tuple[str, float]
"""A segment's label and its peak in seconds. Segments that are cut again keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Everything in a report besides the segments.

    `curves` has a value in [0, 1] per `step` seconds for each label. `pictures` are JPEG files. `model` names the
    weights, and `threshold` is the smallest confidence of a segment. `calibrated`: confidences are probabilities,
    measured on test videos.
    """

    step: float
    curves: Mapping[str, tuple[float, ...]]
    model: str
    threshold: float
    calibrated: bool = False
    warnings: tuple[ResultWarning, ...] = ()
    pictures: Mapping[Moment, bytes] = field(default_factory=dict)


def details_of(result: AnyResult, pictures: Mapping[Moment, bytes]) -> Details:
    """The details of a result, with those pictures of its best moments that exist."""
    return Details(
        step=result.curve.step,
        curves=strength(result),
        model=f"{result.model.name} {result.model.version}",
        threshold=result.options.threshold,
        calibrated=bool(result.calibration.calibrated),
        warnings=result.warnings,
        pictures=pictures,
    )


def best_moments(segments: Iterable[Segment]) -> list[Segment]:
    """The model's segments of the highest confidence, in that order."""
    # A person's segments have no probability that could be compared.
    own = (segment for segment in segments if segment.source == "model")
    return sorted(own, key=lambda segment: -segment.confidence)[:MOST_MOMENTS]


def moment_of(segment: Segment) -> Moment:
    """The label and the peak, by which a segment's picture is found."""
    return segment.label, segment.peak
