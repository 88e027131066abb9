"""Accuracy of the audio encoder for women and men: `python -m experiments.voices_by_sex --data DIR --weights FILE`.

Three corpora of acted speech state who is a woman: RAVDESS (actors of even numbers), EMO-DB (its list of speakers) and
URDU (the second letter of a name). The data do not state age or skin tone, and for faces not the sex either. The metric
is the mean recall of negative, positive and neutral utterances, in per cent, of the held-out speakers of
`recipes.starter.splits`. The interval is a bootstrap over utterances and holds for these few speakers only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.starter.sound.net import load_sound_net
from recipes.starter.voices.augment import decode
from recipes.starter.voices.data import frames_of, join_log_mels, read_index
from recipes.starter.voices.scores import held_out_items, predict

RESULTS = Path(__file__).parent / "results" / "voices_by_sex.json"
# From the corpus's own list of speakers.
EMODB_WOMEN = frozenset({"08", "09", "13", "14", "16"})
CORPORA = ("ravdess", "emodb", "urdu")
DRAWS = 2000

Classes = NDArray[np.int64]


def is_woman(corpus: str, speaker: str) -> bool:
    """Whether the corpus states that a speaker is a woman. Raises KeyError for a corpus without this information."""
    if corpus == "ravdess":
        return int(speaker.removeprefix("actor")) % 2 == 0
    if corpus == "emodb":
        return speaker in EMODB_WOMEN
    if corpus == "urdu":
        return speaker[1] == "F"
    raise KeyError(corpus)


def mean_recall(truth: Classes, predicted: Classes) -> float:
    """Mean recall in per cent of the predictions `predicted` (n,) over the classes that occur in `truth` (n,)."""
    return 100 * float(np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)]))


def interval(truth: Classes, predicted: Classes, random: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of `mean_recall`: utterances are resampled within each class."""
    places = [np.flatnonzero(truth == c) for c in np.unique(truth)]
    draws = [np.concatenate([random.choice(p, len(p)) for p in places]) for _ in range(DRAWS)]
    low, high = np.quantile([mean_recall(truth[d], predicted[d]) for d in draws], (0.025, 0.975))
    return float(low), float(high)


def measure(data: Path, weights: Path) -> dict[str, dict[str, float]]:
    """Mean recall with its interval for women and men, of each corpus and over all three."""
    index = read_index(data / "speech")
    utterances = [index[item] for item in held_out_items(index) if index[item].corpus in CORPORA]
    mels = join_log_mels([frames_of(decode(str(data / "speech" / u.file))) for u in utterances])
    predicted = predict(load_sound_net(weights), mels, range(len(utterances))).argmax(axis=1)
    truth = np.array([u.sentiment for u in utterances])
    women = np.array([is_woman(u.corpus, u.speaker) for u in utterances])
    corpus = np.array([u.corpus for u in utterances])
    speakers = np.array([f"{u.corpus} {u.speaker}" for u in utterances])
    rows = {}
    for name in (*CORPORA, "all"):
        for who, side in (("women", women), ("men", ~women)):
            here = side & ((corpus == name) | (name == "all"))
            rows[f"{name} {who}"] = _row(truth[here], predicted[here], speakers[here])
    return rows


def _row(truth: Classes, predicted: Classes, speakers: Sequence[str] | NDArray[np.str_]) -> dict[str, float]:
    low, high = interval(truth, predicted, np.random.default_rng(0))
    return {
        "speakers": len(set(speakers)),
        "utterances": len(truth),
        "recall": round(mean_recall(truth, predicted), 1),
        "low": round(low, 1),
        "high": round(high, 1),
    }


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="a sound_encoder.pt")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments.data, arguments.weights)
    for name, row in rows.items():
        print(f"{name:16}{row['recall']:6.1f} [{row['low']:.1f}, {row['high']:.1f}]", end="")
        print(f"  {row['utterances']} utterances of {row['speakers']} speakers")
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
