"""The interface of every storage. A file is either completely visible or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

RETRY_SECONDS = 600.0
"""A file that could not be deleted is tried again after this time."""


class Writer(Protocol):
    """A file that is being written. It is invisible until `commit`; without it, leaving the context removes it."""

    def write(self, data: bytes) -> None:
        """Append; raises `storage_full`."""

    def commit(self) -> None:
        """Make the file durable and visible; raises `storage_full`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Presigned:
    """A form for a client's upload: it sends `fields` first, then the file as `file`."""

    url: str
    fields: dict[str, str]


class Storage(Protocol):
    """A place for files. Keys are `uploads/…` and `results/…`.

    Every method raises `storage_unavailable` while a remote store cannot be reached, or if a disk refuses the request.
    """

    def writer(self, key: str) -> Writer:
        """Start a new file."""

    def local_path(self, key: str) -> contextlib.AbstractContextManager[Path]:
        """The file on this machine while the context lasts; raises `source_missing`."""

    def read(self, key: str) -> bytes:
        """The whole file; raises `source_missing`."""

    def size(self, key: str) -> int | None:
        """The size of the file in bytes; None if it does not exist."""

    def adopt(self, path: Path, key: str) -> None:
        """Move a complete file of this machine into the storage. May be repeated after a crash.

        Raises `storage_full`, and `FileNotFoundError` if there is no file at `path`.
        """

    def move(self, key: str, target: str) -> bool:
        """Give a file another key; False if there is no file at `key`. May be repeated after a crash."""

    def copy(self, key: str, target: str) -> bool:
        """Make a second file with the same content; False if there is no file at `key`. May be repeated."""

    @property
    def link_origin(self) -> str | None:
        """The origin of every `link`, as `https://host:port`; None if the storage has no such URLs."""

    def link(self, key: str) -> str | None:
        """A URL from which a client can fetch the file directly; None if the storage has no such URLs."""

    def presign(self, key: str, max_bytes: int, seconds: int) -> Presigned | None:
        """A form with which a client can send a file of at most `max_bytes` directly; None if not supported."""

    def delete(self, key: str) -> None:
        """Delete the file if it exists."""

    def older_than(self, folder: str, seconds: float) -> Iterator[str]:
        """Yield the keys in `uploads` or `results` whose files were last written more than `seconds` ago."""

    def sweep(self, older_than_seconds: float) -> int:
        """Delete unfinished files without a write for `older_than_seconds`; returns their number.

        One that cannot be deleted stops no other. Raises the first `storage_unavailable` at the end.
        """
