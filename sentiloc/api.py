"""The Python API: load a model package once, localize any number of videos."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiloc.model.arguments import flag, instance, pair_of_seconds, place, refused, whole_number
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import UnknownPackageError, list_packages, load_package, shipped_models_dir
from sentiloc.model.results.changed import changed_options
from sentiloc.result import Result as Result
from sentiloc.result import formats as formats
from sentiloc.worker.config import DEFAULT_MODEL, CacheConfig, RuntimeConfig
from sentiloc.worker.pipelines.registry import open_pipeline
from sentiloc.worker.runtime.device import Device

if TYPE_CHECKING:
    from sentiloc.worker.pipelines.base import PackagePipeline, TimeRange

Progress = Callable[[str, float], None]
"""Called with the stage ("decoding", "extracting", "localizing") and the total progress, 0 to 1."""
# Far more than any container has, and within what a decoder counts.
_MOST_TRACKS = 2**31 - 1


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


def _ignore(_stage: str, _done: float) -> None:
    """The default of `progress`."""
