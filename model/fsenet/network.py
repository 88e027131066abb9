"""FSENet (CVPR 2026), equations 1-3, 9 and 10: the network alone, no losses and no training heads.

Shapes: batch B, time T in snippets, width d, C sentiment classes plus one for non-sentiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentiloc.model.fsenet.attention import AttentionKind, CrossAttention
from sentiloc.model.fsenet.streams import EMBEDDED_AUDIO, Dropout, LogMelEncoder, StreamProjection, TimeConv
from sentiloc.model.spec import ModelSpec

Fusion = Literal["cas", "global", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FSENetConfig:
    """The hyperparameters of the network. A stream that is None is absent from it.

    From the paper (sections 3.5 and 4.1): width 512, 1-D convolutions onto it, C + 1 independent class
    convolutions, cross attention without a feed-forward block. The paper does not give the following; chosen here:

    - heads 8: 64 features a head, as in the attention paper that it cites.
    - dropout 0.1: 200 training videos; the usual rate of attention blocks.
    - projection_kernel 3: lets a snippet see its neighbours before the position-free attention.
    - attention "normalized": queries and keys are centred over the video and scaled, so that the attention does not
    stay uniform; "plain" is the textbook form, which stays a mean over time here (`CrossAttention`, docs/training.md).
    - position "rotary": heads can prefer a distance in time; "none" is equations 1-2 to the letter.
    - saliency_width 256, class_width 128: E and the class heads stay under a quarter of the multiplications.
    - sentiment_prior, non_sentiment_prior: the initial scores. Equation 8 uses the model's own scores, so the first
    pseudo-labels should be "non-sentiment, unless a point is near", not noise around one half.
    - fusion "cas": equation 9 is what the paper calls the frame-level score; "global" serves equation 10.
    - centred False: as in the paper. True gives every stream a second time with its mean over the video subtracted, so
    that a face or voice is compared with the person's own mean; the resting face of some people looks negative.
    - standardized False: as in the paper. True gives every stream once more, centred and divided by its deviation over
    the video (+ 0.3), because the range of expression also differs between people.
    - attention_window None: the whole video; a number of snippets limits |t - s| and makes the cost linear.
    """

    visual_dim: int | None = 1024
    audio_shape: tuple[int, ...] | None = (32, 60)
    face_dim: int | None = 256
    classes: int = 2
    width: int = 512
    heads: int = 8
    dropout: float = 0.1
    projection_kernel: int = 3
    centred: bool = False
    standardized: bool = False
    attention: AttentionKind = "normalized"
    position: Literal["none", "rotary"] = "rotary"
    attention_window: int | None = None
    saliency_width: int = 256
    class_width: int = 128
    sentiment_prior: float = 0.1
    non_sentiment_prior: float = 0.9
    stage1: bool = True
    stage2: bool = True
    gsp: bool = True
    fusion: Fusion = "cas"

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the heads ({self.heads})")
        if not self.streams:
            raise ValueError("FSENet needs at least one stream")

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that the network takes, in input order."""
        return tuple(self.stream_shapes)

    @property
    def stream_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one snippet in each stream that the network takes, in input order."""
        shapes = {
            "visual": None if self.visual_dim is None else (self.visual_dim,),
            "audio": self.audio_shape,
            "face": None if self.face_dim is None else (self.face_dim,),
        }
        return {name: shape for name, shape in shapes.items() if shape is not None}

    @classmethod
    def for_spec(cls, spec: ModelSpec, **options: object) -> FSENetConfig:
        """The network that fits a spec; audio of one row per snippet (frames = 1) counts as embedded."""
        audio = spec.audio and (
            (spec.audio.mels,) if spec.audio.frames == 1 else (spec.audio.frames, spec.audio.mels)
        )
        return cls(
            visual_dim=spec.visual.dim if spec.visual else None,
            audio_shape=audio or None,
            face_dim=spec.face.dim if spec.face else None,
            classes=len(spec.classes),
            **options,  # type: ignore[arg-type]
        )


class FSENetOutput(NamedTuple):
    """scores and global_scores (B, T, C + 1), saliency (B, T, 1), all in [0, 1]; fused (B, T, 2d)."""

    scores: Tensor
    global_scores: Tensor
    saliency: Tensor
    fused: Tensor

    def served(self, fusion: Fusion) -> Tensor:
        """The scores that inference uses, (B, T, C + 1)."""
        if fusion == "mean":
            return (self.scores + self.global_scores) / 2
        return self.global_scores if fusion == "global" else self.scores


class FSENet(nn.Module):
    """Face-guided sentiment discovery and its class heads.

    `audio_encoder` maps (B, T, frames, mels) and a present mask (B, T) to (B, T, `outputs`); without that attribute to
    512 values. A raw-audio config without an encoder gets `LogMelEncoder`.
    """

    def __init__(self, config: FSENetConfig, audio_encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.audio_encoder = audio_encoder
        # One row a snippet is already an embedding; only raw log-mel needs an encoder.
        if audio_encoder is None and config.audio_shape is not None and len(config.audio_shape) == 2:
            self.audio_encoder = LogMelEncoder(*config.audio_shape)
        sizes = {"visual": config.visual_dim, "audio": self._audio_width(), "face": config.face_dim}
        self.visual, self.audio, self.face = (
            StreamProjection(
                size,
                config.width,
                kernel=config.projection_kernel,
                dropout=config.dropout,
                from_face=name != "face",
                centred=config.centred,
                standardized=config.standardized,
            )
            for name, size in sizes.items()
        )
        self._build_interaction()
        self._build_heads()

    def _audio_width(self) -> int | None:
        if self.config.audio_shape is None:
            return None
        encoder = self.audio_encoder
        return self.config.audio_shape[0] if encoder is None else embedded_width(encoder)

    def _build_interaction(self) -> None:
        """Four cross attentions: two of stage I (eq. 1), two of stage II (eq. 2)."""
        config = self.config
        # A stage that is switched off has no parameters, so that ablated runs are smaller, not merely unused.
        first, second = ("face_visual", "face_audio"), ("audio_visual", "visual_audio")
        names = first * config.stage1 + second * config.stage2
        self.attention = nn.ModuleDict(
            {
                name: CrossAttention(
                    config.width,
                    config.heads,
                    dropout=config.dropout,
                    rotary=config.position == "rotary",
                    window=config.attention_window,
                    kind=config.attention,
                )
                for name in names
            }
        )

    def _build_heads(self) -> None:
        config, outputs = self.config, self.config.classes + 1
        self.class_hidden = TimeConv(2 * config.width, config.class_width * outputs, 3)
        # Groups keep the C + 1 heads independent, as section 3.5 asks, in one kernel.
        self.class_score = nn.Conv1d(config.class_width * outputs, outputs, 1, groups=outputs)
        priors = torch.tensor([config.sentiment_prior] * config.classes + [config.non_sentiment_prior])
        with torch.no_grad():
            # The first scores are the priors: equation 8 builds its first labels from them.
            self.class_score.bias.copy_(torch.logit(priors))  # type: ignore[union-attr]
        self.dropout = Dropout(config.dropout)
        if config.gsp:
            self.saliency_conv1 = TimeConv(3 * config.width, config.saliency_width, 3)
            self.saliency_conv2 = TimeConv(config.saliency_width, config.saliency_width, 3)
            self.regression = nn.Linear(config.saliency_width, 1)

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
        """visual (B, T, dim), audio (B, T, frames, mels) or (B, T, dim), face (B, T, dim), masks bool (B, T).

        A stream that the config does not have is passed as None and is absent everywhere. A present mask of None means
        present everywhere. `valid` False marks padding, which changes no score of a valid step.
        """
        first = next(x for x in (visual, audio, face) if x is not None)
        # Derived from an input, so that export keeps batch and time dynamic.
        nothing = torch.zeros_like(first.flatten(2)[..., 0], dtype=torch.bool)
        visual_mask = present_steps(visual, visual_present, valid, nothing)
        audio_mask = present_steps(audio, audio_present, valid, nothing)
        if audio is not None and self.audio_encoder is not None:
            audio = encode_audio(self.audio_encoder, audio, audio_mask)
        f_face = self.face(face, present_steps(face, face_present, valid, nothing))
        # A missing visual or audio stream is replaced by the face's, so the face is projected first.
        f_visual = self.visual(visual, visual_mask, f_face)
        f_audio = self.audio(audio, audio_mask, f_face)
        fused = self._interact(f_visual, f_audio, f_face, valid)
        scores = self._classify(fused, valid)
        saliency = self._perceive(f_visual, f_audio, f_face, valid, scores)
        return FSENetOutput(scores, self._global_scores(scores, saliency), saliency, fused)

    def _interact(self, visual: Tensor, audio: Tensor, face: Tensor, valid: Tensor | None) -> Tensor:
        """Equations 1 and 2, then F_mix = [F_v^(af); F_a^(vf)] (B, T, 2d)."""
        attention = self.attention
        if self.config.stage1:
            visual = visual + attention["face_visual"](face, visual, visual, valid)
            audio = audio + attention["face_audio"](face, audio, audio, valid)
        if self.config.stage2:
            # Both directions read the streams as stage I left them; neither sees the other's result.
            fused_visual = visual + attention["audio_visual"](audio, visual, visual, valid)
            fused_audio = audio + attention["visual_audio"](visual, audio, audio, valid)
            visual, audio = fused_visual, fused_audio
        return torch.cat([visual, audio], dim=-1)

    def _classify(self, fused: Tensor, valid: Tensor | None) -> Tensor:
        """Equation 9: C + 1 independent convolutional heads on F_mix, sigmoid."""
        hidden = functional.relu(self.class_hidden(self.dropout(fused), valid))
        logits = self.class_score(hidden.transpose(1, 2)).transpose(1, 2)
        # Under autocast a half-precision sigmoid would round scores near 0 and 1, and losses take their logarithm.
        return torch.sigmoid(logits.float())

    def _perceive(
        self, visual: Tensor, audio: Tensor, face: Tensor, valid: Tensor | None, scores: Tensor
    ) -> Tensor:
        """Equation 3: W_sent (B, T, 1); ones without GSP, which leaves eq. 5 unweighted."""
        if not self.config.gsp:
            return torch.ones_like(scores[..., :1])
        hidden = functional.relu(self.saliency_conv1(torch.cat([audio, visual, face], dim=-1), valid))
        hidden = functional.relu(self.saliency_conv2(self.dropout(hidden), valid))
        return torch.sigmoid(self.regression(hidden).float())

    def _global_scores(self, scores: Tensor, saliency: Tensor) -> Tensor:
        """Equation 10: [W y_1..C ; (1 - W) y_C+1]; the class scores themselves without GSP."""
        if not self.config.gsp:
            return scores
        sentiment, rest = scores[..., :-1], scores[..., -1:]
        return torch.cat([saliency * sentiment, (1 - saliency) * rest], dim=-1)


def encode_audio(encoder: nn.Module, audio: Tensor, present: Tensor) -> Tensor:
    """Embed log-mel (B, T, frames, mels) to (B, T, width); absent steps of the mask (B, T) are set to zero."""
    embedded: Tensor = encoder(audio * present[..., None, None], present)
    return embedded


def present_steps(
    stream: Tensor | None, present: Tensor | None, valid: Tensor | None, nothing: Tensor
) -> Tensor:
    """Steps (B, T) at which a stream is present and the sequence has not ended."""
    if stream is None:
        return nothing
    mask = ~nothing if present is None else present.bool()
    return mask if valid is None else mask & valid


def embedded_width(encoder: nn.Module) -> int:
    """The number of values per snippet of an audio encoder."""
    return int(getattr(encoder, "outputs", EMBEDDED_AUDIO))
