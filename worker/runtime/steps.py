"""Counts the steps of work that this process has done, so that hanging work can be distinguished from slow work.

A step is any sign of progress: a message of the decoder, a batch through a network, a piece of a file. The progress
that clients see is too coarse for this, and does not move if a video states no length.
"""

from __future__ import annotations

from itertools import count

_numbers = count(1)
_last = 0


def count_step() -> None:
    """Count one step. Any thread may call it."""
    global _last
    _last = next(_numbers)


def steps_done() -> int:
    """The number of steps so far."""
    return _last
