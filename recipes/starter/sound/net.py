"""The audio encoder with the heads for its training: the voice heads of the first stage, and sound events."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.starter.sound.rows import SoundBatch
from recipes.starter.voices.data import EMOTIONS
from sentiloc.model.extractors.sound_events import EVENTS, EventHead
from sentiloc.model.extractors.speech import SpeechConfig, SpeechEncoder, SpeechHeads, VoiceReader

LABEL_SMOOTHING = 0.1
# Relative to the sentiment of whole sounds. The event loss is a mean over mostly easy zeros, hence its large
# weight.
EMOTION_WEIGHT, SNIPPET_WEIGHT, EVENT_WEIGHT = 0.5, 0.5, 8.0
RARE_WEIGHT = 3.0
"""Loss weight of a rare event's presence relative to its absence.

It makes the posteriors' odds too high by the same factor.
"""
_RARE = ("singing", "laughter", "crying", "screaming", "applause")


class SoundNet(nn.Module):
    """Encoder, voice heads and event head, which are trained and averaged together."""

    def __init__(self, config: SpeechConfig | None = None) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(config)
        self.heads = SpeechHeads(self.encoder.config.dim, len(EMOTIONS))
        self.events = EventHead(self.encoder.config.dim)

    def loss(self, batch: SoundBatch) -> Tensor:
        """Loss of the sounds' sentiment and emotion and of the snippets' sentiment and events; unknown labels do not
        count.
        """
        embedding = self.encoder(torch.from_numpy(batch.audio), torch.from_numpy(batch.present))
        sentiment, emotion = self.heads.utterances(embedding.flatten(0, 1), torch.from_numpy(batch.weights))
        targets = torch.from_numpy(batch.targets)
        snippet = -(targets * F.log_softmax(self.heads.snippets(embedding), dim=-1)).sum() / targets.sum()
        importance = torch.from_numpy(batch.importance)
        main = _weighted(sentiment, torch.from_numpy(batch.sentiment), importance)
        fine = _weighted(emotion, torch.from_numpy(batch.emotion), importance)
        known = torch.from_numpy(batch.known)
        wrong = F.binary_cross_entropy_with_logits(
            self.events(embedding),
            torch.from_numpy(batch.events),
            weight=known,
            pos_weight=torch.tensor([RARE_WEIGHT if name in _RARE else 1.0 for name in EVENTS]),
            reduction="sum",
        )
        voice = main + EMOTION_WEIGHT * fine + SNIPPET_WEIGHT * snippet
        return voice + EVENT_WEIGHT * wrong / known.sum()


def _weighted(logits: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Cross-entropy of (n, classes), a mean weighted by `importance` (n,); targets of -1 do not count."""
    each = F.cross_entropy(logits, target, ignore_index=-1, label_smoothing=LABEL_SMOOTHING, reduction="none")
    counted = importance * (target >= 0)
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


def encoder_state(net: SoundNet) -> dict[str, Any]:
    """The content of an encoder file."""
    return {
        "config": asdict(net.encoder.config),
        "encoder": net.encoder.state_dict(),
        "heads": net.heads.state_dict(),
        "events": net.events.state_dict(),
    }


def load_sound_net(path: Path) -> SoundNet:
    """Load encoder and heads of a `sound_encoder.pt` in evaluation mode.

    A file of the first stage gets an untrained event head.
    """
    state = torch.load(path, weights_only=True)
    config = {**state["config"], "dilations": tuple(state["config"]["dilations"])}
    net = SoundNet(SpeechConfig(**config))
    net.encoder.load_state_dict(state["encoder"])
    net.heads.load_state_dict(state["heads"])
    if "events" in state:
        net.events.load_state_dict(state["events"])
    return net.eval()


def load_voice_reader(path: Path, *, whole: bool = False) -> VoiceReader:
    """Load FSENet's sound reader from a `sound_encoder.pt`, in evaluation mode."""
    net = load_sound_net(path)
    return VoiceReader(net.encoder, net.heads, events=net.events, whole=whole).eval()
