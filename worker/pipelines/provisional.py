"""Provisional segments of a video while its features are still being extracted. The full video may change them.

Scored windows are kept, so each update only scores new windows and the unfinished one at the end. The interval between
updates grows with the video and with their cost, so that they take a small share of the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Result, SegmentOptions, make_curve
from sentiloc.model.results.time_range import placed, within
from sentiloc.model.segments import FrameScores
from sentiloc.worker.extraction.extraction import Part, Run
from sentiloc.worker.pipelines.base import PackagePipeline, TimeRange
from sentiloc.worker.pipelines.localizer import OVERLAP, WINDOW, Localizer, blending_weights

FIRST_UPDATE = 32
"""Snippets (20 s of video) before the first update: with fewer, the network is unreliable."""
# The next update waits for 5 % more video, so their number grows with the logarithm of its length.
_GROWTH = 1.05
# Updates take at most this share of the time.
_MOST_SHARE = 1 / 40
OnProvisional = Callable[[Result], None]
"""Called with the result so far, which ends at its `scored_until`."""


class ProgressiveScores:
    """Scores of a growing video, blended from windows at fixed positions as in `Localizer.score`."""

    def __init__(self, localizer: Localizer) -> None:
        self._localizer = localizer
        columns = len(localizer.spec.classes) + 1
        self._sums = np.zeros((0, columns + 1), np.float32)
        self._weights = np.zeros(0, np.float32)
        self._next = 0

    def blended(self, run: Run, total: int) -> FrameScores:
        """Scores of the first `total` snippets, whose features the run must have."""
        grown = total - len(self._weights)
        self._sums = np.pad(self._sums, ((0, grown), (0, 0)))
        self._weights = np.pad(self._weights, (0, grown))
        # Complete windows never change, so they are scored once and kept.
        while self._next + WINDOW <= total:
            self._add(self._sums, self._weights, run, slice(self._next, self._next + WINDOW), is_last=False)
            self._next += WINDOW - OVERLAP
        # Copies: the last, incomplete window must not enter the kept sums.
        sums, weights = self._sums.copy(), self._weights.copy()
        self._add(sums, weights, run, slice(max(0, total - WINDOW), total), is_last=True)
        blended = sums / weights[:, None]
        return FrameScores(scores=blended[:, :-1], saliency=blended[:, -1])

    def _add(
        self,
        sums: np.ndarray[tuple[int, int], np.dtype[np.float32]],
        weights: np.ndarray[tuple[int], np.dtype[np.float32]],
        run: Run,
        window: slice,
        *,
        is_last: bool,
    ) -> None:
        found = self._localizer.score(run.window(window.start, window.stop))
        # Unless this window is the last one, the next window scores the snippets after it.
        weight = blending_weights(window, window.stop if is_last else window.stop + 1)
        rows = np.concatenate([found.scores, found.saliency[:, None]], axis=1)
        sums[window] += rows * weight[:, None]
        weights[window] += weight


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionalRequest:
    """The cut options and the part of the video for which segments are published."""

    options: SegmentOptions
    part: Part
    time_range: TimeRange | None


class ProvisionalScorer:
    """Scores a run from time to time and publishes what it has found so far."""

    def __init__(
        self,
        pipeline: PackagePipeline,
        localizer: Localizer,
        wanted: ProvisionalRequest,
        publish: OnProvisional,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline, self._wanted, self._publish, self._clock = pipeline, wanted, publish, clock
        self._scores = ProgressiveScores(localizer)
        self._next_total = FIRST_UPDATE
        self._not_before = 0.0

    def update(self, run: Run) -> None:
        """Publish the segments so far, if an update is due."""
        if run.snippets < self._next_total or self._clock() < self._not_before:
            return
        total = run.ready
        if total < self._next_total or run.info is None:
            return
        began = self._clock()
        self._publish(self._result(run, total))
        ended = self._clock()
        # At least 8 snippets, so that short videos do not get an update for every snippet.
        self._next_total = max(total + FIRST_UPDATE // 4, int(total * _GROWTH))
        # Forty times the cost of this update, so updates take at most 2.5 % of the time.
        self._not_before = ended + (ended - began) / _MOST_SHARE

    def _result(self, run: Run, total: int) -> Result:
        spec, info = self._pipeline.package.spec, run.info
        assert info is not None  # noqa: S101
        step, first = spec.snippet_seconds, self._wanted.part.first
        faces = run.faces_present(total)
        curve = make_curve(self._scores.blended(run, total), step, tuple(faces.tolist()), {})
        until = (first + total) * step
        # The duration in the header may be missing or too short.
        seen = replace(info, duration=max(info.duration, until))
        found = Result(
            video=seen,
            faces_seen=int(faces.sum()),
            segments=(),
            curve=curve,
            model=self._pipeline.identity,
            timings=dict(run.clock.seconds),
            options=self._wanted.options,
            calibration=self._pipeline.package.calibration,
            provisional=True,
            scored_until=round(until, 3),
        )
        calibration, options = found.calibration, found.options
        if self._wanted.time_range is None:
            segments = cut_segments(curve, total * step, calibration, options)
            return replace(found, segments=segments)
        return within(placed(found, first, first + total), *self._wanted.time_range)
