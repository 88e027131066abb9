"""Specification of a localizer's inputs: the contract between extraction, training and serving.

A `ModelSpec` travels with the weights (checkpoint, ONNX metadata, package folder, feature cache). Code that
reads features or weights compares specs and raises `spec_mismatch` instead of giving a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sentiloc.model.errors import ErrorCode, SentilocError

SNIPPET_FRAMES = 16
SERVING_FRAME_RATE = 25.0
CLASSES = ("negative", "positive")
NEGATIVE, POSITIVE, NON_SENTIMENT = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualStream:
    """Scene and motion features, shape (time, dim)."""

    extractor: str = "i3d-rgb"
    dim: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """Log-mel spectrogram, shape (time, frames, mels); `rule` names a preprocessing of `model/extractors/logmel.py`.

    `level`: recordings are first normalized to this mean band power in dB (`normalize_level`); None: not normalized.
    """

    rule: str = "serving"
    sample_rate: int = 16_000
    n_fft: int = 1024
    hop_length: int = 320
    mels: int = 60
    frames: int = 2 * SNIPPET_FRAMES
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceStream:
    """Expression embedding of the largest face, shape (time, dim), with a face-present mask (time,)."""

    detector: str = "sentiloc-face"
    encoder: str = "sentiloc-expression"
    dim: int = 256
    samples_per_snippet: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStream:
    """Block flow of the aligned face over `skip` frames, shape (frames, 2 * grid * grid), on `size` pixels a side.

    The network's input has several `resolutions` of time: over skip, 2 skip, ... frames.
    """

    detector: str = "sentiloc-face"
    skip: int = 6
    grid: int = 6
    size: int = 128
    margin: float = 1.1
    resolutions: int = 1

    @property
    def dim(self) -> int:
        """Numbers per frame."""
        return 2 * self.grid * self.grid

    @property
    def inputs(self) -> int:
        """Input values per frame: the motion into and out of it, at every resolution."""
        return 2 * self.resolutions * self.dim


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Everything that must agree between the features, the weights and the service.

    `frame_rate` is in frames per second; None means the video's own rate (the published TSL300 features). A stream that
    is None is absent: the network was trained without it and has no input for it.
    """

    name: str
    version: str
    task: str = "sentiment"
    frame_rate: float | None = SERVING_FRAME_RATE
    snippet_frames: int = SNIPPET_FRAMES
    visual: VisualStream | None = field(default_factory=VisualStream)
    audio: AudioStream | None = field(default_factory=AudioStream)
    face: FaceStream | None = field(default_factory=FaceStream)
    flow: FlowStream | None = None
    classes: tuple[str, ...] = CLASSES
    proposal_rule: str = "serving"
    confidence_threshold: float = 0.5

    @property
    def snippet_seconds(self) -> float:
        """Length of a snippet in seconds; only a spec with a fixed frame rate has one."""
        if self.frame_rate is None:
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH, f"{self.name} uses each video's own frame rate and cannot be served"
            )
        return self.snippet_frames / self.frame_rate

    @property
    def can_draft(self) -> bool:
        """True if keyframes are enough for an approximate result: no stream needs every picture."""
        return self.visual is None and self.flow is None

    @property
    def features_hash(self) -> str:
        """SHA-256 (first 16 hex digits) over what extraction depends on, and nothing else."""
        parts = self._parts()
        keys = ("frame_rate", "snippet_frames", "visual", "audio", "face", "flow")
        return _digest({key: parts[key] for key in keys if key in parts})

    @property
    def spec_hash(self) -> str:
        """SHA-256 (first 16 hex digits) over the whole spec."""
        return _digest(self._parts())

    def to_json(self) -> str:
        """The spec as JSON with sorted keys."""
        return json.dumps(self._parts(), sort_keys=True, indent=2)

    def _parts(self) -> dict[str, Any]:
        """All fields. Flow and audio level are left out if unset, so that older specs keep their hashes."""
        parts = asdict(self)
        if self.flow is None:
            del parts["flow"]
        if self.audio is not None and self.audio.level is None:
            del parts["audio"]["level"]
        return parts


def _digest(value: dict[str, Any]) -> str:
    # Sorted, because the hash must not depend on the order of fields.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def parse_spec(text: str) -> ModelSpec:
    """Read `ModelSpec.to_json`; raises `spec_mismatch` for anything else."""
    try:
        raw = json.loads(text)
        return ModelSpec(
            **{
                **raw,
                "classes": tuple(raw["classes"]),
                "visual": VisualStream(**raw["visual"]) if raw["visual"] else None,
                "audio": AudioStream(**raw["audio"]) if raw["audio"] else None,
                "face": FaceStream(**raw["face"]) if raw["face"] else None,
                # Specs written before GIM was added have no `flow`.
                "flow": FlowStream(**raw["flow"]) if raw.get("flow") else None,
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"not a model spec: {error}") from error


def load_spec(path: Path) -> ModelSpec:
    """Read the `spec.json` of a model package."""
    try:
        return parse_spec(path.read_text(encoding="utf-8"))
    except SentilocError as error:
        raise SentilocError(error.code, f"{path}: {error.detail}") from error
    except UnicodeDecodeError as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: not a model spec: not UTF-8 text") from error
    except OSError as error:
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"cannot read {path}: {error.strerror}") from error
