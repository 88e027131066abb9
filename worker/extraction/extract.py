"""Extracts snippet features from a video file: all streams in one decode pass, keeping only features.

Serving, `sentiloc localize` and `sentiloc extract` (training data) all run this code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import extractor_id, shipped_models_dir
from sentiloc.model.segments import VideoInfo
from sentiloc.model.spec import FaceStream, ModelSpec
from sentiloc.model.weights import IMAGENET_I3D, cached_weights, require_i3d, sha256
from sentiloc.worker.children import decoders
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, Event, decode
from sentiloc.worker.extraction.extraction import WHOLE, Extraction, Part, Run
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.features.face import FaceExtractor, load_face_extractor
from sentiloc.worker.features.visual import GPU_BATCH, VisualExtractor
from sentiloc.worker.runtime.device import GPUS
from sentiloc.worker.runtime.onnx_session import check_precision, create_session

Report = Callable[[str, float], None]
"""Called with a stage ("decoding", "extracting", "localizing") and the progress of the whole job, 0 to 1.

It may raise `SentilocError(cancelled)`, which stops the work and the decoder at once."""

FACE_DETECTOR_PACKAGE, EXPRESSION_PACKAGE = "face-detector", "expression"
FACE_MAX_SIDE = 1280
"""A face of 40 px in 1080p then has 27 px.

720p frames are not scaled at all, which is cheaper than scaling them down.
"""
VISUAL_SIZE = 224
REVISION = 4
"""Increase this with every code change that changes features, so that cached features are extracted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """The loaded extractors of one spec. Temporary features are stored in `folder`, by default the system's.

    At most `face_looks` frames of a snippet are searched for faces, by default as many as the spec says. The visual
    network reads every `visual_stride`-th snippet, and with `visual_by_shots` also the first one of each shot.
    """

    spec: ModelSpec
    limits: DecodeLimits
    face: FaceExtractor | None
    visual: VisualExtractor | None
    networks: tuple[str, ...]
    folder: Path | None = None
    audio_track: int | None = None
    face_looks: int | None = None
    visual_stride: int = 1
    visual_by_shots: bool = False
    is_draft: bool = False

    @property
    def identity(self) -> str:
        """Everything that features depend on besides the file, as JSON.

        `networks` has the graphs' digests and the device. The names of the video's facts, which are cached with the
        features, are a part, so that entries of versions that measured fewer facts are not used.
        """
        # Limits of size and length affect what is decoded; limits of time and memory do not.
        limits = {name: value for name, value in asdict(self.limits).items() if name.startswith("max_")}
        facts = [one.name for one in fields(VideoInfo)]
        parts = (REVISION, self.spec.features_hash, asdict(self.request), limits, self.networks, facts)
        return json.dumps(parts, sort_keys=True)

    def extract(
        self,
        path: Path,
        report: Report,
        part: Part = WHOLE,
        update: Callable[[Run], None] | None = None,
        stills: Stills | None = None,
    ) -> Extraction:
        """Features of one video, or of a part of it; raises what `worker.decoder.decode.decode` and `report` raise.

        Decoding, faces and pictures run in parallel; the slowest of them sets the pace. `update` is called repeatedly
        with the current state. `stills` gets a picture of each snippet.
        """
        report("decoding", 0.0)
        on_wait = throttled(lambda: report("extracting" if run.snippets else "decoding", run.progress))
        run = Run(
            self.spec,
            self.face,
            self.visual,
            self.folder,
            on_wait,
            part,
            stills=stills,
            is_draft=self.is_draft,
        )
        request = replace(
            self.request,
            first_snippet=part.first,
            end_snippet=part.end,
            still_side=stills.side if stills and self.face else None,
        )
        with run:
            # `closing` ends the decoder at once when `report` raises.
            with closing(decode(path, request, self.limits, on_wait, keeps=run.keeps)) as events:
                for event in _timed(events, run.clock):
                    run.take(event)
                    on_wait()
                    if update is not None:
                        update(run)
            return run.finish()

    @property
    def request(self) -> DecodeRequest:
        """The request to the decoder."""
        spec = self.spec
        return DecodeRequest(
            frame_rate=spec.frame_rate,
            snippet_frames=spec.snippet_frames,
            face_samples=face_samples(spec.face, spec.snippet_frames, self.face_looks),
            face_max_side=FACE_MAX_SIDE,
            face_grey=self.face is not None and self.face.takes_grey,
            face_by_planes=True,
            visual_size=VISUAL_SIZE if self.visual else None,
            visual_stride=self.visual_stride if self.visual else 1,
            visual_by_shots=self.visual_by_shots and self.visual is not None,
            audio_rate=spec.audio.sample_rate if spec.audio else None,
            audio_track=self.audio_track if spec.audio else None,
            find_shots=True,
            keyframes_only=self.is_draft,
        )


