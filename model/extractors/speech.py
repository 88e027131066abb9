"""The audio front end of FSENet: converts log-mel snippets to embeddings of the tone of voice.

Snippets are contiguous, so they are joined to one spectrogram: 2-D convolutions, then dilated 1-D ones with a context
of about 2 s on both sides, then statistics over each snippet's own frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sentiloc.model.extractors.logmel import DB_OFFSET, DB_SCALE, FRAMES, MELS
from sentiloc.model.extractors.sound_events import EVENTS, EventHead

LEVEL_SNIPPETS = 6
"""Loudness is relative to this many snippets (3.8 s) on both sides, so that gain does not look like emotion."""
LEVEL_FLOOR = 1e-5
"""Mean band power below which sound is not amplified, so that hiss stays quiet."""
RANGE_DB = 60.0
AROUND_SNIPPETS = 3
"""A snippet is combined with this many (1.9 s) on both sides, about one utterance."""
DB_UNIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechConfig:
    """Sizes of the encoder; the defaults are 1.2 M parameters, 9 M multiply-adds a snippet."""

    dim: int = 512
    bands: int = 16
    hidden: int = 224
    dilations: tuple[int, ...] = (1, 2, 4, 8, 8)
    dropout: float = 0.2


def _spread(present: Tensor, steps: int) -> Tensor:
    """(batch, time) -> (batch, 1, time * steps): a snippet's mask for each of its frames."""
    return present[:, :, None].expand(-1, -1, steps).reshape(present.shape[0], 1, -1)


def relative_level(audio: Tensor, present: Tensor) -> Tensor:
    """Log-mel (batch, time, 32, 60) in units of 20 dB against the mean power of the present surroundings.

    `present` is (batch, time) of 0 and 1. Absent snippets become 0, whatever they contained (even NaN).
    """
    here = present[:, :, None, None] > 0
    decibels = torch.where(here, audio, 0.0) * DB_SCALE - DB_OFFSET
    # The clamp bounds the exponential where a damaged snippet has absurd values.
    power = torch.exp(decibels.clamp(max=60.0) * (math.log(10) / 10)).mean(dim=(2, 3)) * present
    window = 2 * LEVEL_SNIPPETS + 1
    around: Tensor = F.avg_pool1d(torch.stack([power, present], dim=1), window, 1, LEVEL_SNIPPETS)
    # Both averages count absent neighbours as zero, so their quotient is the mean over the present ones.
    level = 10 / math.log(10) * torch.log(around[:, 0] / around[:, 1].clamp(min=0.5 / window) + LEVEL_FLOOR)
    relative: Tensor = (decibels - level[:, :, None, None]).clamp(min=-RANGE_DB) / DB_UNIT
    return torch.where(here, relative, 0.0)


class _Convolution(nn.Module):
    """Convolution, batch norm, ReLU; with `residual` the input is added."""

    def __init__(self, convolution: nn.Conv1d | nn.Conv2d, *, residual: bool = False) -> None:
        super().__init__()
        self.convolution = convolution
        norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm1d
        self.norm = norm(convolution.out_channels)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu(self.norm(self.convolution(x)))
        return x + y if self.residual else y


