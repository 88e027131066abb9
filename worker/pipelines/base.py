"""Base classes of all pipelines: a loaded package, and the features of a video, from the cache if possible."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import ModelPackage
from sentiloc.model.results.result import ModelIdentity, Result, SegmentOptions
from sentiloc.model.results.sound import Sound, measure_sound
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import Extractor, Report
from sentiloc.worker.extraction.extraction import WHOLE, Extraction, Part, Run
from sentiloc.worker.extraction.stages import StageClock

if TYPE_CHECKING:
    from sentiloc.model.results.task_result import AnyResult
    from sentiloc.worker.extraction.feature_cache import FeatureCache
    from sentiloc.worker.extraction.stills import Stills

LOCALIZING_FROM = 0.95
"""Progress when all features are extracted."""
TimeRange = tuple[float, float | None]
"""Start and end in seconds, [start, end); end None means the video's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePipeline(ABC):
    """A loaded package with its networks. Only one thread may use it at a time."""

    package: ModelPackage
    device: str

    @abstractmethod
    def localize(
        self,
        path: Path,
        report: Report,
        options: SegmentOptions | None = None,
        time_range: TimeRange | None = None,
        audio_track: int | None = None,
        on_provisional: Callable[[Result], None] | None = None,
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> AnyResult:
        """Find what the package knows in a video file.

        Args:
            path: The video.
            report: Called with the stage and the progress, 0 to 1; its exceptions end the work.
            options: How segments are cut; None means `default_options`.
            time_range: The range to process in seconds, rounded to whole snippets; None means the whole video. Times in
                the result count from the video's start.
            audio_track: The number of the file's sound track to use, counted from 1; None chooses one.
            on_provisional: Called with provisional results during the extraction, if the pipeline supports them.
            stills: Gets a picture of each snippet, if the pipeline has pictures in colour and decodes the video.
            is_draft: Decode keyframes only. The result says so in a warning.

        Raises:
            SentilocError: The video cannot be read, the range is empty or begins after its end, there is no such sound
                track, or the package has no draft.
        """

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
        """The identity of the model, as results state it."""
        spec = self.package.spec
        return ModelIdentity(
            name=spec.name, version=spec.version, spec_hash=spec.spec_hash, device=self.device
        )

    @property
    def default_options(self) -> SegmentOptions:
        """The package's default options for cutting segments."""
        spec = self.package.spec
        return SegmentOptions(threshold=spec.confidence_threshold, labels=spec.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePipeline(PackagePipeline):
    """A pipeline for packages that use snippet features."""

    extractor: Extractor
    cache: FeatureCache | None = None

    def _extract(
        self,
        path: Path,
        report: Report,
        part: Part = WHOLE,
        audio_track: int | None = None,
        update: Callable[[Run], None] | None = None,
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> Extraction:
        """Read the features from the cache or extract them.

        Features of a part are neither cached nor taken from those of the whole video: the level of sound, warnings and
        shots depend on what is decoded. So the result does not depend on the cache.
        """
        if is_draft:
            require_draft(self.package.spec)
        extractor = replace(self.extractor, audio_track=audio_track, is_draft=is_draft)
        # A part is not cached, because its key would have to contain the part and would rarely be used again. Nor is it
        # looked up: the key needs every byte of the file.
        if self.cache is None or part != WHOLE:
            return extractor.extract(path, report, part, update, stills)
        # Imported here, because a single command without a cache should start fast.
        from sentiloc.worker.extraction.feature_cache import cache_key

        clock = StageClock()
        with clock.time("cache"):
            key = cache_key(path, extractor.identity)
            known = self.cache.load(key)
        extraction = known or extractor.extract(path, report, part, update, stills)
        if known is None:
            with clock.time("cache"):
                self.cache.store(key, extraction)
        return replace(extraction, timings={**extraction.timings, **clock.seconds})

    def _sound(self, extraction: Extraction) -> Sound | None:
        """The loudness of the sound track, if the video has one and the package uses it."""
        audio = extraction.features.audio
        if audio is None or not extraction.info.has_audio:
            return None
        return measure_sound(audio, self.package.spec.snippet_seconds)


def require_draft(spec: ModelSpec) -> None:
    """Raise `invalid_data` for a package that has no draft."""
    if not spec.can_draft:
        detail = f"The model {spec.name} needs every picture of a video, so it has no draft quality."
        raise SentilocError(ErrorCode.INVALID_DATA, detail)


def check_time_range(time_range: TimeRange | None, longest: float) -> None:
    """Raise `invalid_data` for a range that contains no time of a video of at most `longest` seconds."""
    if time_range is None:
        return
    start, end = time_range
    # Written with `not`, so that NaN is refused, too.
    if not 0 <= start < math.inf or (end is not None and not start < end < math.inf):
        detail = (
            f"the time range {_shown(start)} to {_shown(end)} s is empty or not finite"
            if end is not None
            else f"no start at {_shown(start)} s"
        )
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    # Before decoding, which would count snippets up to the start.
    if start >= longest:
        detail = f"the time range begins at {_shown(start)} s; a video has at most {_shown(longest)} s"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)


def check_begins_within(time_range: TimeRange | None, duration: float) -> None:
    """Raise `invalid_data` for a range that begins after the end of a video of `duration` seconds."""
    if time_range is not None and time_range[0] >= duration:
        detail = f"the time range begins at {_shown(time_range[0])} s; the video ends at {_shown(duration)} s"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)


def _shown(seconds: float) -> str:
    """Seconds with up to three decimals."""
    return f"{round(seconds, 3):.15g}"


def load_cache(config: RuntimeConfig) -> FeatureCache | None:
    """The feature cache, if the configuration has one."""
    if config.cache is None:
        return None
    from sentiloc.worker.extraction.feature_cache import FeatureCache

    return FeatureCache(config.cache.folder, config.cache.max_bytes, config.cache.max_age_seconds)
