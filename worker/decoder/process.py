"""The parent's side of the decoder child: starts it, reads its messages, watches it, and ends it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from mmap import mmap
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Protocol, Self

from sentiloc.model.errors import ErrorCode, KilledProcessError, LostProcessError, SentilocError
from sentiloc.worker.children.decoders import MODULE, decoders
from sentiloc.worker.children.fork_server import NO_REPORT
from sentiloc.worker.children.kills import KillWatch
from sentiloc.worker.children.start import open_pipe, start_confined
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.confine import MEASURES
from sentiloc.worker.decoder.events import Bounds, is_text
from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
from sentiloc.worker.decoder.shared_pictures import SharedPictures
from sentiloc.worker.runtime.steps import count_step

log = logging.getLogger(__name__)

SLOTS = 3
"""One snippet is filled, one is read, and one waits, so neither side idles. Those that the reader keeps come on top."""
MOST_SLOTS = 256
"""Slots are numbered with one byte."""
_POLL_SECONDS = 0.25
_EXIT_SECONDS = 5.0
_OUT_OF_LIMIT = frozenset({signal.SIGXCPU, signal.SIGKILL, signal.SIGXFSZ})


_REPORTED = frozenset(
    {
        *("unsupported_format", "corrupt_media", "encrypted", "no_video", "invalid_data"),
        *("limit_exceeded", "resource_limit", "internal"),
    }
)
"""The errors that a file or a missing sound track can cause. The parent accepts no other code from a child."""


class Message(NamedTuple):
    """One message of the child. Only its size has been checked."""

    kind: bytes
    fields: dict[str, Any]
    payload: bytes


class Child(Protocol):
    """The interface of the child's process; `wait` raises `subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """Kill the process."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative for a signal."""


