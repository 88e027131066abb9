"""The specification of a localizer's inputs: the contract between extraction, training and serving.

A `ModelSpec` travels with the weights (checkpoint, ONNX metadata, package folder, feature cache). Code that reads
features or weights compares specs and raises `spec_mismatch` instead of computing wrong results.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from sentiloc.model.errors import ErrorCode, SentilocError

SNIPPET_FRAMES = 16
PUBLISHED = "published-layout"
"""Name of the spec of a run on published features, which have none of their own."""
SERVING_FRAME_RATE = 25.0
SENTIMENT = "sentiment"
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
    is None is absent: the network was trained without it and has no input for it. `segments`: the network takes this
    number of equally long segments of every video, whatever its length.
    """

    name: str
    version: str
    task: str = SENTIMENT
    frame_rate: float | None = SERVING_FRAME_RATE
    snippet_frames: int = SNIPPET_FRAMES
    visual: VisualStream | None = field(default_factory=VisualStream)
    audio: AudioStream | None = field(default_factory=AudioStream)
    face: FaceStream | None = field(default_factory=FaceStream)
    flow: FlowStream | None = None
    classes: tuple[str, ...] = CLASSES
    proposal_rule: str = "serving"
    confidence_threshold: float = 0.5
    segments: int | None = None

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

    @property
    def stream_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one snippet in each stream of snippets."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.visual is not None:
            shapes["visual"] = (self.visual.dim,)
        if self.audio is not None:
            shapes["audio"] = (self.audio.frames, self.audio.mels)
        if self.face is not None:
            shapes["face"] = (self.face.dim,)
        return shapes

    def reads(self, features: ModelSpec) -> bool:
        """Whether a network of this spec can read features of another one, which may have further streams."""
        streams = ("visual", "audio", "face", "flow")
        needed = [
            "frame_rate",
            "snippet_frames",
            *(name for name in streams if getattr(self, name) is not None),
        ]
        return all(getattr(self, name) == getattr(features, name) for name in needed)

    def to_json(self) -> str:
        """The spec as JSON with sorted keys."""
        return json.dumps(self._parts(), sort_keys=True, indent=2)

    def _parts(self) -> dict[str, Any]:
        """All fields. What was added later is left out if unset, so that older specs keep their hashes."""
        parts = asdict(self)
        if self.segments is None:
            del parts["segments"]
        if self.flow is None:
            del parts["flow"]
        if self.audio is not None and self.audio.level is None:
            del parts["audio"]["level"]
        return parts


def _digest(value: dict[str, Any]) -> str:
    # Sorted, because the hash must not depend on the order of fields.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def parse_spec(text: str) -> ModelSpec:
    """Read `ModelSpec.to_json`; raises `spec_mismatch` for anything else, also for fields with impossible values."""
    try:
        raw = json.loads(text)
        spec = ModelSpec(
            **{
                **raw,
                "classes": _listed(raw["classes"]),
                "visual": VisualStream(**raw["visual"]) if raw["visual"] else None,
                "audio": AudioStream(**raw["audio"]) if raw["audio"] else None,
                "face": FaceStream(**raw["face"]) if raw["face"] else None,
                # Specs written before GIM was added have no `flow`.
                "flow": FlowStream(**raw["flow"]) if raw.get("flow") else None,
            }
        )
        _check_values(spec)
    except RecursionError as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, "not a model spec: nested too deeply") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"not a model spec: {error}") from error
    return spec


def _listed(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        # A string would become a tuple of its letters.
        raise TypeError(f"classes is {value!r}, and must be a list")
    return tuple(value)


def _check_values(spec: ModelSpec) -> None:
    """Raise ValueError for a field of another type, and for a size, a rate or a threshold that cannot be."""
    streams = {name: getattr(spec, name) for name in ("visual", "audio", "face", "flow")}
    for place, part in {"": spec, **streams}.items():
        for name, kinds in () if part is None else _KINDS[type(part)].items():
            value, said = getattr(part, name), f"{place}.{name}".lstrip(".")
            if not any(_is_of(value, kind) for kind in kinds):
                raise ValueError(f"{said} is {value!r}")
            if isinstance(value, (int, float)) and value <= 0 and name not in _ANY_SIGN:
                raise ValueError(f"{said} is {value!r}, and must be above 0")
    if not spec.classes or len({*spec.classes}) < len(spec.classes) or "" in spec.classes:
        raise ValueError(f"classes are {spec.classes!r}")
    if not 0 <= spec.confidence_threshold <= 1:
        raise ValueError(f"confidence_threshold is {spec.confidence_threshold!r}")


_ANY_SIGN = {"level", "confidence_threshold"}


def _kinds(part: type) -> dict[str, tuple[Any, ...]]:
    """The types that each field of a dataclass may have."""
    hints = get_type_hints(part)
    return {
        name: (kind,) if kind == tuple[str, ...] else get_args(kind) or (kind,)
        for name, kind in hints.items()
    }


_KINDS = {part: _kinds(part) for part in (ModelSpec, VisualStream, AudioStream, FaceStream, FlowStream)}


def _is_of(value: object, kind: Any) -> bool:
    if kind == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if kind in (int, float):
        # JSON has one kind of number, and Python reads NaN and Infinity in it.
        is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return is_number and math.isfinite(value)  # type: ignore[arg-type]
    return value is None if kind is NoneType else isinstance(value, kind)


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
