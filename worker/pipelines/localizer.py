"""FSENet with ONNX Runtime: converts snippet features of any length to scores, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import ModelPackage
from sentiloc.model.segments import BoolArray, FloatArray, FrameScores, SnippetFeatures
from sentiloc.model.spec import ModelSpec, parse_spec
from sentiloc.worker.features.feature_file import release_pages
from sentiloc.worker.runtime.steps import count_step

STREAMS = ("visual", "audio", "face")
# About five minutes. Attention is computed within a window, so memory does not grow with the video.
WINDOW = 512
# Neighbouring windows are blended over this, so that no seam is visible in the scores.
OVERLAP = 128
_SHORT = 64
"""Snippets up to which a window is scored with and without each stream in one run of the network: 41 s."""
REACH_SECONDS = 2.5
"""How far from a face the rest of a video still counts as its context; see `Localizer.score`."""
_ONNX_TYPES = {"tensor(bool)": np.bool_, "tensor(float)": np.float32}


class Session(Protocol):
    """The interface of `onnxruntime.InferenceSession` that is used here."""

    def run(self, outputs: list[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Named inputs to named outputs."""

    def get_inputs(self) -> list[Any]:
        """Declared inputs."""

    def get_outputs(self) -> list[Any]:
        """Declared outputs."""

    def get_modelmeta(self) -> Any:
        """Metadata that was stored at export."""


class Localizer:
    """Scores videos with one package's network, after checking that network and spec belong together."""

    def __init__(self, package: ModelPackage, session: Session) -> None:
        self._session = session
        self.spec = package.spec
        check_spec(package.spec, session)
        shapes = package.spec.stream_shapes
        check_ports(session, shapes | {f"{stream}_present": () for stream in shapes}, ("scores", "saliency"))
        self._input_types = {node.name: _ONNX_TYPES[node.type] for node in session.get_inputs()}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that the network takes."""
        return tuple(stream for stream in STREAMS if stream in self._input_types)

    def score(self, features: SnippetFeatures) -> FrameScores:
        """Scores (T, C + 1) and saliency (T,) of a video of T snippets, in windows blended at their seams.

        Without a visual stream, a minute of music or silence around a face says nothing about it, but takes nearly all
        of the attention and hides the face. So faces are scored within `REACH_SECONDS` of what surrounds them, and
        the rest with the whole window. The surroundings of all faces of a window are one context, without the gaps
        between them.
        """
        return self._score_all([features], features.face_present)[0]

    def score_with_evidence(self, features: SnippetFeatures) -> tuple[FrameScores, dict[str, FrameScores]]:
        """The scores, and those with one stream masked for each stream that the video has."""
        present = {stream: getattr(features, f"{stream}_present") for stream in self.streams}
        heard = [stream for stream, mask in present.items() if mask.any()]
        # With a single stream there is no comparison, because no input is left without it.
        masked = heard if len(heard) > 1 else []
        without = [
            replace(features, **{f"{stream}_present": np.zeros_like(present[stream])}) for stream in masked
        ]
        # In the same context as with all streams, so that only the stream makes the difference.
        scores, *others = self._score_all([features, *without], features.face_present)
        return scores, dict(zip(masked, others, strict=True))

    def _score_all(self, variants: Sequence[SnippetFeatures], faces: BoolArray) -> list[FrameScores]:
        """The scores of the same T snippets with other streams masked, in the context of `faces` (T,)."""
        total = len(faces)
        scores = np.zeros((len(variants), total, len(self.spec.classes) + 1), np.float32)
        saliency = np.zeros((len(variants), total), np.float32)
        weights = np.zeros(total, np.float32)
        for window in windows(total):
            weight = blending_weights(window, total)
            near = nearness(faces[window], self.reach)
            # A run has a fixed cost, which matters for short windows; long ones would take more memory.
            at_once = len(variants) if len(weight) <= _SHORT else 1
            for first in range(0, len(variants), at_once):
                part = slice(first, first + at_once)
                far, salient = self._run(variants[part], window, near)
                scores[part, window] += far * weight[:, None]
                saliency[part, window] += salient * weight
                count_step()
            weights[window] += weight
        return [
            FrameScores(scores=one / weights[:, None], saliency=salient / weights)
            for one, salient in zip(scores, saliency, strict=True)
        ]

    @property
    def reach(self) -> int | None:
        """`REACH_SECONDS` in snippets; None if the whole window is context, because the network also sees the
        pictures.
        """
        alone = "face" in self._input_types and "visual" not in self._input_types
        return round(REACH_SECONDS / self.spec.snippet_seconds) if alone else None

    def _run(
        self, variants: Sequence[SnippetFeatures], window: slice, near: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Scores (n, length, C + 1) and saliency (n, length) of one window of n variants. `near` (length,) weights the
        scores that were computed in the context of the faces.
        """
        inputs = {
            name: np.stack([getattr(one, name)[window].astype(kind, copy=False) for one in variants])
            for name, kind in self._input_types.items()
        }
        scores, saliency = self._session.run(["scores", "saliency"], inputs)
        _check_answer(scores, (len(variants), len(near), len(self.spec.classes) + 1))
        _check_answer(saliency, (len(variants), len(near), 1))
        rows = np.flatnonzero(near)
        if 0 < len(rows) < len(near):
            weight = near[rows, None]
            close = self._session.run(["scores", "saliency"], {n: x[:, rows] for n, x in inputs.items()})
            for far, part in zip((scores, saliency), close, strict=True):
                far[:, rows] += weight * (part - far[:, rows])
        for stream in self.streams:
            # Features of long videos lie in a file; their memory pages are released after each window.
            release_pages(getattr(variants[0], stream))
        return scores, saliency[..., 0]


