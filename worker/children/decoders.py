"""The process that forks this process's decoders.

The module loads no library, so that a program can call `prepare` early.
"""

from __future__ import annotations

from functools import lru_cache

from sentiloc.worker.children.fork_server import ForkServer, can_fork

MODULE = "sentiloc.worker.decoder.child"


@lru_cache(1)
def decoders() -> ForkServer | None:
    """The fork server of decoders; None where decoders cannot be forked."""
    return ForkServer(MODULE) if can_fork() else None


def prepare(*, in_place: bool = False) -> None:
    """Start the process that forks decoders, so that the first decode need not wait for its imports.

    With `in_place`, it is a fork of this process where that is safe; see `ForkServer.prepare`.
    """
    found = decoders()
    if found is not None:
        found.prepare(in_place=in_place)
