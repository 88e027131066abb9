"""The whole way of one video, in order: decode → features → scores → curve → segments → result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from sentiloc.app.settings import Settings
from sentiloc.model.package import ModelPackage, load_package
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import ModelIdentity, Result, SegmentOptions, make_curve
from sentiloc.model.results.sound import Sound, measure_sound
from sentiloc.model.results.task_result import AnyResult
from sentiloc.model.results.time_range import placed, within
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.decoder.frames import ROUNDING_SECONDS
from sentiloc.worker.extraction.extract import Extractor, Report, load_extractor
from sentiloc.worker.extraction.extraction import WHOLE, Extraction, Part
from sentiloc.worker.extraction.feature_cache import FeatureCache, cache_key
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.runtime.onnx_session import create_session, device_name

LOCALIZING_FROM = 0.95
CONTEXT = 192
"""Snippets before and after a part of a video that the network sees, too: what it says of one depends on others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePipeline:
    """One package's extractors, loaded and warm; used by one thread at a time."""

    package: ModelPackage
    extractor: Extractor
    device: str
    cache: FeatureCache | None = None

    @property
    def model_name(self) -> str:
        """Name of the package."""
        return self.package.spec.name

    @property
    def version(self) -> str:
        """Version of the package."""
        return self.package.spec.version

    @property
    def identity(self) -> ModelIdentity:
        """What a result says about where it comes from."""
        spec = self.package.spec
        return ModelIdentity(
            name=spec.name, version=spec.version, spec_hash=spec.spec_hash, device=self.device
        )

    @property
    def default_options(self) -> SegmentOptions:
        """How this package's segments are cut where nothing else is asked for."""
        spec = self.package.spec
        return SegmentOptions(threshold=spec.confidence_threshold, labels=spec.classes)

    def _extract(self, path: Path, report: Report, part: Part = WHOLE) -> Extraction:
        """From the cache, if it has the whole video; a part alone is not kept."""
        if self.cache is None:
            return self.extractor.extract(path, report, part)
        clock = StageClock()
        with clock.time("cache"):
            key = cache_key(path, self.extractor.identity)
            known = self.cache.load(key)
        extraction = known.cut(part) if known else self.extractor.extract(path, report, part)
        if known is None and part == WHOLE:
            with clock.time("cache"):
                self.cache.store(key, extraction)
        return replace(extraction, timings={**extraction.timings, **clock.seconds})

    def _sound(self, extraction: Extraction) -> Sound | None:
        """The loudness of a video that has sound, where the package listens."""
        audio = extraction.features.audio
        if audio is None or not extraction.info.has_audio:
            return None
        return measure_sound(audio, self.package.spec.snippet_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(PackagePipeline):
    """A package that finds sentiment, with its network."""

    localizer: Localizer

    def localize(self, path: Path, report: Report, options: SegmentOptions | None = None) -> Result:
        """Find the sentiment segments of a video file; raises `SentilocError` where that is not possible."""
        extraction = self._extract(path, lambda stage, done: report(stage, done * LOCALIZING_FROM))
        report("localizing", LOCALIZING_FROM)
        return self.localize_features(extraction, options or self.default_options)

    def localize_part(
        self, path: Path, report: Report, options: SegmentOptions, start: float, end: float | None
    ) -> AnyResult:
        """The same of [start, end) seconds, to whole snippets; only these and `CONTEXT` around them are decoded."""
        step = self.package.spec.snippet_seconds
        first = max(0, math.floor(start / step) - CONTEXT)
        part = Part(first, None if end is None else max(math.ceil(end / step) + CONTEXT, first + 1))
        extraction = self._extract(path, lambda stage, done: report(stage, done * LOCALIZING_FROM), part)
        report("localizing", LOCALIZING_FROM)
        total = snippet_count(extraction.info.duration, self.package.spec)
        found = self.localize_features(extraction, options)
        return within(placed(found, extraction.first, total), start, end)

    def localize_features(self, extraction: Extraction, options: SegmentOptions) -> Result:
        """Find the sentiment segments of a video of which only the features are left."""
        spec, features = self.package.spec, extraction.features
        clock = StageClock()
        with clock.time("localizing"):
            scores = self.localizer.score(features)
            without = self.localizer.score_without(features)
        curve = make_curve(scores, spec.snippet_seconds, tuple(features.face_present.tolist()), without)
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
        )


def snippet_count(duration: float, spec: ModelSpec) -> int:
    """Snippets of a video of `duration` seconds, as the decoder counts them."""
    frame = spec.snippet_seconds / spec.snippet_frames
    frames = math.ceil(round((duration - ROUNDING_SECONDS) / frame, 6))
    return max(1, math.ceil(frames / spec.snippet_frames))


def load_pipeline(
    settings: Settings, model_name: str | None = None, features_dir: Path | None = None
) -> Pipeline:
    """Load a package and everything that its spec needs; raises `SentilocError` that names what is missing.

    Features under way lie in `features_dir`, and so do those of videos seen before, if the settings want that.
    """
    if features_dir is not None:
        features_dir.mkdir(parents=True, exist_ok=True)
    package = load_package(model_name or settings.model, settings.models_dir)
    session = create_session(package.network, settings.device, settings.threads)
    return Pipeline(
        package=package,
        extractor=load_extractor(package.spec, settings, features_dir),
        localizer=Localizer(package, session),
        device=device_name(session),
        cache=load_cache(settings, features_dir),
    )


def load_cache(settings: Settings, folder: Path | None) -> FeatureCache | None:
    """Where features of videos seen before lie, if the settings want that."""
    if folder is None or not settings.feature_cache_bytes:
        return None
    return FeatureCache(folder, settings.feature_cache_bytes, settings.feature_cache_seconds)