class SpeechEncoder(nn.Module):
    """Log-mel (batch, time, 32, 60), presence (batch, time) -> embeddings (batch, time, dim), any time >= 1.

    The content of an absent snippet has no effect, and absent snippets at the ends have none either. The embedding of
    an absent snippet is learned.
    """

    def __init__(self, config: SpeechConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpeechConfig()
        c = self.config
        self.stem = _Convolution(nn.Conv2d(2, c.bands, 5, (2, 2), 2, bias=False))
        self.middle = _Convolution(nn.Conv2d(c.bands, c.bands, 3, (1, 2), 1, bias=False))
        self.collapse = _Convolution(nn.Conv1d(c.bands * MELS // 4, c.hidden, 3, 2, 1, bias=False))
        self.context = nn.ModuleList(
            _Convolution(
                nn.Conv1d(c.hidden, c.hidden, 3, 1, dilation, dilation, bias=False),
                residual=True,
            )
            for dilation in c.dilations
        )
        self.dropout = nn.Dropout(c.dropout)
        self.project = nn.Linear(2 * c.hidden, c.dim)
        self.absent = nn.Parameter(torch.zeros(c.dim))

    def forward(self, audio: Tensor, present: Tensor) -> Tensor:
        present = present.to(audio.dtype)
        pooled = self._pool(self._frames(relative_level(audio, present), present))
        return torch.where(present[:, :, None] > 0, self.project(self.dropout(pooled)), self.absent)

    def _frames(self, relative: Tensor, present: Tensor) -> Tensor:
        """(batch, time, 32, 60) -> (batch, hidden, time * 8); all stages masked, so padding stays zero."""
        x = relative.reshape(relative.shape[0], 1, -1, MELS)
        # Presence as a second channel: zeros of absent snippets differ from zeros of average sound.
        x = torch.cat([x, _spread(present, FRAMES)[:, :, :, None].expand(-1, -1, -1, MELS)], dim=1)
        half, quarter = _spread(present, FRAMES // 2), _spread(present, FRAMES // 4)
        x = self.middle(self.stem(x) * half[..., None]) * half[..., None]
        frames: Tensor = self.collapse(x.transpose(2, 3).flatten(1, 2)) * quarter
        for layer in self.context:
            frames = layer(frames) * quarter
        return frames

    def _pool(self, frames: Tensor) -> Tensor:
        """(batch, hidden, time * 8) -> mean and deviation in each snippet (batch, time, 2 hidden)."""
        x = frames.transpose(1, 2).reshape(frames.shape[0], -1, FRAMES // 4, self.config.hidden)
        mean = x.mean(dim=2)
        # The constant keeps the root's gradient finite where a snippet does not vary.
        deviation = torch.sqrt((x - mean[:, :, None]).square().mean(dim=2) + 1e-5)
        return torch.cat([mean, deviation], dim=2)


class SpeechHeads(nn.Module):
    """The pre-training heads of the encoder: sentiment and emotion of utterances, sentiment of snippets."""

    def __init__(self, dim: int, emotions: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.attention = nn.Linear(dim, 1)
        self.dropout = nn.Dropout(dropout)
        self.sentiment = nn.Linear(dim, 3)
        self.emotion = nn.Linear(dim, emotions)
        self.snippet = nn.Linear(dim, 4)

    def utterances(self, snippets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (utterances, 3), (utterances, emotions) of snippets (n, dim), weights (utterances, n)."""
        # Inside the softmax, the logarithm of a weight multiplies the snippet's share.
        scores = self.attention(snippets).squeeze(1) + torch.log(weights.clamp(min=1e-9))
        pooled = self.dropout(torch.softmax(scores, dim=1) @ F.relu(snippets))
        return self.sentiment(pooled), self.emotion(pooled)

    def snippets(self, snippets: Tensor) -> Tensor:
        """Logits (..., 4) of negative, positive, neutral voice and no voice, from embeddings (..., dim)."""
        logits: Tensor = self.snippet(self.dropout(F.relu(snippets)))
        return logits


class VoiceReader(nn.Module):
    """Log-mel (batch, time, 32, 60), presence (batch, time) -> readings of the voice (batch, time, outputs).

    Log-probabilities of the heads: sentiment of the snippet (4), its sentiment (3) and emotion as if it were an
    utterance, and both of the 4.5 s around it; zeros where no sound is present. Unlike embeddings, they mean the same
    for every encoder. So a network can be trained with an encoder that has not heard the training voices, and served
    with one that has heard all. With `whole`, the embeddings come before them; with `events`, the posteriors of
    `EVENTS` in [0, 1] come after them.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        heads: SpeechHeads,
        *,
        events: EventHead | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.heads, self.events, self.whole = encoder, heads, events, whole
        per_utterance = heads.sentiment.out_features + heads.emotion.out_features
        outputs_per_snippet = heads.snippet.out_features + 2 * per_utterance + (len(EVENTS) if events else 0)
        self.outputs = whole * encoder.config.dim + outputs_per_snippet

    def forward(self, audio: Tensor, present: Tensor) -> Tensor:
        present = present.to(audio.dtype)
        embedding = self.encoder(audio, present)
        active = F.relu(embedding)
        # A softmax over the neighbours, written as quotient of averages; the clamp keeps it from
        # overflowing.
        weight = torch.exp(self.heads.attention(embedding).clamp(-8, 8)) * present[:, :, None]
        around = _around(weight * active) / _around(weight).clamp(min=1e-6)
        logits = [self.heads.snippet(active), *self._utterance(active), *self._utterance(around)]
        # Zeros for absent snippets, as the networks were trained.
        read = [F.log_softmax(x, dim=-1) * present[:, :, None] for x in logits]
        if self.events is not None:
            read.append(torch.sigmoid(self.events(embedding)) * present[:, :, None])
        return torch.cat([embedding, *read] if self.whole else read, dim=-1)

    def _utterance(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Sentiment (..., 3) and emotion logits of pooled embeddings (..., dim)."""
        return self.heads.sentiment(pooled), self.heads.emotion(pooled)


def _around(x: Tensor) -> Tensor:
    """Mean of each snippet and its neighbours: (batch, time, n) of the same shape."""
    mean: Tensor = F.avg_pool1d(x.transpose(1, 2), 2 * AROUND_SNIPPETS + 1, 1, AROUND_SNIPPETS)
    return mean.transpose(1, 2)
