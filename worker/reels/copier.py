"""The parent's side of copying: a reel whose packets are taken from the videos as they are, without encoding."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from sentiloc.app.reels.plan import ReelPlan
from sentiloc.worker.children.start import open_pipe, start_confined
from sentiloc.worker.decoder.decode import opened
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels.made_file import MadeFile

log = logging.getLogger(__name__)

MOST_SOURCES = 8
"""The maximum number of videos of a copied reel, because a confined process may open 16 files."""
_INDEX_BYTES = 1 << 20
_POLL_SECONDS = 0.25
_EXIT_SECONDS = 5.0


def copy_reel(
    plan: ReelPlan, path: Path, limits: DecodeLimits, on_wait: Callable[[float], None]
) -> int | None:
    """Write the reel of `plan` to `path` without encoding; None if it has to be rendered.

    It can be copied if it has hard cuts and no captions, if every part begins and ends where H.264 can be cut, or would
    if it were a frame shorter, and if all videos share codec settings, size and rate with the reel. A copy is never
    larger than the videos together.

    Args:
        plan: The plan of the reel, whose sources are paths.
        path: The output file; an existing file is replaced.
        limits: Limits of the confined process.
        on_wait: Called with the progress, 0 to 1; what it raises ends the work.

    Returns:
        The number of frames.

    Raises:
        SentilocError: A video cannot be opened, or there is no room.
    """
    sources = list(dict.fromkeys(clip.source for clip in plan.clips))
    if plan.captions or any(plan.overlaps) or len(sources) > MOST_SOURCES:
        return None
    with ExitStack() as stack, ExitStack() as lent:
        files = [stack.enter_context(opened(Path(source))) for source in sources]
        made, out_fd = open_pipe(reader=stack, writer=lent)
        max_bytes = sum(Path(source).stat().st_size for source in sources)
        # Unless compromised, the process writes at most `max_bytes` of packets; the index is added to them.
        file = MadeFile(path, made, 2 * max_bytes + _INDEX_BYTES)
        stack.callback(file.close)
        task = {
            "sources": [(source.fileno(), container_format) for source, container_format in files],
            "clips": [(sources.index(clip.source), clip.first, clip.frames) for clip in plan.clips],
            "max_bytes": max_bytes,
            "out_fd": out_fd,
            "parent_pid": os.getpid(),
            "width": plan.width,
            "height": plan.height,
            "rate": plan.rate,
            "title": plan.title,
            "limits": asdict(limits),
        }
        fds = (out_fd, *(source.fileno() for source, _ in files))
        child = start_confined("sentiloc.worker.reels.copy_child", task, fds)
        # Callbacks run in reverse: kill, then wait.
        stack.callback(child.wait, _EXIT_SECONDS)
        stack.callback(child.kill)
        # The parent's copy of the writing end. While it is open, the end of the child would not be noticed.
        lent.close()
        file.start()
        _wait(file, limits, lambda: on_wait(min(1.0, file.progress / plan.frames)))
        return _frames(file, plan.frames)


def _wait(file: MadeFile, limits: DecodeLimits, on_wait: Callable[[], None]) -> None:
    """Wait for the end of the file, or until the child has sent nothing for the time limit of a stalled decoder, or has
    sent something for longer than decoding may take.
    """
    seen, since = file.messages, time.monotonic()
    until = since + limits.wall_seconds
    while file.is_arriving(_POLL_SECONDS):
        on_wait()
        if time.monotonic() > until:
            file.failure = "the copying process takes too long"
            return
        if file.messages != seen:
            seen, since = file.messages, time.monotonic()
        elif time.monotonic() - since > limits.stall_seconds:
            file.failure = "the copying process made no progress"
            return


def _frames(file: MadeFile, planned: int) -> int | None:
    """The number of frames that the child has written; None if there is no file. The child is not trusted."""
    if file.done is not None and abs(file.progress - planned) <= 1:
        file.sync()
        return file.progress
    # Rendering would need even more room.
    if file.is_full:
        raise file.error()
    log.info("the reel is rendered: %s", file.failure)
    return None
