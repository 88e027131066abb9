"""The sound events that the audio encoder distinguishes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EVENTS = (
    "speech",
    "singing",
    "laughter",
    "crying",
    "screaming",
    "applause",
    "music",
    "noise",
    "silence",
)
"""Several may sound at once; applause includes cheering."""


class EventHead(nn.Module):
    """Converts embeddings (..., dim) of snippets to independent logits (..., events)."""

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.events = nn.Linear(dim, len(EVENTS))

    def forward(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.events(self.dropout(F.relu(embedding)))
        return logits
