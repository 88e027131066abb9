"""Which video the features of each name were extracted from, so that another video of that name is noticed.

    FOLDER/extraction/sources_SPLIT.json    {name: {"video": absolute path, "stamp": [size, time of last change]}}

Names that were extracted before this file existed have no entry; their sources are unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sentiloc.model.data.feature_store import replace_text
from sentiloc.model.data.text import read_json
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.bulk.ledger import LEDGER_FOLDER, Entry, stamp_of


@dataclass(frozen=True, slots=True)
class Source:
    """A video as it was extracted: its absolute path, its size in bytes, and its time of last change in ns."""

    video: str
    stamp: tuple[int, int]

    def has_changed(self, video: Path) -> bool:
        """Whether the file at the recorded path has changed since."""
        return self.video == str(video) and self.stamp != stamp_of(video)

    def is_other(self, video: Path) -> bool:
        """Whether the file at another path is another video. A copy has another time of change, but the same size."""
        return self.video != str(video) and self.stamp[0] != stamp_of(video)[0]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of one split. One process at a time may write."""

    folder: Path
    split: str

    @property
    def _file(self) -> Path:
        return self.folder / LEDGER_FOLDER / f"sources_{self.split}.json"

    def read(self) -> dict[str, Source]:
        """The source of each name; raises `invalid_data` that names the file."""
        if not self._file.exists():
            return {}
        try:
            rows = read_json(self._file).items()
            return {name: Source(str(row["video"]), _stamp(row["stamp"])) for name, row in rows}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{self._file}: not the sources of an extraction: {error}"
            ) from error

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Record what these names were extracted from."""
        found = {name: Source(entry.video, entry.stamp) for name, entry in entries.items()}
        self._write({**self.read(), **found})

    def forget(self, names: Iterable[str]) -> None:
        """Remove the sources of these names."""
        gone = set(names)
        self._write({name: source for name, source in self.read().items() if name not in gone})

    def _write(self, sources: Mapping[str, Source]) -> None:
        rows = {name: {"video": source.video, "stamp": source.stamp} for name, source in sources.items()}
        replace_text(self._file, json.dumps(rows, indent=1))


def _stamp(value: list[int]) -> tuple[int, int]:
    size, changed = value
    return int(size), int(changed)