def check_spec(spec: ModelSpec, session: Session) -> None:
    """Raise `spec_mismatch` unless the network was exported under exactly this spec."""
    stored = session.get_modelmeta().custom_metadata_map.get("sentiloc.spec")
    if stored is None or parse_spec(stored) != spec:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{spec.name}: spec.json and the network do not agree")


def check_ports(session: Session, taken: Mapping[str, tuple[int, ...] | None], given: Sequence[str]) -> None:
    """Raise `spec_mismatch` unless the network takes no other inputs than these and gives these outputs.

    `taken` has the shape of one snippet of each input, before which come the batch and the time, both of any length;
    None stands for any shape.
    """
    for node in session.get_inputs():
        if node.name not in taken or node.type not in _ONNX_TYPES:
            detail = (
                f"the network has an input {node.name!r} of {node.type}, which its spec.json does not have"
            )
            raise SentilocError(ErrorCode.SPEC_MISMATCH, detail)
        wanted = taken[node.name]
        if wanted is not None and not _fits(node.shape, wanted):
            detail = (
                f"the network's input {node.name!r} has the shape {node.shape}, which does not fit spec.json"
            )
            raise SentilocError(ErrorCode.SPEC_MISMATCH, detail)
    if missing := sorted(set(given) - {node.name for node in session.get_outputs()}):
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"the network has no output {', '.join(missing)}")


def _fits(shape: Sequence[int | str | None], snippet: tuple[int, ...]) -> bool:
    """Whether a declared shape is (batch, time, *snippet). A length that is not a number is any length."""
    if len(shape) != 2 + len(snippet) or any(isinstance(length, int) for length in shape[:2]):
        return False
    return all(
        not isinstance(own, int) or own == length for own, length in zip(shape[2:], snippet, strict=True)
    )


def _check_answer(found: NDArray[np.float32], wanted: tuple[int, ...]) -> None:
    # NumPy would repeat an array of fewer dimensions, so a wrong network would give wrong scores.
    if found.shape != wanted:
        detail = f"the network gave an array of the shape {found.shape} where its spec.json needs {wanted}"
        raise SentilocError(ErrorCode.SPEC_MISMATCH, detail)


def windows(total: int, length: int = WINDOW, overlap: int = OVERLAP) -> Iterator[slice]:
    """Slices that cover `total` snippets, each at most `length` long; neighbours overlap by at least `overlap`."""
    if total <= length:
        if total:
            yield slice(0, total)
        return
    # Rounded up; evenly spread starts give neighbours at least `overlap` in common.
    count = -(-(total - overlap) // (length - overlap))
    for start in np.linspace(0, total - length, count).round().astype(int):
        yield slice(int(start), int(start) + length)


def nearness(faces: BoolArray, reach: int | None) -> FloatArray:
    """1 where a face is seen (T,), falling linearly to 0 at more than `reach` snippets from it; all 0 for None."""
    if reach is None:
        return np.zeros(len(faces), np.float32)
    places, seen = np.arange(len(faces)), np.flatnonzero(faces)
    if not len(seen):
        return np.zeros(len(faces), np.float32)
    after = np.searchsorted(seen, places).clip(max=len(seen) - 1)
    away = np.minimum(abs(seen[after] - places), abs(places - seen[(after - 1).clip(min=0)]))
    return np.asarray((1 - away / (reach + 1)).clip(min=0), np.float32)


def blending_weights(window: slice, total: int, overlap: int = OVERLAP) -> FloatArray:
    """Blending weights (window length,): 1 inside, falling linearly towards the neighbouring windows."""
    steps = np.arange(window.stop - window.start, dtype=np.float32)
    # +1, so that no weight is zero: the sum is used as a divisor.
    rise = np.ones_like(steps) if window.start == 0 else np.minimum((steps + 1) / overlap, 1)
    fall = np.ones_like(steps) if window.stop == total else np.minimum((steps[::-1] + 1) / overlap, 1)
    return rise * fall
