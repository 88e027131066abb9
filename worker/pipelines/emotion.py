"""Emotions of a video by a CTEN package: the same decoding and features as for sentiment, but another network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sentiloc.model.cten.detect import EmotionScores
from sentiloc.model.cten.inputs import modality_dims, segment_inputs, segment_slices
from sentiloc.model.package import ModelPackage
from sentiloc.model.results.result import Result, SegmentOptions
from sentiloc.model.results.task_result import EmotionResult, cut_emotions, make_series
from sentiloc.model.results.time_range import within
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import Report, load_extractor
from sentiloc.worker.extraction.extraction import WHOLE
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.pipelines.base import (
    LOCALIZING_FROM,
    FeaturePipeline,
    TimeRange,
    check_begins_within,
    check_time_range,
    load_cache,
)
from sentiloc.worker.pipelines.localizer import Session, check_ports, check_spec
from sentiloc.worker.runtime.onnx_session import create_session, device_name


class EmotionScorer:
    """CTEN's graph, after checking that it belongs to the package's spec."""

    def __init__(self, package: ModelPackage, session: Session) -> None:
        check_spec(package.spec, session)
        check_ports(session, {"visual": None, "audio": None}, ("video", "segments", "attention"))
        modality_dims(package.spec)
        self._spec, self._session = package.spec, session

    def score(self, features: SnippetFeatures) -> tuple[EmotionScores, float]:
        """Scores of a video, and the length of one of its segments in seconds."""
        inputs = segment_inputs(features, self._spec, segments=self._spec.segments)
        feeds = {"visual": inputs.visual[None], "audio": inputs.audio[None]}
        video, segments, attention = self._session.run(["video", "segments", "attention"], feeds)
        scores = EmotionScores(video=video[0], segments=segments[0], attention=attention[0])
        return scores, inputs.snippets * self._spec.snippet_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionPipeline(FeaturePipeline):
    """A package that recognises and localizes emotions."""

    scorer: EmotionScorer

    def localize(
        self,
        path: Path,
        report: Report,
        options: SegmentOptions | None = None,
        time_range: TimeRange | None = None,
        audio_track: int | None = None,
        on_provisional: Callable[[Result], None] | None = None,  # noqa: ARG002
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> EmotionResult:
        """Find emotions. The whole video is always decoded, because the emotion is that of the whole video."""
        check_time_range(time_range, self.extractor.limits.max_duration_seconds)
        extraction = self._extract(
            path,
            lambda stage, done: report(stage, done * LOCALIZING_FROM),
            WHOLE,
            audio_track,
            stills=stills,
            is_draft=is_draft,
        )
        check_begins_within(time_range, extraction.info.duration)
        report("localizing", LOCALIZING_FROM)
        options, clock = options or self.default_options, StageClock()
        classes, features = self.package.spec.classes, extraction.features
        with clock.time("localizing"):
            scores, step = self.scorer.score(features)
        columns = dict(zip(("attention_visual", "attention_audio"), scores.attention.T, strict=True))
        columns |= dict(zip(classes, scores.segments.T, strict=True))
        # CTEN's segments are longer than snippets in long videos; a segment has a face if one of its
        # snippets has.
        parts = segment_slices(len(features), self.package.spec.segments)
        faces = tuple(bool(features.face_present[part].any()) for part in parts)
        curve = make_series(columns, step, faces)
        probabilities = {name: round(float(p), 4) for name, p in zip(classes, scores.video, strict=True)}
        calibration, duration = self.package.calibration, extraction.info.duration
        found = EmotionResult(
            video=extraction.info,
            faces_seen=extraction.faces_seen,
            segments=cut_emotions(curve, probabilities, duration, calibration, options),
            curve=curve,
            model=self.identity,
            timings={**extraction.timings, **clock.seconds},
            options=options,
            calibration=calibration,
            sound=self._sound(extraction),
            warnings=extraction.warnings,
            probabilities=probabilities,
        )
        return found if time_range is None else within(found, *time_range)


def load_emotion_pipeline(package: ModelPackage, config: RuntimeConfig) -> EmotionPipeline:
    """Load what a CTEN package needs; raises a `SentilocError` that names what is missing."""
    session = create_session(package.network, config.device, config.threads)
    return EmotionPipeline(
        package=package,
        extractor=load_extractor(package.spec, config),
        scorer=EmotionScorer(package, session),
        device=device_name(session),
        cache=load_cache(config),
    )
