"""The layers before FSENet's attention: they map each stream's features to F (B, T, d), or to a learned state if
absent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDED_AUDIO = 512
LEAST_DEVIATION = 0.3
"""Added to a stream's standard deviation, so that nearly constant features are not amplified."""
_TINY = 1e-8
_DRAWS = 1 << 16


class Dropout(nn.Dropout):
    """Dropout whose random numbers take a seventh of the usual time on a CPU: 16 bits for each value, from the default
    generator.

    The rate is rounded to 1/65536, and the remaining values are scaled by the rounded rate. A GPU draws as PyTorch
    does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x with a share of its values set to zero and the others scaled up, in training."""
        is_drawn = self.training and 0 < self.p < 1
        if not is_drawn or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropped = min(round(self.p * _DRAWS), _DRAWS - 1)
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (bits >= dropped - _DRAWS // 2).to(x.dtype)
        return x * kept.mul_(_DRAWS / (_DRAWS - dropped))


class TimeConv(nn.Module):
    """1-D convolution over time; steps that are not valid enter as zeros, as beyond the sequence's end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """x (B, T, inputs), valid (B, T) or None -> (B, T, outputs)."""
        if valid is not None:
            x = x * valid.unsqueeze(-1)
        convolved: Tensor = self.conv(x.transpose(1, 2))
        return convolved.transpose(1, 2)


class LogMelEncoder(nn.Module):
    """Small 2-D CNN over one snippet's log-mel patch, (B, T, frames, mels) -> (B, T, outputs)."""

    def __init__(self, frames: int, mels: int, outputs: int = EMBEDDED_AUDIO) -> None:
        super().__init__()
        channels = (16, 32, 64)
        layers: list[nn.Module] = []
        for source, target in zip((1, *channels), channels, strict=False):
            convolution = nn.Conv2d(source, target, 3, stride=2, padding=1)
            layers += [convolution, nn.GroupNorm(1, target), nn.ReLU(inplace=True)]
            frames, mels = (frames + 1) // 2, (mels + 1) // 2
        # Channels last: the outputs take the layout of the weights, and a step takes a tenth less time on a CPU.
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.project = nn.Linear(channels[-1] * frames * mels, outputs)
        self.outputs = outputs

    def forward(self, x: Tensor, _present: Tensor) -> Tensor:
        """x (B, T, frames, mels); the mask (B, T) is not needed, since snippets do not see each other
        here.
        """
        batch, time = x.shape[:2]
        patches = self.layers(x.reshape(batch * time, 1, x.shape[2], x.shape[3]))
        encoded: Tensor = self.project(patches.flatten(1))
        return encoded.reshape(batch, time, self.outputs)


class StreamProjection(nn.Module):
    """Raw features of one stream -> F (B, T, d); a learned state where the stream is absent.

    With `from_face`, the absent state of visual and audio also reads the face at that step: equations 1 and
    2 use the face as query only, so without this the face of a silent video without visual features would
    never reach a class score. With `centred`, the features minus their mean are added as further inputs; with
    `standardized`, also divided by their standard deviation.
    """

    def __init__(
        self,
        inputs: int | None,
        width: int,
        *,
        kernel: int = 1,
        dropout: float = 0.0,
        from_face: bool = False,
        centred: bool = False,
        standardized: bool = False,
    ) -> None:
        super().__init__()
        self.absent = nn.Parameter(0.02 * torch.randn(width))
        self.from_face = nn.Linear(width, width, bias=False) if from_face else None
        self.centred, self.standardized = centred, standardized
        copies = 1 + centred + standardized
        self.conv = TimeConv(inputs * copies, width, kernel) if inputs is not None else None
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor | None, present: Tensor, face: Tensor | None = None) -> Tensor:
        """x (B, T, inputs), present (B, T), face (B, T, d) -> (B, T, d); x at absent steps does not
        matter.
        """
        if x is None or self.conv is None:
            return self._absent(face, present)
        projected = self.dropout(functional.relu(self.norm(self.conv(self._copies(x, present), present))))
        if self.training and present.device.type == "cpu" and not torch.compiler.is_compiling():
            return self._fill_in(projected, present, face)
        return torch.where(present.unsqueeze(-1), projected, self._absent(face, present).to(projected.dtype))

    def _absent(self, face: Tensor | None, present: Tensor) -> Tensor:
        """The learned state of every step, (B, T, d)."""
        absent = self.absent.expand(*present.shape, -1)
        return absent if self.from_face is None or face is None else absent + self.from_face(face)

    def _fill_in(self, projected: Tensor, present: Tensor, face: Tensor | None) -> Tensor:
        """The same for few absent steps: only their states are computed. Not for GPUs, which would have to wait for the
        indices, and not for export, which needs fixed shapes.
        """
        rows = (~present).nonzero(as_tuple=True)
        absent = self.absent.expand(len(rows[0]), -1)
        if self.from_face is not None and face is not None:
            absent = absent + self.from_face(face[rows])
        return projected.index_put(rows, absent.to(projected.dtype))

    def _copies(self, x: Tensor, present: Tensor) -> Tensor:
        """The features (B, T, n) as they are and against the rest of the video, (B, T, n * copies)."""
        if not (self.centred or self.standardized):
            return x
        rest, copies = x - present_mean(x, present), [x]
        if self.centred:
            copies.append(rest)
        if self.standardized:
            deviation = present_mean(rest.square(), present).clamp(min=_TINY).sqrt()
            copies.append(rest / (deviation + LEAST_DEVIATION))
        return torch.cat(copies, dim=-1)


def present_mean(x: Tensor, present: Tensor) -> Tensor:
    """Mean over the present steps: x (B, T, n), present (B, T) -> (B, 1, n); 0 where nothing is present."""
    mask = present.unsqueeze(-1).to(x.dtype)
    return (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
