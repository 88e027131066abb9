"""Pictures that were not decoded because nothing needs them, kept for a while to find a shot change among them.

Used only for codecs without prediction, in which every packet can be decoded by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from sentiloc.worker.decoder.pictures.luma import brightness
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.timeline.shots import GRID, Grid

_MOST_BYTES = 64 * 1024 * 1024


class SkippedPictures:
    """The packets that were skipped since the last picture was shown, in the order of their times."""

    def __init__(self, stream: VideoStream, limits: DecodeLimits) -> None:
        self._stream, self._limits = stream, limits
        self._packets: deque[tuple[float, Packet[Any]]] = deque()
        self._bytes = 0

    def keep(self, seconds: float, packet: Packet[Any]) -> None:
        """Keep the packet of a picture that would be shown at `seconds`; above the limits, the oldest packets are
        dropped.
        """
        self._packets.append((seconds, packet))
        self._bytes += packet.size
        while self._bytes > _MOST_BYTES:
            self._drop()

    def forget(self, until: float) -> None:
        """Drop the pictures up to `until` seconds."""
        while self._packets and self._packets[0][0] <= until:
            self._drop()

    def _drop(self) -> None:
        _, packet = self._packets.popleft()
        self._bytes -= packet.size

    def grids(self, until: float) -> Iterator[tuple[float, Grid]]:
        """The times before `until` and the brightness of the kept pictures, as far as they can be decoded."""
        context = self._open()
        for seconds, packet in self._packets:
            if seconds >= until:
                return
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError:
                continue
            grid = brightness(frames[0], GRID) if frames else None
            if grid is not None:
                yield seconds, grid

    def _open(self) -> VideoCodecContext:
        """A second decoder, because the threads of the first one delay its pictures."""
        like = self._stream.codec_context
        context = VideoCodecContext.create(like.codec.name, "r")
        assert isinstance(context, VideoCodecContext)  # noqa: S101
        context.extradata = like.extradata
        context.width, context.height = like.width, like.height
        if like.pix_fmt is not None:
            context.pix_fmt = like.pix_fmt
        context.codec_tag = like.codec_tag
        context.bits_per_coded_sample = like.bits_per_coded_sample
        context.options = {"max_pixels": str(self._limits.max_frame_pixels)}
        context.thread_count = 1
        return context
