"""The parent's side of the encoder: starts it, feeds it, writes its output to a file, and ends it."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self

from sentiloc.app.reels.plan import ReelPlan
from sentiloc.model.errors import ErrorCode, KilledProcessError, SentilocError
from sentiloc.worker.children.kills import KillWatch
from sentiloc.worker.children.start import open_pipe, start_confined
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels import encoder_child as child
from sentiloc.worker.reels.made_file import MadeFile
from sentiloc.worker.runtime.steps import count_step

_POLL_SECONDS = 0.25
# The largest pipe that an unprivileged process may request on Linux.
_PIPE_BYTES = 1 << 20
_EXIT_SECONDS = 5.0
_HEAD_BYTES = 1 << 20


class Encoder:
    """Encodes pictures and sound into the MP4 file `path`. Use as a context manager: leaving it ends the child.

    `on_wait` is called while waiting for the child. Its exceptions are passed on.
    """

    def __init__(
        self,
        path: Path,
        plan: ReelPlan,
        limits: DecodeLimits,
        *,
        has_sound: bool,
        quality: int,
        on_wait: Callable[[], None],
    ) -> None:
        self._limits, self._on_wait = limits, on_wait
        self._stack = ExitStack()
        try:
            with ExitStack() as lent:
                self._start(path, plan, has_sound, quality, lent)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, path: Path, plan: ReelPlan, has_sound: bool, quality: int, lent: ExitStack) -> None:
        in_fd, self._feed = open_pipe(reader=lent, writer=self._stack)
        _widen(self._feed)
        made, out_fd = open_pipe(reader=self._stack, writer=lent)
        self._file = MadeFile(path, made, _raw_bytes(plan))
        self._stack.callback(self._file.close)
        task = {
            "in_fd": in_fd,
            "out_fd": out_fd,
            "parent_pid": os.getpid(),
            "width": plan.width,
            "height": plan.height,
            "rate": plan.rate,
            "frames": plan.frames,
            "has_sound": has_sound,
            "quality": quality,
            "title": plan.title,
            "limits": asdict(self._limits),
        }
        self._kills = KillWatch()
        self._child = start_confined("sentiloc.worker.reels.encoder_child", task, (in_fd, out_fd))
        self._stack.callback(self._end)
        # A blocking write to a stuck child could not be cancelled.
        os.set_blocking(self._feed, False)
        self._file.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._child.kill()
        self._child.wait(_EXIT_SECONDS)

    def picture(self, data: memoryview) -> None:
        """Encode one picture: RGB, row by row."""
        self._send(child.PICTURE, data)

    def sound(self, data: memoryview) -> None:
        """Encode samples: float32, left and right interleaved."""
        self._send(child.SOUND, data)

    def finish(self) -> None:
        """Wait until the file is complete and on the disk."""
        self._send(child.END, memoryview(b""))
        started = time.monotonic()
        while self._file.is_arriving(_POLL_SECONDS):
            self._on_wait()
            if time.monotonic() - started > self._limits.wall_seconds:
                raise SentilocError(
                    ErrorCode.RESOURCE_LIMIT, "Encoding the reel takes longer than is allowed."
                )
        if self._file.done is None:
            raise self._error()
        self._file.sync()

    def _error(self) -> SentilocError:
        """Why there is no complete file."""
        if self._file.has_ended_early:
            try:
                status = self._child.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                status = 0
            if self._kills.was_stray(status):
                return KilledProcessError("The encoder was killed from outside.")
        return self._file.error()

    def _send(self, kind: bytes, data: memoryview) -> None:
        self._write(memoryview(child.IN_HEADER.pack(kind, data.nbytes)))
        # A view of bytes, because os.write counts bytes; an empty view cannot be cast.
        self._write(data.cast("B") if data.nbytes else data)

    def _write(self, left: memoryview) -> None:
        poll = select.poll()
        poll.register(self._feed, select.POLLOUT)
        waiting_since = time.monotonic()
        while left:
            if not poll.poll(_POLL_SECONDS * 1000):
                self._on_wait()
                if time.monotonic() - waiting_since > self._limits.stall_seconds:
                    raise SentilocError(ErrorCode.RESOURCE_LIMIT, "The encoder made no progress.")
                continue
            try:
                left = left[os.write(self._feed, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                # The child's reason is more useful than "broken pipe", and may arrive just after it.
                self._file.wait_for_failure()
                raise self._error() from error
            waiting_since = time.monotonic()
            count_step()


def _raw_bytes(plan: ReelPlan) -> int:
    """The number of bytes of a reel's raw pictures and sound, an upper bound for the encoded file."""
    pictures = plan.frames * plan.width * plan.height * 3
    return pictures + ceil(plan.seconds * child.SOUND_RATE) * 8 + _HEAD_BYTES


def _widen(pipe: int) -> None:
    """Enlarge a pipe to hold most of a picture, so that both processes wake less often. Not every system supports
    this.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
