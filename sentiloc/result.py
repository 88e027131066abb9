"""The result of one video: read it, cut it again, export it.

Formats and the results of other tasks are imported where they are used: a command that prints JSON needs none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiloc.model.arguments import flag, number, place, text
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.changed import changed_options
from sentiloc.model.results.result import Curve, ModelIdentity, SegmentOptions
from sentiloc.model.results.warnings import ResultWarning
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.worker.config import RuntimeConfig, ThumbnailConfig

if TYPE_CHECKING:
    from sentiloc.app.formats import Format
    from sentiloc.app.formats.details import Details
    from sentiloc.app.formats.timeline import Timeline, TimelineOptions
    from sentiloc.model.results.task_result import AnyResult, SeriesCurve

_DEEPEST_INDENT = 80


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


def formats() -> list[str]:
    """The format names for `Result.to`."""
    from sentiloc.app.formats import FORMATS

    return ["json", *FORMATS]
