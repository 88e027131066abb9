"""The Python API: load a model package once, localize any number of videos, read or export the results.

Formats and the results of other tasks are imported where they are used: a command that prints JSON needs none.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiloc.model.arguments import (
    flag,
    instance,
    number,
    pair_of_seconds,
    place,
    refused,
    text,
    whole_number,
)
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import UnknownPackageError, list_packages, load_package, shipped_models_dir
from sentiloc.model.results.changed import changed_options
from sentiloc.model.results.result import Curve, ModelIdentity, SegmentOptions
from sentiloc.model.results.warnings import ResultWarning
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.worker.config import DEFAULT_MODEL, CacheConfig, RuntimeConfig, ThumbnailConfig
from sentiloc.worker.pipelines.registry import open_pipeline
from sentiloc.worker.runtime.device import Device

if TYPE_CHECKING:
    from sentiloc.app.formats import Format
    from sentiloc.app.formats.details import Details
    from sentiloc.app.formats.timeline import Timeline, TimelineOptions
    from sentiloc.model.results.task_result import AnyResult, SeriesCurve
    from sentiloc.worker.pipelines.base import PackagePipeline, TimeRange

Progress = Callable[[str, float], None]
"""Called with the stage ("decoding", "extracting", "localizing") and the total progress, 0 to 1."""


_DEEPEST_INDENT = 80
# Far more than any container has, and within what a decoder counts.
_MOST_TRACKS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a model for one video. `document` is the result as the service stores it."""

    document: AnyResult
    title: str

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments in order of time. Times are seconds; `confidence` is a probability."""
        return self.document.segments

    @property
    def video(self) -> VideoInfo:
        """Duration, frame rate and size of the video."""
        return self.document.video

    @property
    def curve(self) -> Curve | SeriesCurve:
        """The model's scores over time, from which segments are cut."""
        return self.document.curve

    @property
    def model(self) -> ModelIdentity:
        """The weights and the device that computed the result."""
        return self.document.model

    @property
    def options(self) -> SegmentOptions:
        """How the segments were cut."""
        return self.document.options

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """What could not be read or was repaired."""
        return self.document.warnings

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds per stage. Stages run in parallel."""
        return self.document.timings

    @property
    def task(self) -> str:
        """`sentiment`, `emotion` or `expression`."""
        from sentiloc.model.results.task_result import task_of

        return task_of(self.document)

    def recut(
        self,
        *,
        threshold: float | None = None,
        min_length: float | None = None,
        merge_gap: float | None = None,
        labels: Sequence[str] | None = None,
    ) -> Result:
        """The result with its segments cut again from the curve; the model does not run again.

        Args:
            threshold: Minimum confidence of a segment, 0 to 1.
            min_length: Minimum length of a segment in seconds.
            merge_gap: Segments of one label that are at most this many seconds apart are joined.
            labels: Show only these.
        """
        from sentiloc.model.results.task_result import labels_of, recut_any

        known = labels_of(self.document)
        options = changed_options(self.options, known, threshold, min_length, merge_gap, labels)
        return replace(self, document=recut_any(self.document, options))

    def to(
        self,
        name: str,
        *,
        start_timecode: str | None = None,
        drop_frame: bool | None = None,
        fps: float | None = None,
        video: str | Path | None = None,
    ) -> str:
        """The result as text in one of `sentiloc.formats()`, such as `edl`, `csv` or `otio`.

        Args:
            name: The format.
            start_timecode: Timecode of the first frame, `HH:MM:SS:FF`, or `HH:MM:SS;FF` for drop frame; default: the
                video's own.
            drop_frame: Whether timecode drops frame numbers, at 29.97 and 59.94; default: as the video does.
            fps: Frames per second of the timeline, one of the standard rates; default: the video's.
            video: The video file, from which the report `html` takes the pictures of the best moments; default: the
                report has no pictures.

        Raises:
            SentilocError: There is no such format, or the timeline options are impossible.
        """
        if video is not None:
            video = place("video", video)
        asked = self._asked(name, start_timecode=start_timecode, drop_frame=drop_frame, fps=fps)
        if asked is None:
            return self.to_json()
        found, options = asked
        details = self._details(video) if found.wants_details else None
        return found.render(self._timeline(options, details))

    def notes(
        self,
        name: str,
        *,
        start_timecode: str | None = None,
        drop_frame: bool | None = None,
        fps: float | None = None,
    ) -> list[str]:
        """One sentence for each thing that `to` with the same arguments cannot represent exactly.

        Resolve's markers, for example, cannot overlap.

        Raises:
            SentilocError: There is no such format, or the timeline options are impossible.
        """
        asked = self._asked(name, start_timecode=start_timecode, drop_frame=drop_frame, fps=fps)
        if asked is None:
            return []
        found, options = asked
        return found.notes(self._timeline(options))

    def _asked(self, name: str, **counting: Any) -> tuple[Format, TimelineOptions] | None:
        """A format with its checked timeline options; None for JSON, which has no timeline."""
        if isinstance(name, str) and name == "json" and all(value is None for value in counting.values()):
            return None
        from sentiloc.app.formats import FORMATS
        from sentiloc.app.formats.timeline import TimelineOptions

        if not isinstance(name, str) or name not in formats():
            detail = f"no format {name!r}; there are: {', '.join(formats())}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
        options = TimelineOptions(**_checked_counting(**counting))
        # Checked even if the format ignores them, and before pictures are decoded for a report.
        self._timeline(options)
        return None if name == "json" else (FORMATS[name], options)

    def _details(self, video: str | Path | None) -> Details:
        """The details of a report. Pictures that cannot be made are left out."""
        from sentiloc.app.formats.details import best_moments, details_of, moment_of
        from sentiloc.worker.pipelines.thumbnails import make_thumbnails

        best = best_moments(self.segments) if video is not None else []
        peaks, limits = [segment.peak for segment in best], RuntimeConfig().decode_limits
        made = make_thumbnails(Path(video or ""), peaks, ThumbnailConfig(), limits, lambda: None)
        return details_of(self.document, dict(zip(map(moment_of, best), made, strict=False)))

    def _timeline(self, options: TimelineOptions, details: Details | None = None) -> Timeline:
        from sentiloc.app.formats.timeline import TimelineError, make_timeline
        from sentiloc.model.results.task_result import labels_of

        document = self.document
        try:
            return make_timeline(
                self.title,
                document.video,
                document.segments,
                kind=self.task,
                labels=labels_of(document),
                options=options,
                details=details,
            )
        except TimelineError as error:
            raise SentilocError(ErrorCode.INVALID_DATA, str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form, as the HTTP API returns it."""
        return self.document.to_dict()

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        if indent is not None:
            indent = int(number("indent", indent, 0, _DEEPEST_INDENT, "a number of spaces, or None"))
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False) + "\n"