def load_extractor(spec: ModelSpec, config: RuntimeConfig) -> Extractor:
    """Load the networks that the spec needs; raises `spec_mismatch`, `weights_missing` or `model_unavailable`."""
    decoders.prepare()
    if config.work_dir is not None:
        config.work_dir.mkdir(parents=True, exist_ok=True)
    face = _load_face(spec.face, config.thread_count) if spec.face else None
    visual = _load_visual(spec, config) if spec.visual else None
    i3d = [config.device, config.precision, sha256(_i3d_path(spec, config))] if visual else []
    return Extractor(
        spec=spec,
        limits=config.decode_limits,
        face=face,
        visual=visual,
        networks=(*([face.name, face.digest] if face else []), *i3d),
        folder=config.work_dir,
    )


def face_samples(face: FaceStream | None, snippet_frames: int, most: int | None = None) -> tuple[int, ...]:
    """The frames of a snippet that are searched for faces, at most `most`: evenly spaced, away from its ends."""
    if face is None:
        return ()
    count = min(face.samples_per_snippet, most or face.samples_per_snippet)
    # The middles of `count` equal parts.
    return tuple((2 * i + 1) * snippet_frames // (2 * count) for i in range(count))


def _load_face(face: FaceStream, threads: int) -> FaceExtractor:
    root = shipped_models_dir()
    encoder = root / EXPRESSION_PACKAGE
    # Embeddings of another encoder have the same shape but another meaning.
    if extractor_id(encoder) != face.encoder:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"the model was trained on faces encoded by {face.encoder}, but {extractor_id(encoder)} is installed",
        )
    yunet = cached_weights("yunet")
    return load_face_extractor(root / FACE_DETECTOR_PACKAGE, encoder, yunet=yunet, threads=threads)


def _i3d_path(spec: ModelSpec, config: RuntimeConfig) -> Path:
    """The network with which the spec's visual stream was extracted."""
    return require_i3d(config.precision, spec.visual.extractor if spec.visual else IMAGENET_I3D)


def _load_visual(spec: ModelSpec, config: RuntimeConfig) -> VisualExtractor:
    check_precision(config.device, config.precision)
    session = create_session(
        _i3d_path(spec, config),
        config.device,
        config.threads,
        config.precision,
        config.gpu_memory_bytes,
    )
    on_gpu = config.device in GPUS
    extractor = VisualExtractor(session, GPU_BATCH, "cuda") if on_gpu else VisualExtractor(session)
    if config.precision == "int8" and extractor.calibrated_on is None:
        detail = "the 8-bit I3D is of a version whose features OpenVINO computed wrongly: make it again with "
        raise SentilocError(ErrorCode.WEIGHTS_MISSING, f"{detail}sentiloc weights quantize VIDEO...")
    # The first run of a network allocates and compiles; a job should not pay for it.
    extractor.warm_up()
    return extractor


def _timed(events: Generator[Event, None, None], clock: StageClock) -> Iterator[Event]:
    """Yield the decoder's events. The time spent waiting for them counts as decoding."""
    while True:
        with clock.time("decoding"):
            event = next(events, None)
        if event is None:
            return
        yield event


def throttled(call: Callable[[], None], seconds: float = 0.25) -> Callable[[], None]:
    """A wrapper that runs `call` at most every `seconds`."""
    last = -seconds

    def limited() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            call()

    return limited
