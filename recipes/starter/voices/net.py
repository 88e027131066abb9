"""The audio encoder with the heads for its first training stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.starter.voices.data import EMOTIONS
from recipes.starter.voices.sequences import SpeechBatch
from sentiloc.model.extractors.speech import SpeechConfig, SpeechEncoder, SpeechHeads

LABEL_SMOOTHING = 0.1
EMOTION_WEIGHT, SNIPPET_WEIGHT = 0.5, 0.5


class SpeechNet(nn.Module):
    """Encoder and pretraining heads, which are trained and averaged together."""

    def __init__(self, config: SpeechConfig | None = None) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(config)
        self.heads = SpeechHeads(self.encoder.config.dim, len(EMOTIONS))

    def loss(self, batch: SpeechBatch) -> Tensor:
        """Loss of utterances' sentiment and emotion and of snippets' sentiment; unlabelled ones do not count."""
        embedding = self.encoder(torch.from_numpy(batch.audio), torch.from_numpy(batch.present))
        flat = embedding.flatten(0, 1)
        sentiment, emotion = self.heads.utterances(flat, torch.from_numpy(batch.weights))
        targets = torch.from_numpy(batch.targets)
        snippet = -(targets * F.log_softmax(self.heads.snippets(embedding), dim=-1)).sum() / targets.sum()
        main = F.cross_entropy(
            sentiment, torch.from_numpy(batch.sentiment), ignore_index=-1, label_smoothing=LABEL_SMOOTHING
        )
        # All have an emotion; surprise only lacks a sentiment.
        fine = F.cross_entropy(emotion, torch.from_numpy(batch.emotion), label_smoothing=LABEL_SMOOTHING)
        return main + EMOTION_WEIGHT * fine + SNIPPET_WEIGHT * snippet