class DecoderProcess:
    """A confined child that decodes one open file. Use as a context manager: leaving it kills the child.

    The child ends with this process at the latest. `on_wait` is called about four times a second while waiting for the
    child. Its exceptions are passed on, so it can be used for cancellation.
    """

    def __init__(
        self,
        media: BinaryIO,
        container_format: str,
        request: DecodeRequest,
        limits: DecodeLimits,
        *,
        grab_seconds: Sequence[float] | None = None,
        on_wait: Callable[[], None] | None = None,
        keeps: int = 0,
    ) -> None:
        self._request, self._limits, self._on_wait = request, limits, on_wait
        self.slots = min(SLOTS + keeps, MOST_SLOTS)
        self.bounds = Bounds.of(request, limits)
        self._waited = 0.0
        self._stack = ExitStack()
        try:
            # Close the child's ends here once it has them: a pipe only ends when its last writer is closed.
            with ExitStack() as lent:
                self._start(media, container_format, grab_seconds, lent)
        except BaseException:
            self._stack.close()
            raise

    def _start(
        self, media: BinaryIO, container_format: str, grab_seconds: Sequence[float] | None, lent: ExitStack
    ) -> None:
        """Start the child; `lent` closes the pipe ends that only the child keeps."""
        size = self.slots * self._request.slot_bytes
        shared = self._stack.enter_context(_shared_file(size))
        self._messages, out_fd = open_pipe(reader=self._stack, writer=lent)
        credit_fd, freed_fd = open_pipe(reader=lent, writer=self._stack)
        self.pictures = self._stack.enter_context(
            SharedPictures(mmap(shared.fileno(), size), freed_fd, most_lent=self.slots - SLOTS)
        )
        fds = {
            "media_fd": media.fileno(),
            "frames_fd": shared.fileno(),
            "out_fd": out_fd,
            "credit_fd": credit_fd,
        }
        task = {
            **fds,
            "slots": self.slots,
            "parent_pid": os.getpid(),
            "container_format": container_format,
            "request": asdict(self._request),
            "limits": asdict(self._own_limits()),
            "grab_seconds": grab_seconds,
        }
        self._kills = KillWatch()
        try:
            self.child = self.start_child(task, fds)
        except OSError as error:
            log.warning("no decoder can be started: %s", error)
            raise LostProcessError("No decoder could be started.") from error
        self._stack.callback(self._end)

    def _own_limits(self) -> DecodeLimits:
        """The limits of the child. Snippets that the reader keeps count as the reader's memory, not as the
        decoder's.
        """
        kept = (self.slots - SLOTS) * self._request.slot_bytes
        return replace(self._limits, memory_bytes=self._limits.memory_bytes + kept)

    @staticmethod
    def start_child(task: dict[str, Any], fds: dict[str, int]) -> Child:
        """A confined process that performs the task: forked from a warm one, else a fresh interpreter."""
        fork_server = decoders()
        if fork_server is not None:
            return fork_server.fork(task, fds)
        return start_confined(MODULE, task, tuple(fds.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _end(self) -> None:
        # Kill it instead of asking it to end, because a compromised child would ignore the request.
        self.child.kill()
        self.child.wait(_EXIT_SECONDS)

    def messages(self) -> Iterator[Message]:
        """Yield messages up to the end of decoding; the caller stops reading at END.

        Raises the child's own error, resource_limit for a child that exceeded a limit or stalled, and
        corrupt_media for one that crashed.
        """
        has_stated_measures = False
        while True:
            message = self._read_message()
            if message.kind == channel.ERROR:
                raise _reported_error(message)
            if message.kind == channel.CONFINED:
                # Once: each further statement could write another line into the log.
                if has_stated_measures:
                    raise _untrusted()
                _log_confinement(message)
                has_stated_measures = True
            elif message.kind != channel.TICK:
                yield message
            elif self._on_wait is not None:
                # A child that sends ticks without end is never waited for.
                self._on_wait()

    def _read_message(self) -> Message:
        kind, text_size, payload_size = channel.HEADER.unpack(self._read(channel.HEADER.size))
        sizes_fit = text_size <= channel.MAX_FIELDS_BYTES and payload_size <= channel.MAX_PAYLOAD_BYTES
        if kind not in channel.KINDS or not sizes_fit:
            raise _untrusted()
        text, payload = self._read(text_size), self._read(payload_size)
        count_step()
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _untrusted() from error
        if not isinstance(fields, dict):
            raise _untrusted()
        return Message(kind, fields, payload)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._await_bytes()
            # Read directly from the pipe: a buffered reader would block until its buffer is full.
            part = os.read(self._messages, size - len(parts))
            if not part:
                raise self._death()
            parts += part
        return bytes(parts)

    def _await_bytes(self) -> None:
        poll = select.poll()
        poll.register(self._messages, select.POLLIN)
        start = time.monotonic()
        while not poll.poll(_POLL_SECONDS * 1000):
            if self._on_wait is not None:
                self._on_wait()
            if time.monotonic() - start > self._limits.stall_seconds:
                raise _resource_limit("The decoder made no progress.")
            self._check_wall_time(self._waited + time.monotonic() - start)
        # Only the child's working time counts, because it is not at fault while the parent's queues are full.
        self._waited += time.monotonic() - start
        # Many short waits return above before their first check, so their sum is checked here.
        self._check_wall_time(self._waited)

    def _check_wall_time(self, seconds: float) -> None:
        if seconds > self._limits.wall_seconds:
            raise _resource_limit("Decoding the video takes longer than is allowed.")

    def _death(self) -> SentilocError:
        try:
            code = self.child.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return _resource_limit("The decoder does not answer.")
        log.warning("the decoder ended with exit status %d", code)
        if code == NO_REPORT:
            return LostProcessError("The decoder was ended from outside.")
        if self._kills.was_stray(code):
            return KilledProcessError("The decoder was killed from outside.")
        if -code in _OUT_OF_LIMIT:
            return _resource_limit("Decoding the video takes more memory or processor time than is allowed.")
        if code < 0:
            return SentilocError(ErrorCode.CORRUPT_MEDIA, "The video is damaged: decoding it crashed.")
        return SentilocError(ErrorCode.INTERNAL, "The decoder could not run.")


def _shared_file(size: int) -> BinaryIO:
    """An unnamed file in memory. Unlike a named segment it cannot be left behind after a crash.

    Its size is sealed: if the child could shrink it, the parent's next read would end with a bus error.
    """
    if sys.platform != "linux":
        file: BinaryIO = TemporaryFile(buffering=0)  # noqa: SIM115
        os.ftruncate(file.fileno(), size)
        return file
    handle = os.memfd_create("sentiloc-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    file = os.fdopen(handle, "r+b", buffering=0)
    os.ftruncate(handle, size)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return file


def _log_confinement(message: Message) -> None:
    held = message.fields.get("measures")
    if not isinstance(held, list):
        raise _untrusted()
    missing = [name for name in MEASURES if name not in held]
    if missing:
        log.warning("the decoder runs without: %s", ", ".join(missing))


def _reported_error(message: Message) -> SentilocError:
    """The error that the child reported, if it is short and printable and its code is one that a file can cause."""
    trace = message.fields.get("trace")
    if isinstance(trace, str):
        log.info("the decoder gave up: %r", trace)
    code, detail = message.fields.get("code"), message.fields.get("detail")
    if not isinstance(code, str) or code not in _REPORTED or not is_text(detail):
        return _untrusted()
    return SentilocError(ErrorCode(code), str(detail))


def _untrusted() -> SentilocError:
    return SentilocError(ErrorCode.CORRUPT_MEDIA, "The video is corrupt and could not be decoded.")


def _resource_limit(detail: str) -> SentilocError:
    return SentilocError(ErrorCode.RESOURCE_LIMIT, detail)
