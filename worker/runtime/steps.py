"""Counts the steps of work that this process has done, so that work that hangs is told from work that is slow.

A step is anything that gets the work on: a message of the decoder, a batch through a network, a piece of a file. The
progress that clients see is too coarse for this, and stands still where a video does not tell its length.
"""

from __future__ import annotations

from itertools import count

_numbers = count(1)
_last = 0


def count_step() -> None:
    """Say that the work has got on. Any thread may call it."""
    global _last
    _last = next(_numbers)


def steps_done() -> int:
    """The steps so far. The number changes whenever the work gets on."""
    return _last
