"""The held-out people: one list, which every recipe of the starter imports.

In all scores of the starter, "unseen people" means these speakers and actors. The speech corpus
`javanese` and the clips of `javanese_av` show the same seven actors under the same names (take 01 is the same
recording), so an actor is held out in both or in neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

VALIDATION_ACTORS = frozenset({"actor04", "actor07"})

# Men and women in every corpus; URDU's speakers mostly act one emotion each, so several are needed per class.
VALIDATION_SPEAKERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ravdess": frozenset({"actor05", "actor06", "actor13", "actor14"}),
        "nemo": frozenset({"KD0", "KS0"}),
        "emodb": frozenset({"11", "14"}),
        "urdu": frozenset({"SM2", "SM3", "SM21", "SM22", "SM23", "SF1", "SF4"}),
        "javanese": VALIDATION_ACTORS,
    }
)


def is_validation_speaker(corpus: str, speaker: str) -> bool:
    """Whether this speaker of `speech/` is held out; an unknown corpus raises KeyError."""
    return speaker in VALIDATION_SPEAKERS[corpus]


# Each fold costs a training of the encoder.
FOLDS = 2
WHOLE_CORPORA: Mapping[str, int] = MappingProxyType({"javanese": 0, "emodb": 0, "ravdess": 1})
"""Corpora whose training speakers are all in one fold; in the others the speakers alternate."""


def folds_of(speakers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Fold of each training speaker (corpus, speaker): the encoder of a fold is trained without its speakers.

    In FSENet's training, half of the voices are encoded by a network that was not trained on them, so FSENet learns how
    reliable the encoder is on unknown voices. Three corpora are left out as a whole, because unknown recordings also
    have another microphone and room.
    """
    trained = sorted({pair for pair in speakers if not is_validation_speaker(*pair)})
    places = {c: [s for corpus, s in trained if corpus == c] for c, _ in trained}
    return {(c, s): WHOLE_CORPORA.get(c, places[c].index(s) % FOLDS) for c, s in trained}
