"""Sentiment of whole utterances of unseen speakers: unweighted recall per corpus, and its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recipes.starter.voices.data import LogMels, Utterance, as_snippets
from sentiloc.model.extractors.logmel import SILENT_VALUE
from sentiloc.model.extractors.speech import SpeechEncoder, SpeechHeads
from sentiloc.model.segments import FloatArray

EVALUATION_ROWS = 32


def _padded(mels: LogMels, items: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Utterances (n, time, 32, 60) and presence (n, time), padded to the longest."""
    snippets = [as_snippets(mels[item], SILENT_VALUE) for item in items]
    time = max(len(one) for one in snippets)
    audio = np.full((len(items), time, *snippets[0].shape[1:]), SILENT_VALUE, np.float32)
    present = np.zeros((len(items), time), np.float32)
    for row, one in enumerate(snippets):
        audio[row, : len(one)] = one
        present[row, : len(one)] = 1
    return torch.from_numpy(audio), torch.from_numpy(present)


class Listener(Protocol):
    """The measured network: an encoder and its voice heads."""

    encoder: SpeechEncoder
    heads: SpeechHeads


def predict(net: Listener, mels: LogMels, items: Sequence[int]) -> FloatArray:
    """Probabilities (len(items), 3) of negative, positive, non-sentiment for whole utterances."""
    # By length, so that little padding is computed.
    order = sorted(items, key=lambda item: len(mels[item]))
    told: dict[int, FloatArray] = {}
    with torch.inference_mode():
        for first in range(0, len(order), EVALUATION_ROWS):
            chunk = order[first : first + EVALUATION_ROWS]
            audio, present = _padded(mels, chunk)
            embedding = net.encoder(audio, present).flatten(0, 1)
            # Each utterance has a row of its own, of which the padding does not count.
            weights = (torch.eye(len(chunk))[:, :, None] * present).flatten(1)
            probability = torch.softmax(net.heads.utterances(embedding, weights)[0], dim=1)
            told.update(zip(chunk, probability.numpy(), strict=True))
    return np.stack([told[item] for item in items])


def recalls(
    utterances: Sequence[Utterance], items: Sequence[int], predicted: NDArray[np.int64]
) -> dict[str, list[float]]:
    """Recall of negative, positive and non-sentiment for each corpus; `predicted` (len(items),) classes."""
    report: dict[str, list[float]] = {}
    for corpus in sorted({utterances[item].corpus for item in items}):
        here = np.array([utterances[item].corpus == corpus for item in items])
        truth = np.array([utterances[item].sentiment for item in items])
        report[corpus] = [float((predicted[here & (truth == c)] == c).mean()) for c in range(3)]
    return report


def unweighted_recall(report: Mapping[str, Sequence[float]]) -> float:
    """Mean over corpora of the mean recall over classes."""
    # Unweighted: large corpora and frequent classes would hide the others.
    return float(np.mean([np.mean(values) for values in report.values()]))


def held_out_items(utterances: Sequence[Utterance]) -> list[int]:
    """Labelled utterances of unseen speakers."""
    return [i for i, utterance in enumerate(utterances) if utterance.held_out and utterance.sentiment >= 0]
