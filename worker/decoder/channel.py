"""Messages from the decoder child to its parent: a kind, a small JSON object, raw bytes."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

HEADER = struct.Struct("<cII")
# Maximum bytes of a message, which bounds what a compromised child can make its parent read.
MAX_FIELDS_BYTES = 16 * 1024
MAX_PAYLOAD_BYTES = 1024 * 1024

CONFINED, INFO, SNIPPET, AUDIO, TICK, END, ERROR = b"C", b"I", b"S", b"A", b"T", b"E", b"X"
KINDS = frozenset({CONFINED, INFO, SNIPPET, AUDIO, TICK, END, ERROR})

TICK_SECONDS = 1.0


class Sender:
    """The child's end: writes messages and receives the numbers of free slots. Blocks while the parent is busy."""

    def __init__(self, out_fd: int, credit_fd: int, slots: int) -> None:
        self._out_fd = out_fd
        self._credit_fd = credit_fd
        self._slots = slots
        self._taken = 0
        self._free: list[int] = []
        self._credits = select.poll()
        self._credits.register(credit_fd, select.POLLIN)
        self._last_sent = 0.0

    def send(self, kind: bytes, fields: dict[str, Any], payload: bytes = b"") -> None:
        """Write one message. Blocks while the pipe is full."""
        text = json.dumps(fields).encode()
        left = memoryview(HEADER.pack(kind, len(text), len(payload)) + text + payload)
        while left:
            left = left[os.write(self._out_fd, left) :]
        self._last_sent = time.monotonic()

    def take_slot(self) -> int:
        """The number of a free slot; waits until the parent has given one back.

        The slot that was given back last is used first, because its memory is already allocated and may still be in the
        cache.
        """
        if not self._free and self._taken < self._slots and not self._credits.poll(0):
            self._taken += 1
            return self._taken - 1
        if not self._free or self._credits.poll(0):
            numbers = os.read(self._credit_fd, self._slots)
            if not numbers and not self._free:
                raise BrokenPipeError("the parent is gone")
            self._free += numbers
        return self._free.pop()

    def tick(self) -> None:
        """Report progress, at most once a second, so that the parent does not treat the child as hung."""
        if time.monotonic() - self._last_sent > TICK_SECONDS:
            self.send(TICK, {})
