"""Joins the two fields of interlaced pictures for display, because moving edges would otherwise look like combs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

_TICK = Fraction(1, 25)


class Fields:
    """Passes pictures on in order, interlaced ones as whole pictures, which come one picture later."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._source: Any = None
        self._sink: Any = None
        self._kind: tuple[object, ...] = ()
        self._count = 0
        self._times: deque[float] = deque()

    def push(self, frame: VideoFrame, seconds: float) -> Iterator[tuple[VideoFrame, float]]:
        """Take the picture that is shown from `seconds` on."""
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and kind != self._kind:
            yield from self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame, seconds
                return
            self._begin(kind)
        self._times.append(seconds)
        stamp, base = frame.pts, frame.time_base
        # The filter only needs the order, and time stamps may be missing.
        frame.pts, frame.time_base = self._count, _TICK
        self._count += 1
        self._source.push(frame)
        frame.pts, frame.time_base = stamp, base
        yield from self._ready()

    def flush(self) -> Iterator[tuple[VideoFrame, float]]:
        """Pass on the last picture."""
        if self._graph is None:
            return
        self._source.push(None)
        yield from self._ready()
        self._graph = None
        self._times.clear()

    def _begin(self, kind: tuple[Any, ...]) -> None:
        width, height, pixel_format = self._kind = kind
        self._graph = Graph()
        # A confined process may start only a few threads.
        self._graph.threads = 1
        self._source = self._graph.add_buffer(
            width=width, height=height, format=pixel_format, time_base=_TICK
        )
        # Pictures that are not interlaced pass unchanged.
        join = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, join, self._sink).configure()

    def _ready(self) -> Iterator[tuple[VideoFrame, float]]:
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while self._times:
                found = self._sink.pull()
                yield found, self._times.popleft()
