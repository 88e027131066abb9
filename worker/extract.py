"""A video file to snippet features: one decode pass, every stream, nothing kept but features.

Serving, `sentiloc localize` and `sentiloc extract` (training data) all run this code.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from app.settings import Settings
from model.errors import ErrorCode, SentilocError
from model.package import extractor_id, shipped_models_dir
from model.segments import BoolArray, FloatArray, SnippetFeatures, VideoInfo
from model.spec import FaceStream, ModelSpec
from model.weights import cached_weights, require_weights
from worker.cpu import available_cpus
from worker.decode import AudioChunk, DecodeLimits, DecodeRequest, EndOfMedia, Event, SnippetFrames, decode
from worker.features.audio import AudioExtractor
from worker.features.face import FaceExtractor, load_face_extractor
from worker.features.visual import VisualExtractor
from worker.onnx_session import create_session

Report = Callable[[str, float], None]
"""Called with a stage ("decoding", "extracting", "localizing") and the progress of the whole job, 0 to 1.

It may raise `SentilocError(cancelled)`, which stops the work and the decoder at once."""

FACE_DETECTOR_PACKAGE, EXPRESSION_PACKAGE = "face-detector", "expression"
FACE_MAX_SIDE = 640
VISUAL_SIZE = 224
FACE_BATCH = 16
"""Snippets whose faces are encoded together: about ten seconds of video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """One video's features, what the decoder learned about it, and seconds spent per stage."""

    info: VideoInfo
    features: SnippetFeatures
    timings: dict[str, float]

    @property
    def faces_seen(self) -> int:
        """Snippets that show a face."""
        return int(self.features.face_present.sum())


