"""The confined process, which only `sentiloc.worker.decoder.process` starts: by fork, or as `python -m
sentiloc.worker.decoder.child TASK`.
"""

from __future__ import annotations

import errno
import importlib
import json
import mmap
import os
import pkgutil
import sys
import traceback
from types import ModuleType
from typing import Any, BinaryIO

import av
import av.error
import av.logging

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.channel import Sender
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.decoding import Decoding
from sentiloc.worker.decoder.grab import grab
from sentiloc.worker.decoder.source.opening import open_media
from sentiloc.worker.decoder.task import Output, Task, read_task
from sentiloc.worker.runtime.freed_memory import keep_freed_memory

_TRACE_CHARACTERS = 2000


def perform(task: Task, file: BinaryIO, output: Output) -> None:
    """Perform the task. Every expected failure becomes one error message."""
    media = open_media(file, task.container_format, task.limits, task.request.audio_track)
    if task.grab_seconds is not None:
        grab(media, task, task.grab_seconds, output)
    else:
        Decoding(media, task, output).run()


def _import_all_of(package: ModuleType) -> None:
    """PyAV imports parts of itself when first used, which confinement would refuse."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith(("__main__", ".datasets")):
            importlib.import_module(found.name)


def main() -> None:
    """Perform the task given on the command line."""
    import_everything()
    perform_task(json.loads(sys.argv[1]))


def perform_task(task: dict[str, Any]) -> None:
    """Confine this process, then perform a task in the form that `sentiloc.worker.decoder.process` writes."""
    run(read_task(task))


def import_everything() -> None:
    """Import what decoding may need: no file can be opened afterwards."""
    _import_all_of(av)


def run(task: Task) -> None:
    """Confine this process, then decode."""
    av.logging.set_level(None)
    keep_freed_memory()
    sender = Sender(task.out_fd, task.credit_fd, task.slots)
    # Before confinement, which refuses what Python asks about a file when it opens or maps it.
    memory = mmap.mmap(task.frames_fd, task.slots * task.request.slot_bytes)
    file = os.fdopen(task.media_fd, "rb", buffering=0)
    sender.send(channel.CONFINED, {"measures": confine(task.limits, task.parent_pid)})
    try:
        perform(task, file, Output(sender, memory, task.request))
    except SentilocError as error:
        _fail(sender, error.code, error.detail)
    except BrokenPipeError:
        return
    except MemoryError:
        _fail(sender, ErrorCode.RESOURCE_LIMIT, "Decoding the video takes more memory than is allowed.")
    except Exception as error:
        _fail_unexpectedly(sender, error)


def _fail_unexpectedly(sender: Sender, error: Exception) -> None:
    """Report an unexpected error.

    Errors of libav and PyAV on damaged media have no common type; the traceback goes to the log.
    """
    if getattr(error, "errno", None) == errno.ENOMEM:
        _fail(sender, ErrorCode.RESOURCE_LIMIT, "Decoding the video takes more memory than is allowed.")
        return
    trace = "".join(traceback.format_exception(error))[-_TRACE_CHARACTERS:]
    ours = isinstance(error, ImportError | PermissionError) and not isinstance(error, av.error.FFmpegError)
    if ours:
        _fail(sender, ErrorCode.INTERNAL, "The decoder could not run.", trace)
    else:
        _fail(sender, ErrorCode.CORRUPT_MEDIA, "The video is damaged and could not be read.", trace)


def _fail(sender: Sender, code: ErrorCode, detail: str, trace: str = "") -> None:
    sender.send(channel.ERROR, {"code": str(code), "detail": detail, "trace": trace})


if __name__ == "__main__":
    main()
