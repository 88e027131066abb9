"""Scores of the audio encoder on held-out sounds: events, and false sentiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.starter.sound.bank import SoundBank
from recipes.starter.sound.net import SoundNet
from recipes.starter.voices.data import LogMels, Utterance, as_snippets
from recipes.starter.voices.scores import held_out_items, predict, recalls, unweighted_recall
from sentiloc.model.extractors.logmel import SILENT_VALUE
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.segments import FloatArray

MOST_SECONDS_OF_A_TAKE = 20


def voice_recall(net: SoundNet, utterances: Sequence[Utterance], mels: LogMels) -> dict[str, float]:
    """Unweighted recall of unseen speakers: mean over the corpora, and of each."""
    items = held_out_items(utterances)
    report = recalls(utterances, items, predict(net, mels, items).argmax(axis=1))
    means = {corpus: round(float(np.mean(values)), 3) for corpus, values in report.items()}
    return {"recall": round(unweighted_recall(report), 4), **means}


def heard(net: SoundNet, mels: NDArray[np.float16]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predictions for a recording (frames, 60): sentiment as one utterance (3,), by snippet (T, 4), and events (T,
    events).
    """
    snippets = torch.from_numpy(as_snippets(mels, SILENT_VALUE))[None]
    with torch.inference_mode():
        embedding = net.encoder(snippets, torch.ones(snippets.shape[:2]))[0]
        sentiment, _ = net.heads.utterances(embedding, torch.ones(1, len(embedding)))
        by_snippet = torch.softmax(net.heads.snippets(embedding), dim=1).numpy()
        events = torch.sigmoid(net.events(embedding)).numpy()
    return torch.softmax(sentiment[0], dim=0).numpy(), by_snippet, events


def held_out_sounds(net: SoundNet, bank: SoundBank) -> dict[str, dict[str, list[float]]]:
    """Scores of unchanged held-out recordings by kind and source.

    They are the share of recordings classified as negative or positive, the share of such snippets, and the share of
    loud snippets whose event is recognized.
    """
    rows: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for take in bank.takes(held_out=True, clean=True):
        recording = bank.recordings[bank.recording[take]]
        mels, targets = bank.take(take)
        # 50 frames a second.
        limit = MOST_SECONDS_OF_A_TAKE * 50
        whole, snippets, events = heard(net, mels[:limit])
        row = rows[f"{recording.event} {recording.source}"]
        row["negative"].append(float(whole.argmax() == 0))
        row["positive"].append(float(whole.argmax() == 1))
        row["negative_snippets"] += (snippets.argmax(axis=1) == 0).astype(float).tolist()
        row["positive_snippets"] += (snippets.argmax(axis=1) == 1).astype(float).tolist()
        row["event"] += _recognised(recording.event_index, targets[:limit], events)
    return {kind: dict(row) for kind, row in sorted(rows.items())}


def _recognised(event: int, targets: FloatArray, events: FloatArray) -> list[float]:
    """For snippets in which the labelled event sounds: whether its posterior is the highest, apart from silence."""
    time = len(events)
    padded = np.zeros((time * 32, len(EVENTS)), np.float32)
    padded[: len(targets)] = targets
    sounds = padded.reshape(time, 32, -1)[:, :, event].mean(axis=1) > 0.5
    # Silence is the last column.
    best = events[:, :-1].argmax(axis=1) == event
    return [float(right) for right in best[sounds]]


def false_sentiment(net: SoundNet, bank: SoundBank) -> dict[str, float]:
    """Means of `held_out_sounds` over the sources of calm speech, music and noise, and the scores of bursts."""
    rows = held_out_sounds(net, bank)
    means: dict[str, float] = {}
    for event in ("speech", "music", "noise", "laughter", "crying", "screaming"):
        for what in ("negative_snippets", "positive_snippets", "event"):
            values = [x for kind, row in rows.items() if kind.startswith(event) for x in row[what]]
            if values:
                means[f"{event}_{what.removesuffix('_snippets')}"] = round(float(np.mean(values)), 3)
    return means
