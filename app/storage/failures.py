"""Deletions of many files, in which one that fails stops no other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiloc.app.storage.breaker import StoreUnreachableError
from sentiloc.app.storage.disk import refusals_are_typed
from sentiloc.model.errors import SentilocError

# A deletion of many gives up after this time in which only failures came. Clients wait 60 s.
_PATIENCE_SECONDS = 10.0


class Failures:
    """What could not be deleted in a deletion of many: the first error, and the number of errors.

    Files that fail at once, such as those of another user, stop nothing. A store that refuses everything costs time for
    each, and one that cannot be reached ends the deletion at its first failure.
    """

    def __init__(self) -> None:
        self.first: SentilocError | None = None
        self.count = 0
        self._lost_seconds = 0.0
        self._is_unreachable = False

    @property
    def are_hopeless(self) -> bool:
        """True if the deletion should end, because the storage is down."""
        return self._is_unreachable or self._lost_seconds > _PATIENCE_SECONDS

    @contextmanager
    def kept(self) -> Iterator[None]:
        """One deletion; its error is kept here."""
        began = time.monotonic()
        try:
            yield
        except SentilocError as error:
            self.first = self.first or error
            self.count += 1
            self._lost_seconds += time.monotonic() - began
            self._is_unreachable = isinstance(error, StoreUnreachableError)
        else:
            self._lost_seconds = 0.0

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        if self.first is not None:
            raise self.first


def delete_all(paths: Iterable[Path], failures: Failures) -> int:
    """Delete files of this machine; returns the number of those that are gone."""
    count = 0
    for path in paths:
        with failures.kept(), refusals_are_typed():
            path.unlink(missing_ok=True)
            count += 1
    return count
