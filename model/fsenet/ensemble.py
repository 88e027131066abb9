"""Several FSENets with the same streams that are served as one network: the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentiloc.model.fsenet.network import FSENet, FSENetConfig, FSENetOutput, encode_audio, present_steps


class LinearReadout(nn.Module):
    """An FSENet with fixed linear maps in front, which reduce whole features to the readings that it was trained on.

    `audio` (n, dim) and `face` (m, dim) are those maps; the network was trained on their n and m values.
    """

    audio: Tensor
    face: Tensor

    def __init__(self, network: FSENet, *, audio: Tensor, face: Tensor) -> None:
        super().__init__()
        network_dims = network.config.audio_shape, network.config.face_dim
        if network_dims != ((len(audio),), len(face)) or network.audio_encoder is not None:
            raise ValueError(
                f"the network takes {network_dims}, not what is read: ({len(audio)},) and {len(face)}"
            )
        self.network = network
        self.config = replace(network.config, audio_shape=(audio.shape[1],), face_dim=face.shape[1])
        # Buffers, not parameters: they are stored with the weights but not trained.
        self.register_buffer("audio", audio)
        self.register_buffer("face", face)

    def forward(
        self, visual: Tensor | None, audio: Tensor, face: Tensor, *masks: Tensor | None
    ) -> FSENetOutput:
        """As `FSENet.forward`, on whole features: audio (B, T, dim), face (B, T, dim)."""
        output: FSENetOutput = self.network(visual, audio @ self.audio.T, face @ self.face.T, *masks)
        return output


class Ensemble(nn.Module):
    """Networks with the same streams, whose scores are averaged. They share one encoder per stream.

    Without `audio_encoder` the input is the members' audio (B, T, dim), with it log-mel (B, T, *audio_shape). Without
    `visual_encoder` it is their visual readings, with it features (B, T, visual_dim).
    """

    def __init__(
        self,
        members: Sequence[LinearReadout],
        audio_encoder: nn.Module | None = None,
        audio_shape: tuple[int, int] | None = None,
        visual_encoder: nn.Module | None = None,
        visual_dim: int | None = None,
    ) -> None:
        super().__init__()
        config = members[0].config
        if any(_served(member.config) != _served(config) for member in members):
            raise ValueError("the members of an ensemble take the same streams")
        config = replace(config, audio_shape=audio_shape) if audio_shape else config
        self.config = replace(config, visual_dim=visual_dim) if visual_dim else config
        self.members = nn.ModuleList(members)
        self.audio_encoder, self.visual_encoder = audio_encoder, visual_encoder

    def forward(
        self,
        visual: Tensor | None,
        audio: Tensor | None,
        face: Tensor | None,
        visual_present: Tensor | None = None,
        audio_present: Tensor | None = None,
        face_present: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> FSENetOutput:
        """As `FSENet.forward`; every part of the output is the members' mean."""
        if audio is not None and self.audio_encoder is not None:
            nothing = torch.zeros_like(audio[..., 0, 0], dtype=torch.bool)
            # The shared encoder runs once; each member would otherwise repeat it.
            heard = present_steps(audio, audio_present, valid, nothing)
            audio = encode_audio(self.audio_encoder, audio, heard)
        if visual is not None and self.visual_encoder is not None:
            visual = self.visual_encoder(visual)
        masks = (visual_present, audio_present, face_present, valid)
        outputs = [member(visual, audio, face, *masks) for member in self.members]
        return FSENetOutput(*(torch.stack(parts).mean(0) for parts in zip(*outputs, strict=True)))

    def with_audio_encoder(self, audio_encoder: nn.Module, audio_shape: tuple[int, int]) -> Ensemble:
        """The same members with an audio encoder before them."""
        members = [member for member in self.members if isinstance(member, LinearReadout)]
        visual_dim = self.config.visual_dim if self.visual_encoder else None
        return Ensemble(members, audio_encoder, audio_shape, self.visual_encoder, visual_dim).eval()

    def with_visual_encoder(self, visual_encoder: nn.Module, visual_dim: int) -> Ensemble:
        """The same members with a visual encoder for features (B, T, visual_dim) before them."""
        members = [member for member in self.members if isinstance(member, LinearReadout)]
        shape = self.config.audio_shape if self.audio_encoder else None
        audio_shape = (shape[0], shape[1]) if shape and len(shape) == 2 else None
        return Ensemble(members, self.audio_encoder, audio_shape, visual_encoder, visual_dim).eval()


def _served(config: FSENetConfig) -> tuple[object, ...]:
    """The properties that all members must share: streams, classes and the served scores."""
    return config.stream_shapes, config.classes, config.fusion
