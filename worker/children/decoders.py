"""The process that forks this process's decoders.

The module loads no library, so that a program can call `prepare` early.
"""

from __future__ import annotations

from functools import lru_cache

from sentiloc.worker.children.nursery import Nursery, can_fork

MODULE = "sentiloc.worker.decoder.child"


@lru_cache(1)
def decoders() -> Nursery | None:
    """The nursery of decoders; None where decoders cannot be forked."""
    return Nursery(MODULE) if can_fork() else None


def prepare(*, in_place: bool = False) -> None:
    """Start the process that forks decoders, so that the first decode need not wait for its imports.

    With `in_place`, it is a fork of this process where that is safe; see `Nursery.prepare`.
    """
    found = decoders()
    if found is not None:
        found.prepare(in_place=in_place)