class Model:
    """A loaded model package. It works on one video at a time; further threads wait."""

    def __init__(self, pipeline: PackagePipeline) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the package."""
        return self._pipeline.model_name

    @property
    def version(self) -> str:
        """Version of the package."""
        return self._pipeline.version

    @property
    def device(self) -> str:
        """The device on which the network really runs, such as `cpu (AMD EPYC 9654)`."""
        return self._pipeline.device

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that segments can have."""
        return self._pipeline.default_options.labels

    def __repr__(self) -> str:
        return f"<sentiloc.Model {self.name} {self.version} on {self.device}>"

    def localize(
        self,
        video: str | Path,
        *,
        threshold: float | None = None,
        min_length: float | None = None,
        merge_gap: float | None = None,
        labels: Sequence[str] | None = None,
        time_range: TimeRange | None = None,
        audio_track: int | None = None,
        draft: bool = False,
        progress: Progress | None = None,
    ) -> Result:
        """Find the segments of a video file.

        Args:
            video: Path of the file.
            threshold: Minimum confidence of a segment, 0 to 1; default: the package's.
            min_length: Minimum length of a segment in seconds.
            merge_gap: Segments of one label that are at most this many seconds apart are joined.
            labels: Show only these of `labels`.
            time_range: Process only [start, end) seconds; an end of None means the video's end. Times in the result
                still count from the video's start.
            audio_track: Use this sound track of the file, counted from 1; default: the default one, or the one with a
                voice.
            draft: Decode keyframes only, for a quick preview. Times are exact, segments approximate; the result has the
                warning `draft`.
            progress: Called with the stage and the progress. Its exceptions stop the work.

        Returns:
            The result, with segments in order of time.

        Raises:
            SentilocError: The video cannot be read, or an option is invalid; `code` says which.
        """
        path = place("video", video)
        if time_range is not None:
            time_range = pair_of_seconds("time_range", time_range)
        if audio_track is not None:
            audio_track = whole_number("audio_track", audio_track, _MOST_TRACKS)
        if progress is not None and not callable(progress):
            raise refused("progress", progress, "a function")
        is_draft = flag("draft", draft)
        _check_readable(path)
        default = self._pipeline.default_options
        options = changed_options(default, default.labels, threshold, min_length, merge_gap, labels)
        with self._lock:
            found = self._pipeline.localize(
                path, progress or _ignore, options, time_range, audio_track, is_draft=is_draft
            )
        return Result(found, path.name)


