"""Joins clips with cross-fades, block by block. Pictures and sound use the same code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Block = NDArray[Any]
"""Items along the first axis: pictures (n, height, width, 3) or samples (n, channels)."""
Weights = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def linear(place: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of the old and the new item at `place` (0 to 1) of a cross-fade of pictures."""
    return 1 - place, place


def equal_power(place: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights whose squares add up to one, so that uncorrelated sounds keep their loudness."""
    angle = place * np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


class Joiner:
    """Takes clips in order, and emits finished items.

    Only the end of a clip that the next one fades into is held back.
    """

    def __init__(self, emit: Callable[[Block], None], weights: Weights) -> None:
        self._emit, self._weights = emit, weights
        self._held: list[Block] = []
        self._fades: list[Block] = []
        self._length = self._fade_in = self._fade_out = self._position = 0
        self._rise = self._fall = 0

    def begin(self, length: int, fade_in: int, fade_out: int, *, rise: int = 0, fall: int = 0) -> None:
        """Start a clip of `length` items.

        The first `fade_in` items are mixed with those that the previous clip held back; the last `fade_out` are held
        back. The first `rise` items grow from nothing, and the last `fall` shrink to nothing.
        """
        self._length, self._fade_in, self._fade_out = length, fade_in, fade_out
        self._rise, self._fall = rise, fall
        self._position = 0
        self._fades, self._held = self._held, []

    @property
    def missing(self) -> int:
        """The number of items of the clip that have not arrived yet."""
        return self._length - self._position

    def push(self, block: Block) -> None:
        """Take the next items. Items beyond the clip's length are dropped."""
        block = self._shaped(block[: self.missing])
        mixed = max(0, min(len(block), self._fade_in - self._position))
        if mixed:
            self._pass_on(self._mix(block[:mixed]))
        if len(block) > mixed:
            self._pass_on(block[mixed:])

    def _shaped(self, block: Block) -> Block:
        first, last = self._position, self._position + len(block)
        if first >= self._rise and last <= self._length - self._fall:
            return block
        places = np.arange(first, last)
        up, down = (places + 1) / (self._rise + 1), (self._length - places) / (self._fall + 1)
        gains = np.minimum(np.minimum(up, down), 1).reshape((-1,) + (1,) * (block.ndim - 1))
        return np.asarray(block * gains, block.dtype)

    def _pass_on(self, block: Block) -> None:
        free = max(0, min(len(block), self._length - self._fade_out - self._position))
        self._position += len(block)
        if free:
            self._emit(block[:free])
        if free < len(block):
            # Copied, because the caller may reuse its memory.
            self._held.append(block[free:].copy())

    def _mix(self, block: Block) -> Block:
        old = self._take(len(block))
        steps = np.arange(self._position + 1, self._position + len(block) + 1, dtype=np.float32)
        # Neither 0 nor 1, so that all n items of a fade are mixtures.
        place = steps / np.float32(self._fade_in + 1)
        shape = (-1,) + (1,) * (block.ndim - 1)
        before, after = (weights.reshape(shape) for weights in self._weights(place))
        mixed = old * before + block * after
        if block.dtype == np.uint8:
            # A cast truncates, which would darken every fade by half a step.
            mixed = np.rint(mixed)
        return np.asarray(mixed, block.dtype)

    def _take(self, count: int) -> Block:
        """The next `count` items that the previous clip held back."""
        parts: list[Block] = []
        while count:
            head = self._fades[0]
            parts.append(head[:count])
            count -= len(parts[-1])
            if len(parts[-1]) < len(head):
                self._fades[0] = head[len(parts[-1]) :]
            else:
                self._fades.pop(0)
        return np.concatenate(parts)
