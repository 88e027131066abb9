"""The memory in which a decoder's process hands pictures over, in slots of one snippet each."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from contextlib import suppress
from mmap import mmap
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]


class SharedPictures:
    """Lends slots to the reader without a copy, and tells the decoder which ones it may fill again.

    The decoder is not trusted: it may write a slot that is lent. That changes the pictures of its own video and nothing
    else, because they are read as bytes only. A lent slot is given back when the last array that refers to it is gone,
    in whichever thread. `credits_fd` is the pipe to the decoder; it must outlive this object's context. It is set to
    non-blocking: otherwise a decoder that does not read which slots are free would block its reader forever.
    """

    def __init__(self, memory: mmap, credits_fd: int, *, most_lent: int) -> None:
        self._memory, self._credits_fd, self._most_lent = memory, credits_fd, most_lent
        self._lent, self._is_open = 0, True
        os.set_blocking(credits_fd, False)
        # Reentrant, because giving a slot back may trigger garbage collection, which may give back another slot.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_open = False
        # If arrays still refer to the memory, it is freed with the last of them.
        with suppress(BufferError):
            self._memory.close()

    def view(self, start: int, size: int) -> Bytes:
        """The `size` bytes from `start` on, read-only. Valid until their slot is given back."""
        found = np.frombuffer(self._memory, np.uint8, size, start)
        found.flags.writeable = False
        return found

    def copied(self, start: int, size: int) -> Bytes:
        """A copy of the `size` bytes from `start` on."""
        return self.view(start, size).copy()

    def lent(self, slot: int, start: int, size: int) -> Bytes:
        """The `size` bytes from `start` on, read-only: in place, or a copy if too many slots are lent.

        Takes care that the slot is given back.
        """
        with self._lock:
            is_free = self._lent < self._most_lent
            self._lent += is_free
        if not is_free:
            found = self.copied(start, size)
            found.flags.writeable = False
            self.give_back(slot)
            return found
        found = self.view(start, size)
        # Every view of a NumPy array keeps the array alive.
        weakref.finalize(found, self._take_back, slot).atexit = False
        return found

    def _take_back(self, slot: int) -> None:
        with self._lock:
            self._lent -= 1
            self.give_back(slot)

    def give_back(self, slot: int) -> None:
        """Notify the decoder that it may reuse a slot."""
        with self._lock:
            # After the context has ended, the pipe's number may belong to another file.
            if not self._is_open:
                return
            try:
                os.write(self._credits_fd, bytes([slot]))
            except BrokenPipeError:
                log.debug("the decoder is gone; its end is read next")
            except BlockingIOError:
                # An honest decoder leaves at most one number per slot unread.
                log.debug("the decoder does not read which slots are free")
