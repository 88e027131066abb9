"""A running extraction: turns the decoder's events into features and discards the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.warnings import ResultWarning, WarningCode
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures, VideoInfo
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.decoder.decode import AudioChunk, EndOfMedia, Event, SnippetFrames
from sentiloc.worker.extraction.stages import Stage, StageClock
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.extraction.visual_run import VisualRun
from sentiloc.worker.features.audio import AudioExtractor
from sentiloc.worker.features.face import FaceExtractor, FaceFeatures, FaceTrack
from sentiloc.worker.features.feature_file import FeatureFile
from sentiloc.worker.features.visual import VisualExtractor

BATCH, VISUAL_BATCH = 4, 8
"""Snippets per batch from the decoder to the networks, without and with a visual network, which may run on a GPU.

Four are 2.56 s of video. A larger batch would delay the end of a short video.
"""


# About 41 s. Containers interleave sound within a second or two, so a track that lags by more has ended.
_LATE_SOUND = 64
"""If sound lags behind pictures by more than this many snippets, a provisional update treats it as ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """Snippets `first` (inclusive) to `end` (exclusive) of a video; `end` None means the video's end."""

    first: int = 0
    end: int | None = None


WHOLE = Part()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """One video's features, the decoder's findings, and the seconds spent per stage.

    For a part of a video, the features begin at snippet `first`. `warnings` say what could not be read. `faces` are the
    faces seen; None if no faces were searched. `shots` are the seconds at which new shots begin.
    """

    info: VideoInfo
    features: SnippetFeatures
    timings: dict[str, float]
    first: int = 0
    warnings: tuple[ResultWarning, ...] = ()
    faces: FaceSightings | None = None
    shots: tuple[float, ...] = ()

    @property
    def faces_seen(self) -> int:
        """The number of snippets that show a face."""
        return int(self.features.face_present.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSightings:
    """Faces in each of T snippets: their number `count` (T,), and the box (T, 4) of the face that was used, x1, y1, x2,
    y2 as shares of the picture's width and height, zero without a face.
    """

    count: NDArray[np.int32]
    boxes: FloatArray

    def as_curve(self) -> dict[str, Any]:
        """`faces` and `face_boxes` of a result's curve."""
        boxes = tuple(tuple(round(v, 3) for v in box) if any(box) else () for box in self.boxes.tolist())
        return {"faces": tuple(self.count.tolist()), "face_boxes": boxes}


class Run:
    """One running extraction. Sound is processed as it arrives; faces and pictures have a thread each."""

    def __init__(
        self,
        spec: ModelSpec,
        face: FaceExtractor | None,
        visual: VisualExtractor | None,
        folder: Path | None,
        on_wait: Callable[[], None],
        part: Part = WHOLE,
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> None:
        self._spec, self._part, self._stills = spec, part, stills
        self.clock = StageClock()
        self.info: VideoInfo | None = None
        self.snippets = 0
        self._audio = AudioExtractor(spec.audio, folder) if spec.audio else AudioExtractor()
        self._face = _FaceRun(face, folder, self.clock, is_draft=is_draft) if face else None
        self._visual = VisualRun(visual, folder, self.clock) if visual else None
        self._batch = VISUAL_BATCH if visual else BATCH
        self._pending: list[SnippetFrames] = []
        self._warnings: tuple[ResultWarning, ...] = ()
        self._shots: tuple[float, ...] = ()
        self._on_wait = on_wait
        self._exit = ExitStack()
        self._stages: list[Stage[list[SnippetFrames]]] = []

    def __enter__(self) -> Self:
        stages = [Stage(self._face.take, self._on_wait)] if self._face else []
        if self._visual:
            stages.append(Stage(self._visual.take, self._on_wait, self._visual.finish))
        self._stages = [self._exit.enter_context(stage) for stage in stages]
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._exit.close()
        except BaseException:
            self._drop()
            raise
        if exception[0] is not None:
            self._drop()

    def _drop(self) -> None:
        """Close the files at once: whoever keeps the exception keeps this object, too."""
        self._audio.close()
        for run in (self._face, self._visual):
            if run is not None:
                run.rows.close()

    @property
    def progress(self) -> float:
        """Share of the announced duration, or of the part, that has been extracted."""
        if self.info is None or self.info.duration <= 0:
            return 0.0
        end = self.info.duration / self._spec.snippet_seconds
        wanted = min(end, self._part.end or end) - self._part.first
        return min(1.0, self.snippets / wanted) if wanted > 0 else 0.0

    @property
    def ready(self) -> int:
        """The number of snippets for which every stream has its features.

        Sound that ends early does not delay the others.
        """
        counts = [run.count for run in (self._face, self._visual) if run is not None]
        if self._spec.audio and self._audio.count and self.info is not None and self.info.has_audio:
            counts.append(max(self._audio.count, self.snippets - _LATE_SOUND))
        return min([self.snippets, *counts])

    @property
    def keeps(self) -> int:
        """The maximum number of snippets in use: a batch that is filled, one that waits, one that is read, and those of
        the loop.
        """
        return 3 * self._batch + 2

    def window(self, first: int, stop: int) -> SnippetFeatures:
        """A copy of the features of snippets `first` (inclusive) to `stop` (exclusive), which must be ready."""
        absent = np.zeros(stop - first, np.bool_)
        audio, heard = self._audio.window(first, stop)
        return SnippetFeatures(
            visual=self._visual.rows.window(first, stop) if self._visual else None,
            audio=audio if self._spec.audio else None,
            face=self._face.rows.window(first, stop) if self._face else None,
            visual_present=~absent if self._visual else absent,
            audio_present=heard if self._spec.audio else absent,
            face_present=self.faces_present(stop)[first:],
        )

    def faces_present(self, total: int) -> BoolArray:
        """Whether a face was seen in each of the first `total` snippets."""
        if self._face is None or not total:
            return np.zeros(total, np.bool_)
        return np.concatenate(list(self._face.present))[:total]

    def take(self, event: Event) -> None:
        """Process one event of the decoder."""
        if isinstance(event, VideoInfo):
            self.info = event
        elif isinstance(event, AudioChunk):
            with self.clock.time("audio"):
                self._audio.push(event.samples)
        elif isinstance(event, SnippetFrames):
            self.snippets += 1
            self._keep_still(event)
            self._pending.append(event)
            if len(self._pending) >= self._batch:
                self._flush()
        else:
            self._end(event)

    def _keep_still(self, event: SnippetFrames) -> None:
        if self._stills is not None and event.still is not None:
            step = self._spec.snippet_seconds
            self._stills.add(event.index * step, (event.index + 1) * step, event.still)

    def _end(self, event: EndOfMedia) -> None:
        self._flush()
        # Waits until both threads have processed their last batch.
        for stage in self._stages:
            stage.finish()
        if self.info is not None:
            self.info = event.complete(self.info)
        self._warnings = event.warnings
        self._shots = event.shots

    def _flush(self) -> None:
        batch, self._pending = self._pending, []
        for stage in self._stages if batch else ():
            stage.put(batch)

    def finish(self) -> Extraction:
        """The features of the video or the part. A part after the video's end has none."""
        if self.info is None or not (self.snippets or self._part.first):
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, "No frame of the video could be decoded.")
        total, absent = self.snippets, np.zeros(self.snippets, np.bool_)
        with self.clock.time("audio"):
            audio, heard = self._audio.finish(total)
        features = SnippetFeatures(
            visual=self._visual.rows.take(total) if self._visual else None,
            audio=audio if self._spec.audio else None,
            face=self._face.rows.take(total) if self._face else None,
            visual_present=~absent if self._visual else absent,
            audio_present=heard if self._spec.audio else absent,
            face_present=np.concatenate(self._face.present) if self._face and total else absent,
        )
        return Extraction(
            info=self.info,
            features=features,
            timings=dict(self.clock.seconds),
            first=self._part.first,
            warnings=(*self._warnings, *_missing_streams(self._spec, features)) if total else self._warnings,
            faces=self._face.sightings if self._face else None,
            shots=self._shots,
        )


def _missing_streams(spec: ModelSpec, features: SnippetFeatures) -> Iterator[ResultWarning]:
    """A warning for each stream that the model uses and the video does not have."""
    if spec.face and not features.face_present.any():
        detail = "No face that is large enough was found, so the model used none."
        yield ResultWarning(code=WarningCode.NO_FACE, detail=detail)
    if spec.audio and not features.audio_present.any():
        detail = "There is no usable sound, so the model used none."
        yield ResultWarning(code=WarningCode.NO_SOUND, detail=detail)


def _same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two stacks of pictures are the same. A few pixels are compared first, because they usually differ."""
    few = np.s_[:, ::16, ::16]
    return np.array_equal(one[few], other[few]) and np.array_equal(one, other)


class _FaceRun:
    """The face stream of one extraction."""

    def __init__(
        self, extractor: FaceExtractor, folder: Path | None, clock: StageClock, *, is_draft: bool
    ) -> None:
        self._extractor, self._clock, self._is_draft = extractor, clock, is_draft
        self.rows = FeatureFile((extractor.dim,), folder)
        self.present: list[BoolArray] = []
        self._count: list[NDArray[np.int32]] = []
        self._boxes: list[FloatArray] = []
        self._last: FaceTrack | None = None
        self._done = 0

    @property
    def count(self) -> int:
        """The number of finished snippets."""
        return self._done

    def take(self, batch: list[SnippetFrames]) -> None:
        """Process the next snippets."""
        with self._clock.time("face"):
            found, rows = self._look(batch)
            self.rows.append(found.face[rows])
            self.present.append(found.present[rows])
            self._count.append(found.count[rows])
            self._boxes.append(found.boxes[rows])
            self._last = found.last
            # Updated last, because another thread reads rows up to this count.
            self._done += len(batch)

    def _look(self, batch: list[SnippetFrames]) -> tuple[FaceFeatures, NDArray[np.intp]]:
        """The features of a batch, and for each snippet its row in them. In a draft, repeated pictures share a row."""
        pictures = [snippet.faces for snippet in batch]
        is_new = [True] + [not (self._is_draft and _same(one, other)) for one, other in pairwise(pictures)]
        new = [faces for faces, is_one in zip(pictures, is_new, strict=True) if is_one]
        return self._extractor.extract(new, self._last), np.cumsum(is_new) - 1

    @property
    def sightings(self) -> FaceSightings | None:
        """The sightings of all snippets so far; None before the first."""
        if not self._count:
            return None
        return FaceSightings(count=np.concatenate(self._count), boxes=np.concatenate(self._boxes))
