"""The confined process that encodes: `python -m sentiloc.worker.reels.encoder_child TASK`, started by `encoder` only.

Raw pictures and samples come in through one pipe, and chunks of an MP4 file go out through another, so the process
opens no file.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.logging
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from sentiloc.worker.decoder.child import import_everything
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.request import DecodeLimits

IN_HEADER = struct.Struct("<cQ")
OUT_HEADER = struct.Struct("<cQQ")
PICTURE, SOUND, END = b"V", b"A", b"E"
CONFINED, BYTES, DONE, FAILED, PROGRESS = b"C", b"B", b"D", b"X", b"P"
SOUND_RATE = 48_000
CHANNELS = 2
_PIECE = 1 << 20
_SOUND_FRAME = 1024
_MOST_TEXT = 2000
# Bytes of the MP4 index per frame, rounded up. The unused space stays as a `free` box.
_HEADER_BYTES, _PICTURE_BYTES, _SOUND_BYTES = 64 * 1024, 48, 32
_MOV_CODECS = ("libx264", "libopenh264", "mpeg4")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeTask:
    """The task: frames of `width` x `height` at `rate`, with or without sound."""

    in_fd: int
    out_fd: int
    parent_pid: int
    width: int
    height: int
    rate: str
    frames: int
    has_sound: bool
    quality: int
    title: str
    limits: dict[str, Any]


class PipeFile:
    """A file object for libav.

    Writes are sent to the parent with their position, so that headers can be completed later.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._place, self._end = fd, 0, 0

    def write(self, data: bytes) -> int:
        """Send a chunk with its position."""
        send(self._fd, BYTES, data, self._place)
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        self._place = (0, self._place, self._end)[whence] + offset
        return self._place

    def tell(self) -> int:
        """The current position."""
        return self._place


def send(fd: int, kind: bytes, data: bytes, place: int = 0) -> None:
    """Write one message. Blocks while the pipe is full."""
    left = memoryview(OUT_HEADER.pack(kind, place, len(data)) + data)
    while left:
        left = left[os.write(fd, left) :]


def main() -> None:
    """Perform the task given on the command line."""
    task = EncodeTask(**json.loads(sys.argv[1]))
    import_everything()
    av.logging.set_level(None)
    measures = confine(DecodeLimits(**task.limits), task.parent_pid)
    send(task.out_fd, CONFINED, json.dumps(measures).encode())
    try:
        _encode(task)
    except BrokenPipeError:
        return
    except Exception as error:
        trace = "".join(traceback.format_exception(error))[-_MOST_TEXT:]
        send(task.out_fd, FAILED, trace.encode())
        return
    send(task.out_fd, DONE, b"")


def moov_size(frames: int, sounds: int) -> int:
    """Room for the index before the pictures, so that players can start before they have the whole file."""
    return _HEADER_BYTES + frames * _PICTURE_BYTES + sounds * _SOUND_BYTES


def _encode(task: EncodeTask) -> None:
    sounds = task.frames * SOUND_RATE / Fraction(task.rate) / _SOUND_FRAME if task.has_sound else 0
    options = {"moov_size": str(moov_size(task.frames, int(sounds)))}
    with av.open(PipeFile(task.out_fd), "w", format="mp4", options=options) as container:
        container.metadata["title"] = task.title
        video = _add_video(container, task)
        audio = _add_audio(container) if task.has_sound else None
        encoder = _Encoder(container, video, audio, task)
        for kind, data in _messages(task.in_fd):
            encoder.take(kind, data)
        encoder.finish()


def _add_video(container: OutputContainer, task: EncodeTask) -> VideoStream:
    # PyAV's wheels bring libx264; distributions may build without it for its licence.
    codec = next(name for name in _MOV_CODECS if name in av.codecs_available)
    options = {"crf": str(task.quality), "preset": "veryfast"} if codec == "libx264" else {}
    stream = container.add_stream(codec, rate=Fraction(task.rate), options=options)
    assert isinstance(stream, VideoStream)  # noqa: S101
    # Browsers play only this pixel format.
    stream.width, stream.height, stream.pix_fmt = task.width, task.height, "yuv420p"
    stream.time_base = 1 / Fraction(task.rate)
    # Stated, because players otherwise guess the colours from the picture's size.
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    context.thread_count = task.limits["threads"]
    return stream


def _add_audio(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=SOUND_RATE, options={"b": "160000"})
    assert isinstance(stream, AudioStream)  # noqa: S101
    stream.codec_context.layout = "stereo"
    return stream


class _Encoder:
    def __init__(
        self, container: OutputContainer, video: VideoStream, audio: AudioStream | None, task: EncodeTask
    ) -> None:
        self._container, self._video, self._audio, self._task = container, video, audio, task
        self._reformatter = VideoReformatter()
        self._frames = self._samples = 0

    def take(self, kind: bytes, data: bytes) -> None:
        """Encode a picture or some samples."""
        if kind == PICTURE:
            shape = (self._task.height, self._task.width, 3)
            picture = av.VideoFrame.from_ndarray(np.frombuffer(data, np.uint8).reshape(shape), "rgb24")
            frame = self._reformatter.reformat(
                picture,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
            frame.pts, frame.time_base = self._frames, 1 / Fraction(self._task.rate)
            self._frames += 1
            self._container.mux(self._video.encode(frame))
        elif self._audio is not None:
            self._sound(np.frombuffer(data, np.float32).reshape(-1, CHANNELS))

    def _sound(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        assert self._audio is not None  # noqa: S101
        # Cross-fades of loud sounds may exceed full scale.
        planes = np.ascontiguousarray(np.clip(samples, -1, 1).T)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._samples, Fraction(1, SOUND_RATE)
        self._samples += len(samples)
        self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Flush the encoders."""
        self._container.mux(self._video.encode(None))
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))


def _messages(fd: int) -> Iterator[tuple[bytes, bytes]]:
    while True:
        kind, size = IN_HEADER.unpack(_read(fd, IN_HEADER.size))
        if kind == END:
            return
        yield kind, _read(fd, size)


def _read(fd: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        # In pieces, because os.read allocates the size asked for, however little the pipe holds.
        part = os.read(fd, min(_PIECE, size - len(parts)))
        if not part:
            raise BrokenPipeError("the parent is gone")
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    main()
