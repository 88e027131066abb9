"""Animated WebP (RFC 9649) as a stream of Matroska, because libav decodes the pictures but has no demuxer for the file.

Each picture is decoded when it is read, drawn on the canvas, and passed on without compression. So the rest of the
decoder, with its clock and its limits, works as with any other container.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.decoder.source.limits import check_size

Canvas = NDArray[np.uint8]

_MILLISECOND = Fraction(1, 1000)
_SHORTEST, _USUAL = 10, 100
"""Milliseconds. Browsers show pictures of at most the first value for the second one."""
_LONGEST_USUAL = 1000
"""Milliseconds. A first picture that is shown for longer says nothing about the others."""
_HEAD_BYTES, _CHUNK_HEAD, _PLACE_BYTES = 12, 8, 16
_DISPOSES, _REPLACES = 0x01, 0x02
_HAS_ALPHA = 0x10
_MOST_IN_A_CHUNK = 64 * 1024 * 1024


class WebpStream(io.RawIOBase):
    """The bytes of a Matroska file with the pictures of an animated WebP. Raises limit_exceeded for a huge canvas."""

    def __init__(self, file: BinaryIO, limits: DecodeLimits) -> None:
        self._file, self._limits = file, limits
        self._out = _Pieces()
        self._pieces = self._make()
        self.broke_off = False

    def readable(self) -> bool:
        """True: the stream can be read."""
        return True

    def tell(self) -> int:
        """The number of bytes of the WebP file that were read."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the next pictures."""
        view = memoryview(buffer).cast("B")
        while not self._out.waiting and next(self._pieces, None) is not None:
            pass
        taken = self._out.take(len(view))
        view[: len(taken)] = taken
        return len(taken)

    def _make(self) -> Iterator[bool]:
        """Convert one chunk per step and write the outcome to `_out`."""
        canvas: Canvas | None = None
        output: Any = None
        shown_at = 0
        for kind, body in self._chunks():
            if kind == b"VP8X" and len(body) >= 10 and canvas is None:
                width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
                check_size(width, height, self._limits)
                canvas = np.zeros((height, width, 3), np.uint8)
            elif kind == b"ANMF" and canvas is not None and len(body) > _PLACE_BYTES:
                picture = _Picture(body)
                if picture.draw(canvas, self._limits):
                    output = output or self._open_output(canvas, picture.milliseconds)
                    self._write(output, canvas, shown_at, picture.milliseconds)
                picture.dispose(canvas)
                shown_at += picture.milliseconds
            yield True
        if output is not None:
            output.close()

    def _open_output(self, canvas: Canvas, milliseconds: int) -> Any:
        """The Matroska file, for pictures like `canvas` that are mostly shown as long as the first one."""
        height, width = canvas.shape[:2]
        output: Any = av.open(self._out, "w", format="matroska", options={"live": "1"})
        # Without a rate the durations of pictures are not written.
        stream = output.add_stream("rawvideo", rate=Fraction(1000, min(milliseconds, _LONGEST_USUAL)))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = _MILLISECOND
        return output

    @staticmethod
    def _write(output: Any, canvas: Canvas, shown_at: int, milliseconds: int) -> None:
        # Matroska has no raw RGB of its own.
        frame = av.VideoFrame.from_ndarray(canvas, "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = shown_at, _MILLISECOND
        for packet in output.streams.video[0].encode(frame):
            packet.duration = milliseconds
            output.mux(packet)

    def _chunks(self) -> Iterator[tuple[bytes, bytes]]:
        """The file's chunks; the last one may be cut short."""
        self._file.seek(0)
        left = int.from_bytes(self._read(_HEAD_BYTES)[4:8], "little") - 4
        while left >= _CHUNK_HEAD:
            head = self._read(_CHUNK_HEAD)
            size = int.from_bytes(head[4:8], "little")
            body = self._read(min(size, _MOST_IN_A_CHUNK))
            padded = size + size % 2
            if len(head) < _CHUNK_HEAD or len(body) < size:
                self.broke_off = True
                return
            self._read(size % 2)
            left -= _CHUNK_HEAD + padded
            yield head[:4], body

    def _read(self, count: int) -> bytes:
        """`count` bytes, or fewer at the end; an unbuffered file may return fewer per call."""
        found = b""
        while len(found) < count and (piece := self._file.read(count - len(found))):
            found += piece
        return found


class _Pieces:
    """A FIFO buffer of bytes with the interface of a file."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        """Append."""
        self.waiting += data
        return len(data)

    def take(self, most: int) -> bytes:
        """Up to `most` bytes from the front."""
        taken = bytes(self.waiting[:most])
        del self.waiting[:most]
        return taken


class _Picture:
    """A chunk ANMF: where its picture goes, for how long, and how it is drawn (RFC 9649, 2.7.1.1)."""

    def __init__(self, body: bytes) -> None:
        x, y, width, height, shown = (int.from_bytes(body[at : at + 3], "little") for at in range(0, 15, 3))
        self._x, self._y, self._width, self._height = 2 * x, 2 * y, width + 1, height + 1
        self.milliseconds = shown if shown > _SHORTEST else _USUAL
        self._flags, self._data = body[15], body[_PLACE_BYTES:]

    def draw(self, canvas: Canvas, limits: DecodeLimits) -> bool:
        """Draw on `canvas` (height, width, 3), as far as the picture lies on it; False if it cannot be decoded."""
        check_size(self._width, self._height, limits)
        picture = self._decode(limits)
        if picture is None:
            return False
        target = self._part(canvas)
        picture = picture[: target.shape[0], : target.shape[1]]
        target = target[: picture.shape[0], : picture.shape[1]]
        if picture[..., 3].min(initial=255) == 255:
            target[:] = picture[..., :3]
            return True
        # The canvas is opaque and black at first. What replaces it is seen in front of black, too.
        under = np.zeros_like(target) if self._flags & _REPLACES else target
        opacity = picture[..., 3:].astype(np.uint16)
        mixed = picture[..., :3] * opacity + under * (255 - opacity)
        target[:] = (mixed + 127) // 255
        return True

    def dispose(self, canvas: Canvas) -> None:
        """Clear the area of the picture, if the file asks for it."""
        if self._flags & _DISPOSES:
            self._part(canvas)[:] = 0

    def _part(self, canvas: Canvas) -> Canvas:
        return canvas[self._y : self._y + self._height, self._x : self._x + self._width]

    def _decode(self, limits: DecodeLimits) -> Canvas | None:
        """The picture (height, width, 4), RGBA."""
        # The frame's chunks become a still WebP; with separate opacity, that needs a VP8X chunk.
        size = b"".join((side - 1).to_bytes(3, "little") for side in (self._width, self._height))
        announced = b"VP8X" + (10).to_bytes(4, "little") + bytes([_HAS_ALPHA, 0, 0, 0]) + size
        content = b"WEBP" + (announced if self._data[:4] == b"ALPH" else b"") + self._data
        whole = b"RIFF" + len(content).to_bytes(4, "little") + content
        context = VideoCodecContext.create("webp", "r")
        context.options = {"max_pixels": str(limits.max_frame_pixels)}
        context.thread_count = 1
        try:
            frames = [*context.decode(av.Packet(whole)), *context.decode(None)]
        except av.error.FFmpegError:
            return None
        return np.asarray(frames[0].to_ndarray(format="rgba"), np.uint8) if frames else None
