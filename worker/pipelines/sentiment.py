"""Sentiment of a video by an FSENet package: decode → features → scores → curve → segments → result."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnxruntime import InferenceSession

from sentiloc.model.package import ModelPackage
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Result, SegmentOptions, make_curve
from sentiloc.model.results.time_range import placed, within
from sentiloc.model.segments import snippet_span
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.request import ROUNDING_SECONDS
from sentiloc.worker.extraction.extract import Report, load_extractor
from sentiloc.worker.extraction.extraction import WHOLE, Extraction, Part
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.features.face import CLOSE_EVERY
from sentiloc.worker.pipelines.base import (
    LOCALIZING_FROM,
    FeaturePipeline,
    TimeRange,
    check_begins_within,
    check_time_range,
    load_cache,
)
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.runtime.onnx_session import create_session, device_name

if TYPE_CHECKING:
    from sentiloc.worker.extraction.stills import Stills
    from sentiloc.worker.pipelines.provisional import OnProvisional

# Measured with `python -m bench.time_range`: with more context the scores inside the part hardly change.
CONTEXT = 192
"""Context snippets before and after a part of a video, because a snippet's score depends on its neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentPipeline(FeaturePipeline):
    """A package that finds sentiment, with its network."""

    localizer: Localizer

    def localize(
        self,
        path: Path,
        report: Report,
        options: SegmentOptions | None = None,
        time_range: TimeRange | None = None,
        audio_track: int | None = None,
        on_provisional: OnProvisional | None = None,
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> Result:
        """Find sentiment. For a range, only that range and `CONTEXT` snippets on both sides are decoded."""
        check_time_range(time_range, self.extractor.limits.max_duration_seconds)
        part = WHOLE if time_range is None else self._part(time_range)
        update = None
        if on_provisional is not None:
            from sentiloc.worker.pipelines.provisional import ProvisionalRequest, ProvisionalScorer

            wanted = ProvisionalRequest(
                options=options or self.default_options, part=part, time_range=time_range
            )
            update = ProvisionalScorer(self, self.localizer, wanted, on_provisional).update
        extraction = self._extract(
            path,
            lambda stage, done: report(stage, done * LOCALIZING_FROM),
            part,
            audio_track,
            update,
            stills=stills,
            is_draft=is_draft,
        )
        check_begins_within(time_range, extraction.info.duration)
        report("localizing", LOCALIZING_FROM)
        found = self.localize_features(extraction, options or self.default_options)
        if time_range is None:
            return found
        total = snippet_count(extraction.info.duration, self.package.spec)
        return within(placed(found, extraction.first, total), *time_range)

    def _part(self, time_range: TimeRange) -> Part:
        step, (start, end) = self.package.spec.snippet_seconds, time_range
        first, stop = snippet_span(start, end, step)
        # Whole groups, so that full-size searches for faces fall on the same frames as in the whole video.
        first = max(0, first - CONTEXT) // CLOSE_EVERY * CLOSE_EVERY
        return Part(first, None if stop is None else math.ceil((stop + CONTEXT) / CLOSE_EVERY) * CLOSE_EVERY)

    def localize_features(self, extraction: Extraction, options: SegmentOptions) -> Result:
        """Find the sentiment segments of a video from its features alone."""
        spec, features = self.package.spec, extraction.features
        clock = StageClock()
        with clock.time("localizing"):
            # The scores without a stream show its contribution. They cost little compared with the features.
            scores, without = self.localizer.score_with_evidence(features)
        curve = make_curve(scores, spec.snippet_seconds, tuple(features.face_present.tolist()), without)
        if extraction.faces is not None:
            curve = replace(curve, **extraction.faces.as_curve())
        calibration = self.package.calibration
        return Result(
            video=extraction.info,
            faces_seen=extraction.faces_seen,
            segments=cut_segments(curve, extraction.info.duration, calibration, options)
            if len(features)
            else (),
            curve=curve,
            model=self.identity,
            timings={**extraction.timings, **clock.seconds},
            options=options,
            calibration=calibration,
            sound=self._sound(extraction),
            warnings=extraction.warnings,
            shots=extraction.shots,
        )


def snippet_count(duration: float, spec: ModelSpec) -> int:
    """Snippets of a video of `duration` seconds, as the decoder counts them."""
    frame = spec.snippet_seconds / spec.snippet_frames
    # Rounded first, because 0.64 * 25 is not exactly 16 in floating point.
    frames = math.ceil(round((duration - ROUNDING_SECONDS) / frame, 6))
    return max(1, math.ceil(frames / spec.snippet_frames))


def load_sentiment_pipeline(
    package: ModelPackage, config: RuntimeConfig, opening: Future[InferenceSession] | None = None
) -> SentimentPipeline:
    """Load what an FSENet package needs. Another thread may be `opening` its network already.

    Raises:
        SentilocError: Something is missing; the detail names it.
    """
    # These settings do not apply to training, whose features have to be those of the spec.
    extractor = replace(
        load_extractor(package.spec, config),
        face_looks=config.face_looks,
        visual_stride=config.visual_stride,
        visual_by_shots=config.visual_by_shots,
    )
    session = opening.result() if opening else create_session(package.network, config.device, config.threads)
    return SentimentPipeline(
        package=package,
        extractor=extractor,
        localizer=Localizer(package, session),
        device=device_name(session),
        cache=load_cache(config),
    )
