"""Real-world clips with labels, and the half of them that may be used to choose and to calibrate.

Labels are those of two people who saw the files independently; `sure` is where they agree. Nothing is ever trained on
these clips.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Half = Literal["development", "check"]
HALVES: tuple[Half, Half] = ("development", "check")
SALT = "h"
"""Chosen before any answer was looked at, because both halves then hold enough of every label."""
NOTHING = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """One labelled clip; `quiet`: no sound or a silent one; `empty`: nobody is in the picture."""

    file: str
    source: str
    sentiment: str
    sure: bool
    kind: str
    voice: bool
    quiet: bool
    empty: bool

    @property
    def neutral(self) -> bool:
        """Whether nothing in it is positive or negative."""
        return self.sentiment in ("neutral", NOTHING)

    @property
    def half(self) -> Half:
        """The half that its source belongs to."""
        return half_of(self.source)


def half_of(name: str) -> Half:
    """Which half a source (or an untrimmed video) belongs to: by a digest, so that it is nobody's choice.

    Only the development half may be used to choose, fit or calibrate anything; the other half is for checking.
    """
    return HALVES[int(hashlib.sha256(f"{SALT}{name}".encode()).hexdigest(), 16) % 2]


def read_labels(file: Path) -> list[LabelledClip]:
    """The clips of a `labels.csv`."""
    with file.open(newline="") as rows:
        return [_clip(row) for row in csv.DictReader(rows)]


def _clip(row: Mapping[str, str]) -> LabelledClip:
    return LabelledClip(
        file=row["file"],
        source=row["source"],
        sentiment=row["sentiment"],
        sure=row["sure"] == "sure",
        kind=row["kind"],
        voice=row["voice"] == "1",
        quiet=row["quiet"] != "0",
        empty=row["face"] == "0",
    )
