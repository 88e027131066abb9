"""Writes the output of a confined process to a file. The process sends pieces of the file through a pipe."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from pathlib import Path

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.confine import MEASURES
from sentiloc.worker.reels import encoder_child as child
from sentiloc.worker.runtime.steps import count_step

log = logging.getLogger(__name__)

_EXIT_SECONDS = 5.0
# Bounds what a compromised child can make its parent read at a time.
_LARGEST_PIECE = 64 << 20
_LONGEST_REASON = 400
_ENDED_EARLY = "the encoder ended early"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class MadeFile:
    """The file `path`, written by a thread from what arrives at the descriptor `made`.

    `done` is the child's last message: None until the file is complete. `failure` says why there will be no file,
    `progress` is the number of frames that the child has reported, and `messages` counts all that it has sent. A child
    that writes more than `most_bytes` fails: it is not trusted, and could fill the disk.
    """

    def __init__(self, path: Path, made: int, most_bytes: int) -> None:
        self.done: bytes | None = None
        self.failure: str | None = None
        self.is_full = False
        """True if there was no room for the file."""
        self.progress = self.messages = 0
        self._has_stated_measures = False
        self._made, self._most_bytes = made, most_bytes
        self._file = path.open("wb", buffering=0)
        self._thread = threading.Thread(target=self._collect, name="reel file", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def is_arriving(self, seconds: float) -> bool:
        """Whether the child still sends, after waiting for its end for `seconds`."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def wait_for_failure(self) -> None:
        """Wait briefly for the reason of a broken pipe."""
        self._thread.join(_EXIT_SECONDS)

    def sync(self) -> None:
        """Make sure that the file is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """End collecting. The child must have ended."""
        if self._thread.ident is not None:
            self._thread.join(_EXIT_SECONDS)
        self._file.close()

    @property
    def has_ended_early(self) -> bool:
        """Whether the child ended without a final message."""
        return self.failure == _ENDED_EARLY

    def error(self) -> SentilocError:
        """The error for `failure`."""
        if self.is_full:
            return SentilocError(ErrorCode.STORAGE_FULL, "There is no room for the reel.")
        log.warning("the encoder gave up: %r", self.failure)
        return SentilocError(ErrorCode.RESOURCE_LIMIT, "The reel could not be encoded within the limits.")

    def _collect(self) -> None:
        try:
            while self.done is None and self.failure is None:
                kind, place, size = child.OUT_HEADER.unpack(self._read(child.OUT_HEADER.size))
                if size > _LARGEST_PIECE:
                    raise ValueError(f"a piece of {size} bytes")
                self._take(kind, place, self._read(size))
                self.messages += 1
                count_step()
        except OSError as error:
            self.is_full = error.errno in _FULL
            self.failure = str(error)
        # The last two come from malformed JSON, which only a compromised child sends.
        except (EOFError, ValueError, TypeError, RecursionError) as error:
            self.failure = str(error)

    def _take(self, kind: bytes, place: int, data: bytes) -> None:
        if kind == child.BYTES:
            if place + len(data) > self._most_bytes:
                raise ValueError(f"a file of more than {self._most_bytes} bytes")
            while data:
                # At its position: the muxer returns to the start of the file to complete its index.
                written = os.pwrite(self._file.fileno(), data, place)
                data, place = data[written:], place + written
        elif kind == child.PROGRESS:
            self.progress = place
        elif kind == child.DONE:
            self.done = data
        elif kind == child.FAILED:
            # The end of the text, because a traceback names the error last.
            self.failure = data[-_LONGEST_REASON:].decode(errors="replace")
        elif kind == child.CONFINED:
            self._log_confinement(data)
        else:
            raise ValueError(f"a message of the kind {kind!r}")

    def _log_confinement(self, data: bytes) -> None:
        held = json.loads(data)
        # Once: each further statement could write another line into the log.
        if self._has_stated_measures or not isinstance(held, list):
            raise ValueError("not a statement of measures")
        self._has_stated_measures = True
        missing = [name for name in MEASURES if name not in held]
        if missing:
            log.warning("the encoder runs without: %s", ", ".join(missing))

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(self._made, size - len(parts))
            if not part:
                raise EOFError(_ENDED_EARLY)
            parts += part
        return bytes(parts)
