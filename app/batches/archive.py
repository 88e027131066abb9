"""A zip archive that is sent while it is made: one file at a time in memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


class _Outgoing:
    """A file that cannot be sought in, so that `ZipFile` writes what a reader of a stream understands."""

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
    out, now = _Outgoing(), time.gmtime()[:6]
    with ZipFile(cast("IO[bytes]", out), "w", ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = ZipInfo(name, now)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
            yield out.take()
    yield out.take()


class FileNames:
    """Names for files beside each other: none twice, on file systems that do not tell case apart either."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        """The name without folders, with a number if it is taken."""
        wanted = PurePosixPath(name.replace("\\", "/")).name or "video"
        stem, dot, ending = wanted.partition(".") if not wanted.startswith(".") else (wanted, "", "")
        found, number = wanted, 1
        while found.casefold() in self._taken:
            number += 1
            found = f"{stem} ({number}){dot}{ending}"
        self._taken.add(found.casefold())
        return found