class StageClock:
    """Adds up wall seconds per stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """Extractors of one spec, loaded and warm."""

    spec: ModelSpec
    limits: DecodeLimits
    face: FaceExtractor | None
    visual: VisualExtractor | None

    def extract(self, path: Path, report: Report) -> Extraction:
        """Features of one video; raises what `worker.decode.decode` and `report` raise."""
        run = _Run(self)
        report("decoding", 0.0)
        on_wait = _throttled(lambda: report("extracting" if run.snippets else "decoding", run.progress))
        with closing(decode(path, self.request, self.limits, on_wait)) as events:
            for event in _timed(events, run.clock):
                run.take(event)
                on_wait()
        return run.finish()

    @property
    def request(self) -> DecodeRequest:
        """What the decoder is asked for."""
        spec = self.spec
        return DecodeRequest(
            frame_rate=spec.frame_rate,
            snippet_frames=spec.snippet_frames,
            face_samples=face_samples(spec.face, spec.snippet_frames),
            face_max_side=FACE_MAX_SIDE,
            visual_size=VISUAL_SIZE if self.visual else None,
            audio_rate=spec.audio.sample_rate if spec.audio else None,
        )


@dataclass(slots=True)
class _Run:
    """One extraction under way."""

    owner: Extractor
    clock: StageClock = field(default_factory=StageClock)
    info: VideoInfo | None = None
    snippets: int = 0
    audio: AudioExtractor = field(init=False)
    visual: list[FloatArray] = field(default_factory=list)
    face: list[FloatArray] = field(default_factory=list)
    face_present: list[BoolArray] = field(default_factory=list)
    pending: list[SnippetFrames] = field(default_factory=list)
    last_face: FloatArray | None = None

    def __post_init__(self) -> None:
        spec = self.owner.spec
        self.audio = AudioExtractor(spec.audio) if spec.audio else AudioExtractor()

    @property
    def progress(self) -> float:
        """Share of the announced duration that has been extracted."""
        if self.info is None or self.info.duration <= 0:
            return 0.0
        return min(1.0, self.snippets * self.owner.spec.snippet_seconds / self.info.duration)

    def take(self, event: Event) -> None:
        """Work on one event of the decoder."""
        if isinstance(event, VideoInfo):
            self.info = event
        elif isinstance(event, AudioChunk):
            with self.clock.time("audio"):
                self.audio.push(event.samples)
        elif isinstance(event, SnippetFrames):
            self.snippets += 1
            self.pending.append(event)
            if len(self.pending) >= FACE_BATCH:
                self._flush()
        else:
            self._end(event)

    def _end(self, event: EndOfMedia) -> None:
        self._flush()
        if self.info is not None:
            self.info = replace(self.info, duration=event.duration)

    def _flush(self) -> None:
        batch, self.pending = self.pending, []
        if batch and self.owner.face:
            with self.clock.time("face"):
                found = self.owner.face.extract([snippet.faces for snippet in batch], self.last_face)
            self.face.append(found.face)
            self.face_present.append(found.present)
            self.last_face = found.last
        if batch and self.owner.visual:
            with self.clock.time("visual"):
                frames = [snippet.visual for snippet in batch if snippet.visual is not None]
                self.visual.append(self.owner.visual.extract(np.stack(frames)))

    def finish(self) -> Extraction:
        """The features of the whole video."""
        if self.info is None or not self.snippets:
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, "No frame of the video could be decoded.")
        spec, total = self.owner.spec, self.snippets
        with self.clock.time("audio"):
            audio, heard = self.audio.finish(total)
        features = SnippetFeatures(
            visual=np.concatenate(self.visual) if self.visual else None,
            audio=audio if spec.audio else None,
            face=np.concatenate(self.face) if self.face else None,
            visual_present=np.full(total, bool(self.visual)),
            audio_present=heard if spec.audio else np.zeros(total, np.bool_),
            face_present=np.concatenate(self.face_present) if self.face else np.zeros(total, np.bool_),
        )
        return Extraction(info=self.info, features=features, timings=dict(self.clock.seconds))


def load_extractor(spec: ModelSpec, settings: Settings) -> Extractor:
    """Load what the spec needs; raises `spec_mismatch`, `weights_missing` or `model_unavailable`."""
    threads = settings.threads or available_cpus()
    return Extractor(
        spec=spec,
        limits=DecodeLimits.from_settings(settings, threads),
        face=_load_face(spec.face, threads) if spec.face else None,
        visual=_load_visual(spec, settings) if spec.visual else None,
    )


def face_samples(face: FaceStream | None, snippet_frames: int) -> tuple[int, ...]:
    """Frames of a snippet that are looked at: evenly spaced, away from its ends."""
    if face is None:
        return ()
    count = face.samples_per_snippet
    return tuple((2 * i + 1) * snippet_frames // (2 * count) for i in range(count))


def _load_face(face: FaceStream, threads: int) -> FaceExtractor:
    root = shipped_models_dir()
    encoder = root / EXPRESSION_PACKAGE
    if extractor_id(encoder) != face.encoder:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"the model was trained on faces encoded by {face.encoder}, here is {extractor_id(encoder)}",
        )
    yunet = cached_weights("yunet")
    return load_face_extractor(root / FACE_DETECTOR_PACKAGE, encoder, yunet=yunet, threads=threads)


def _load_visual(spec: ModelSpec, settings: Settings) -> VisualExtractor:
    if spec.visual is None or spec.visual.extractor != "i3d-rgb":
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{spec.name} wants an unknown visual extractor")
    return VisualExtractor(create_session(require_weights("i3d"), settings.device, settings.threads))


def _timed(events: Generator[Event, None, None], clock: StageClock) -> Iterator[Event]:
    """The decoder's events; the time spent waiting for each counts as decoding."""
    while True:
        with clock.time("decoding"):
            event = next(events, None)
        if event is None:
            return
        yield event


def _throttled(call: Callable[[], None], seconds: float = 0.25) -> Callable[[], None]:
    """`call`, at most every `seconds`."""
    last = -seconds

    def limited() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            call()

    return limited
