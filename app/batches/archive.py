"""Streams a zip archive while it is made: only one file is in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sentiloc.model.names import folded


class _Outgoing:
    """A file without `seek`, which makes `ZipFile` write an archive that can be read as a stream."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the bytes until `take`."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing to do."""

    def take(self) -> bytes:
        """What was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def zip_stream(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """The archive of these files (name, content), in pieces."""
    # UTC, because a ZIP entry has no time zone.
    out, now = _Outgoing(), time.gmtime()[:6]
    with ZipFile(cast("IO[bytes]", out), "w", ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = ZipInfo(name, now)
            entry.compress_type = ZIP_DEFLATED
            # Without a mode, unzip on Unix creates files that nobody may read.
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
            yield out.take()
    yield out.take()


class FileNames:
    """Unique names for the files of one folder, even on file systems that ignore case or normalize accents."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # The last number that each name was given: cameras restart their numbering every day, so a folder may have
        # thousands of one name.
        self._numbers: dict[str, int] = {}

    def unused(self, name: str) -> str:
        """The name without folders, numbered if it is already taken."""
        wanted = PurePosixPath(name.replace("\\", "/")).name or "video"
        stem, dot, ending = wanted.partition(".") if not wanted.startswith(".") else (wanted, "", "")
        found, number = wanted, self._numbers.get(folded(wanted), 1)
        while folded(found) in self._taken:
            number += 1
            found = f"{stem} ({number}){dot}{ending}"
        self._taken.add(folded(found))
        self._numbers[folded(wanted)] = number
        return found
