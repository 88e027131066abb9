"""Facial expressions of a video by a GIM package: optical flow of the face in every frame, intensity, expressions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.flow import stack_flows
from sentiloc.model.package import ModelPackage, shipped_models_dir
from sentiloc.model.results.result import Result, SegmentOptions
from sentiloc.model.results.task_result import ExpressionResult, cut_expressions, make_series
from sentiloc.model.results.time_range import within
from sentiloc.model.results.warnings import ResultWarning, WarningCode
from sentiloc.model.segments import BoolArray, FloatArray, VideoInfo
from sentiloc.model.spec import FlowStream, ModelSpec
from sentiloc.model.weights import cached_weights
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, EndOfMedia, SnippetFrames, decode
from sentiloc.worker.extraction.extract import FACE_DETECTOR_PACKAGE, Report, throttled
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.features.face_detection import Detector, load_detector
from sentiloc.worker.features.flow import FlowExtractor
from sentiloc.worker.pipelines.base import (
    PackagePipeline,
    TimeRange,
    check_begins_within,
    check_time_range,
    require_draft,
)
from sentiloc.worker.pipelines.localizer import Session, check_ports, check_spec
from sentiloc.worker.runtime.onnx_session import create_session, device_name
from sentiloc.worker.runtime.steps import count_step

# Limits the cost of scaling large frames; flow is computed in a crop of the face.
FLOW_MAX_SIDE = 640
WINDOW, MARGIN = 4096, 64
"""Frames per call of the network, and the context frames on both sides, which exceed its receptive field."""
MIN_LENGTH, MERGE_GAP = 0.1, 0.0
"""Seconds. Micro-expressions are short, and two in quick succession must stay separate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowExtraction:
    """One video's flow (T, dim), whether a face is seen (T,), and the seconds spent per stage."""

    info: VideoInfo
    flow: FloatArray
    present: BoolArray
    timings: dict[str, float]
    warnings: tuple[ResultWarning, ...] = ()


def extract_flow(
    path: Path, spec: ModelSpec, detector: Detector, limits: DecodeLimits, report: Report
) -> FlowExtraction:
    """Decode a video and follow its largest face; raises what `worker.decoder.decode.decode` and `report` raise."""
    stream, clock = flow_stream(spec), StageClock()
    request = DecodeRequest(
        frame_rate=spec.frame_rate,
        snippet_frames=spec.snippet_frames,
        face_samples=tuple(range(spec.snippet_frames)),
        face_max_side=FLOW_MAX_SIDE,
    )
    extractor = FlowExtractor(detector, stream)
    info: VideoInfo | None = None
    warnings: tuple[ResultWarning, ...] = ()
    parts: list[tuple[FloatArray, BoolArray]] = []

    def progress() -> None:
        done = len(parts) * spec.snippet_seconds / info.duration if info and info.duration > 0 else 0.0
        report("extracting" if parts else "decoding", min(1.0, done))

    tell = throttled(progress)
    with closing(decode(path, request, limits, tell)) as events:
        for event in events:
            if isinstance(event, VideoInfo):
                info = event
            elif isinstance(event, SnippetFrames):
                with clock.time("flow"):
                    parts.append(extractor.take(event.faces))
            elif isinstance(event, EndOfMedia) and info is not None:
                info, warnings = event.complete(info), event.warnings
            tell()
    if info is None or not parts:
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, "No frame of the video could be decoded.")
    flow, present = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not present.any():
        detail = "No face that is large enough was found, so the model used none."
        warnings = (*warnings, ResultWarning(code=WarningCode.NO_FACE, detail=detail))
    return FlowExtraction(
        info=info, flow=flow, present=present, timings=dict(clock.seconds), warnings=warnings
    )


def flow_stream(spec: ModelSpec) -> FlowStream:
    """The flow stream of a spec; raises `spec_mismatch` if it has none."""
    if spec.flow is None or spec.frame_rate is None:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH, f"{spec.name}: expressions need a flow stream at a fixed rate"
        )
    return spec.flow


