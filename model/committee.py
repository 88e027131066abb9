"""Several FSENets that see the same streams and are served as one: the mean of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.fsenet import FSENet, FSENetOutput, encode_audio, present_steps


class Committee(nn.Module):
    """FSENets of one configuration whose scores are averaged, with one audio encoder for all of them.

    Without `audio_encoder` the members' own audio goes in (B, T, dim), with it log-mel (B, T, *audio_shape).
    """

    def __init__(
        self,
        members: Sequence[FSENet],
        audio_encoder: nn.Module | None = None,
        audio_shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        configs = {member.config for member in members}
        if len(configs) != 1 or any(member.audio_encoder is not None for member in members):
            raise ValueError("the members of a committee take the same streams, and no raw audio")
        config = configs.pop()
        self.config = replace(config, audio_shape=audio_shape) if audio_shape else config
        self.members = nn.ModuleList(members)
        self.audio_encoder = audio_encoder

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
            heard = present_steps(audio, audio_present, valid, nothing)
            audio = encode_audio(self.audio_encoder, audio, heard)
        masks = (visual_present, audio_present, face_present, valid)
        outputs = [member(visual, audio, face, *masks) for member in self.members]
        return FSENetOutput(*(torch.stack(parts).mean(0) for parts in zip(*outputs, strict=True)))
