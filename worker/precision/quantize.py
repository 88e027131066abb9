"""Quantizes I3D to 8-bit integers. It is calibrated on your own videos; the error is measured on held-out snippets.

For processors with VNNI or AMX, through OpenVINO. Needs the package `onnx`, which sentiloc[train] brings.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.weights import sha256
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, SnippetFrames, decode
from sentiloc.worker.features.visual import CALIBRATED_ON, VISUAL_SIZE, VisualExtractor
from sentiloc.worker.precision.effect import feature_effect
from sentiloc.worker.runtime.device import Device, Precision
from sentiloc.worker.runtime.onnx_session import create_session, is_installed

QUANTIZED = ("Conv", "Relu", "MaxPool", "Concat")
"""Pad is not quantized, which would be slower.

Activations are unsigned, because OpenVINO computes I3D wrongly with signed ones.
"""
EVERY, PER_VIDEO = 5, 8
Snippet = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationError:
    """Over held-out snippets: the largest feature error relative to the largest feature, and the lowest cosine with
    float32.

    `device` computed the 8-bit features. It is the serving device, if this installation has it.
    """

    relative: float
    cosine: float
    device: Device


def sample_snippets(videos: Sequence[Path], limits: DecodeLimits) -> list[Snippet]:
    """Every fifth snippet (16, 224, 224, 3) of each video, at most eight per video."""
    return [snippet for video in videos for snippet in _sample(video, limits)]


def _sample(video: Path, limits: DecodeLimits) -> Iterator[Snippet]:
    with closing(decode(video, DecodeRequest(visual_size=VISUAL_SIZE), limits)) as events:
        for event in events:
            if not isinstance(event, SnippetFrames) or event.visual is None:
                continue
            if event.index % EVERY == 0:
                yield event.visual
            # Ends decoding here, because the rest of a long video is not needed.
            if event.index >= EVERY * (PER_VIDEO - 1):
                return


def quantize(
    source: Path, target: Path, snippets: Sequence[Snippet], videos: Sequence[Path] = ()
) -> QuantizationError:
    """Write the 8-bit version of graph `source`. Even snippets calibrate the ranges, odd ones measure the error.

    `target` records the digests of the `videos`, so that it is not evaluated on them. Raises
    `invalid_data` for fewer than two snippets. `target` is written atomically.
    """
    if len(snippets) < 2:
        raise SentilocError(ErrorCode.INVALID_DATA, "calibration needs videos of at least four seconds")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(snippets[::2])

        def get_next(self) -> dict[str, Any] | None:
            snippet = next(self._left, None)
            return None if snippet is None else {"frames": snippet[None]}

    with tempfile.TemporaryDirectory(dir=target.parent) as folder, _without_advice():
        part = Path(folder) / target.name
        quantize_static(
            str(source),
            str(part),
            Reader(),
            quant_format=QuantFormat.QDQ,
            # One scale per channel: batch norm folded into I3D's weights makes their ranges differ widely.
            per_channel=True,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=list(QUANTIZED),
        )
        _remember(part, videos)
        error = _compare(source, part, snippets[1::2])
        part.replace(target)
    return error


@contextmanager
def _without_advice() -> Iterator[None]:
    """Mutes ONNX Runtime's advice to fold batch norms first, because the export has done so."""
    # The advice goes to the root logger, so a filter on ONNX Runtime's own logger would not see it.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _remember(network: Path, videos: Sequence[Path]) -> None:
    import onnx

    graph = onnx.load(network)
    digests = sorted({sha256(video) for video in videos})
    graph.metadata_props.add(key=CALIBRATED_ON, value=json.dumps(digests))
    onnx.save(graph, network)


def _compare(source: Path, quantized: Path, snippets: Sequence[Snippet]) -> QuantizationError:
    device: Device = "openvino" if is_installed("openvino") else "cpu"
    precision: Precision = "int8" if device == "openvino" else "float32"
    exact = VisualExtractor(create_session(source)).extract(snippets)
    ours = VisualExtractor(create_session(quantized, device, precision=precision)).extract(snippets)
    effect = feature_effect(exact, ours)
    return QuantizationError(relative=effect.largest, cosine=effect.cosine, device=device)