def load_flow_detector(threads: int) -> Detector:
    """The face detector that serving uses."""
    root = shipped_models_dir() / FACE_DETECTOR_PACKAGE
    return load_detector(root, yunet=cached_weights("yunet"), threads=threads)


class ExpressionScorer:
    """GIM's graph, after checking that it belongs to the package's spec."""

    def __init__(self, package: ModelPackage, session: Session) -> None:
        check_spec(package.spec, session)
        check_ports(session, {"flow": None}, ("intensity", "actions"))
        self._stream, self._session = flow_stream(package.spec), session

    def score(self, flow: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Intensity (T,) and actions (T, C) of flow (T, dim), computed in windows with context on both sides."""
        stacked = stack_flows(flow, self._stream.skip, self._stream.resolutions)
        parts = []
        for start in range(0, len(stacked), WINDOW):
            # The margin is computed twice and dropped, so windows have no visible seams.
            first, stop = max(start - MARGIN, 0), min(start + WINDOW, len(stacked))
            feeds = {"flow": stacked[first : stop + MARGIN][None]}
            intensity, actions = self._session.run(["intensity", "actions"], feeds)
            inside = slice(start - first, stop - first)
            parts.append((intensity[0, inside], actions[0, inside]))
            count_step()
        intensity, actions = (np.concatenate(part) for part in zip(*parts, strict=True))
        return intensity, actions


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionPipeline(PackagePipeline):
    """A loaded package that spots expressions. Only one thread may use it at a time."""

    detector: Detector
    scorer: ExpressionScorer
    limits: DecodeLimits

    @property
    def default_options(self) -> SegmentOptions:
        """The default options for cutting expressions."""
        spec = self.package.spec
        return SegmentOptions(
            threshold=spec.confidence_threshold,
            min_length=MIN_LENGTH,
            merge_gap=MERGE_GAP,
            labels=spec.classes,
        )

    def localize(
        self,
        path: Path,
        report: Report,
        options: SegmentOptions | None = None,
        time_range: TimeRange | None = None,
        audio_track: int | None = None,  # noqa: ARG002
        on_provisional: Callable[[Result], None] | None = None,  # noqa: ARG002
        *,
        stills: Stills | None = None,  # noqa: ARG002
        is_draft: bool = False,
    ) -> ExpressionResult:
        """Find expressions. The whole video is decoded, without sound."""
        check_time_range(time_range, self.limits.max_duration_seconds)
        if is_draft:
            require_draft(self.package.spec)
        spec, options, clock = self.package.spec, options or self.default_options, StageClock()
        report("decoding", 0.0)
        found = extract_flow(path, spec, self.detector, self.limits, report)
        check_begins_within(time_range, found.info.duration)
        report("localizing", 1.0)
        with clock.time("localizing"):
            intensity, actions = self.scorer.score(found.flow)
        # Without a face the flow is that of the background.
        intensity = intensity * found.present
        columns = {"intensity": intensity, **dict(zip(spec.classes, actions.T, strict=True))}
        step = spec.snippet_seconds / spec.snippet_frames
        curve = make_series(columns, step, tuple(found.present.tolist()))
        calibration = self.package.calibration
        snippets = np.arange(0, len(found.present), spec.snippet_frames)
        result = ExpressionResult(
            video=found.info,
            faces_seen=int(np.logical_or.reduceat(found.present, snippets).sum()),
            segments=cut_expressions(curve, spec.classes, found.info.duration, calibration, options),
            curve=curve,
            model=self.identity,
            timings={**found.timings, **clock.seconds},
            options=options,
            calibration=calibration,
            warnings=found.warnings,
            classes=spec.classes,
        )
        return result if time_range is None else within(result, *time_range)


def load_expression_pipeline(package: ModelPackage, config: RuntimeConfig) -> ExpressionPipeline:
    """Load what a GIM package needs; raises a `SentilocError` that names what is missing."""
    session = create_session(package.network, config.device, config.threads)
    return ExpressionPipeline(
        package=package,
        detector=load_flow_detector(config.thread_count),
        scorer=ExpressionScorer(package, session),
        limits=config.decode_limits,
        device=device_name(session),
    )
