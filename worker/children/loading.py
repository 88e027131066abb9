"""Loads modules and networks without searches for cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """What is loaded meanwhile is kept until the process ends, so no search for cyclic garbage visits it.

    Only for a process that is wholly ours, because this is a setting of the interpreter.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