def load_model(
    name: str | Path = DEFAULT_MODEL,
    *,
    device: Device | None = None,
    threads: int | None = None,
    cache: str | Path | None = None,
    config: RuntimeConfig | None = None,
) -> Model:
    """Load a model package with everything that it needs.

    Args:
        name: A shipped package (`list_models()`), or the path of a package's folder.
        device: `cpu` (the default), `openvino`, `cuda` or `tensorrt`.
        threads: Threads of the networks and the decoder; default: the number of processors that this process may use.
        cache: A folder for the features of videos, so that another run on the same video is fast.
        config: The whole configuration, including limits; the arguments above override its values.

    Raises:
        SentilocError: The package, its weights or its device is missing; the detail says what to do.
    """
    if not isinstance(name, str):
        name = place("name", name)
    changes: dict[str, Any] = {"device": device, "threads": threads}
    if cache is not None:
        changes["cache"] = CacheConfig(folder=place("cache", cache))
    used = replace(
        RuntimeConfig() if config is None else instance("config", config, RuntimeConfig),
        **{name: value for name, value in changes.items() if value is not None},
    )
    folder, models_dir = Path(name), used.models_dir
    if _is_place(name):
        if not folder.is_dir():
            raise UnknownPackageError(f"no model package at {str(name)!r}: there is no such folder")
        # Resolved, because `.` and `..` are not names of packages.
        folder = folder.resolve()
        models_dir = folder.parent
    try:
        return Model(open_pipeline(load_package(folder.name, models_dir), used))
    except SentilocError as error:
        if device is None or error.code is not ErrorCode.DEVICE_UNAVAILABLE:
            raise
        # The detail names the setting of the service; here the argument chose the device.
        detail = re.sub(r"SENTILOC_DEVICE=(\w+)", r'device="\1"', error.detail)
        raise SentilocError(error.code, detail) from error


def _check_readable(path: Path) -> None:
    """Raise `source_missing` with the reason for what is no file, or one that this user may not read."""
    try:
        if path.is_file():
            path.open("rb").close()
            return
    except OSError as error:
        detail = f"{str(path)!r} cannot be read: {error.strerror}"
        raise SentilocError(ErrorCode.SOURCE_MISSING, detail) from error
    raise SentilocError(ErrorCode.SOURCE_MISSING, f"there is no video file {str(path)!r}")


def _checked_counting(start_timecode: object, drop_frame: object, fps: object) -> dict[str, Any]:
    """The arguments of a timeline, each of its type."""
    checked: dict[str, Any] = {}
    if start_timecode is not None:
        checked["start_timecode"] = text("start_timecode", start_timecode, "a text, HH:MM:SS:FF")
    if drop_frame is not None:
        checked["drop_frame"] = flag("drop_frame", drop_frame)
    if fps is not None:
        checked["fps"] = number("fps", fps, -math.inf, math.inf, "a number of frames per second")
    return checked


def _is_place(name: str | Path) -> bool:
    """Whether a model is named by the path of its folder. A name without a separator counts as a path only if the
    folder exists.
    """
    if isinstance(name, str):
        return name == ".." or Path(name).name != name
    return name.name in ("", "..") or len(name.parts) > 1 or name.is_dir()


def list_models() -> list[str]:
    """Names of the packages that come with Sentiloc."""
    return list_packages(shipped_models_dir())


def formats() -> list[str]:
    """The format names for `Result.to`."""
    from sentiloc.app.formats import FORMATS

    return ["json", *FORMATS]


def _ignore(_stage: str, _done: float) -> None:
    """The default of `progress`."""
