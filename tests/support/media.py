"""Small real clips for tests, made with PyAV. Every picture encodes its own time."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_BLOCKS = 4
_DARK, _BRIGHT = 16, 235
_IDENTITY = (1, 0, 0, 1)
_SAMPLES = 1024
MATRICES = {0: _IDENTITY, 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Description of a clip.

    `times` (seconds of each frame) overrides `seconds` and `fps`; sizes are as displayed. The sound is silent except
    for 1 kHz tones in the spans of `beeps`, in seconds of the video's time line. `matrix` (a, b, c, d) is the display
    matrix of an mp4 or mov; pictures are stored rotated so that they are displayed upright.
    """

    seconds: float = 2.0
    fps: float = 25.0
    times: Sequence[float] | None = None
    last_frame_seconds: float | None = None
    size: tuple[int, int] = (128, 96)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = (("preset", "ultrafast"), ("crf", "18"), ("bf", "2"), ("g", "12"))
    start: float = 0.0
    matrix: tuple[int, int, int, int] = _IDENTITY
    pixel_aspect: Fraction | None = None
    audio: str | None = None
    audio_rate: int = 48_000
    audio_spans: tuple[tuple[float, float], ...] | None = None
    beeps: tuple[tuple[float, float], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def frame_times(self) -> list[float]:
        """Seconds of each frame from the first one on."""
        return list(self.times) if self.times is not None else [i / self.fps for i in range(self.count)]

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.times) if self.times is not None else round(self.seconds * self.fps)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self.frame_times[-1] + (self.last_frame_seconds or 1 / self.fps)


def picture(milliseconds: int, size: tuple[int, int]) -> Image:
    """A picture (height, width, 3) of 16 blocks that encode `milliseconds` in binary, highest bit first."""
    bits = [milliseconds >> (15 - i) & 1 for i in range(_BLOCKS * _BLOCKS)]
    blocks = np.where(np.array(bits).reshape(_BLOCKS, _BLOCKS), _BRIGHT, _DARK).astype(np.uint8)
    width, height = size
    rows, columns = np.arange(height) * _BLOCKS // height, np.arange(width) * _BLOCKS // width
    return np.repeat(blocks[rows][:, columns, None], 3, axis=2)


def read_time(image: Image) -> float:
    """The time in seconds that a `picture` encodes, read from the middle of each block."""
    height, width = image.shape[:2]
    value = 0
    for i in range(_BLOCKS * _BLOCKS):
        y, x = int((i // _BLOCKS + 0.5) * height / _BLOCKS), int((i % _BLOCKS + 0.5) * width / _BLOCKS)
        middle = image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean()
        value = value << 1 | int(middle > (_DARK + _BRIGHT) / 2)
    return value / 1000


def make_clip(path: Path, clip: Clip | None = None, **changes: Any) -> Clip:
    """Write a clip to `path` (its suffix chooses the container); returns what was made."""
    made = replace(clip or Clip(), **changes)
    with _scheduled_as_before(), av.open(str(path), "w", options=_muxer_options(path)) as container:
        container.metadata.update(dict(made.metadata))
        video = _add_video(container, made, path)
        sound = _add_audio(container, made)
        packets = [packet for frame in _video_frames(made, video) for packet in video.encode(frame)]
        packets += video.encode(None)
        if made.last_frame_seconds is not None:
            last = max(packets, key=lambda packet: packet.pts)
            last.duration = round(made.last_frame_seconds / last.time_base)
        for packet in packets:
            packet.duration = packet.duration or round(1 / Fraction(made.fps) / packet.time_base)
        container.mux(packets)
        if sound is not None:
            for samples in _audio_frames(made):
                container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    if made.matrix != _IDENTITY:
        _set_matrix(path, made.matrix)
    return made


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """Restore the scheduling policy.

    As root, SVT-AV1 gives its caller real-time priority, and later processes would inherit it.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _muxer_options(path: Path) -> dict[str, str]:
    return {"mpegts_copyts": "1"} if path.suffix == ".ts" else {}


def _ticks(clip: Clip, path: Path) -> Fraction:
    """Time base of the video: whole frames if the container or codec supports nothing finer."""
    coarse = path.suffix in {".avi", ".mpg"} or clip.codec == "mpeg2video"
    return 1 / Fraction(clip.fps).limit_denominator(1001) if coarse else Fraction(1, 30_000)


def _add_video(container: Any, clip: Clip, path: Path) -> Any:
    turned = clip.matrix[0] == 0
    stream = container.add_stream(clip.codec, rate=Fraction(clip.fps).limit_denominator(1001))
    stream.width, stream.height = clip.size[::-1] if turned else clip.size
    stream.pix_fmt = clip.pixel_format
    stream.codec_context.time_base = _ticks(clip, path)
    if clip.pixel_aspect is not None:
        stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
    if clip.codec.startswith("libx26"):
        stream.options = dict(clip.options)
    return stream


def _video_frames(clip: Clip, stream: Any) -> Any:
    base = stream.codec_context.time_base
    for seconds in clip.frame_times:
        image = unturn(picture(round(seconds * 1000), clip.size), clip.matrix)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        frame.pts, frame.time_base = round((seconds + clip.start) / base), base
        yield frame


def unturn(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """The stored picture that the display matrix turns into `image`, computed pixel by pixel from the definition."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    stored = np.empty((width, height, 3) if a == 0 else (height, width, 3), np.uint8)
    y, x = np.mgrid[: stored.shape[0], : stored.shape[1]]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    stored[y, x] = image[shown_y - shown_y.min(), shown_x - shown_x.min()]
    return stored


def _add_audio(container: Any, clip: Clip) -> Any:
    if clip.audio is None:
        return None
    stream = container.add_stream(clip.audio, rate=clip.audio_rate)
    stream.codec_context.layout = "stereo"
    return stream


def _audio_frames(clip: Clip) -> Any:
    for start, end in clip.audio_spans or ((0.0, clip.duration),):
        first, last = round(start * clip.audio_rate), round(end * clip.audio_rate)
        for begin in range(first, last, _SAMPLES):
            signal = _signal(clip, np.arange(begin, min(begin + _SAMPLES, last)) / clip.audio_rate)
            frame = av.AudioFrame.from_ndarray(np.stack([signal, signal]), "fltp", "stereo")
            frame.sample_rate, frame.time_base = clip.audio_rate, Fraction(1, clip.audio_rate)
            frame.pts = begin + round(clip.start * clip.audio_rate)
            yield frame


def _signal(clip: Clip, seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    loud = np.zeros(seconds.shape, bool)
    for start, end in clip.beeps:
        loud |= (seconds >= start) & (seconds < end)
    return (0.5 * np.sin(2 * np.pi * 1000 * seconds) * loud).astype(np.float32)


def _set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the display matrix into the first track header (ISO 14496-12, 8.3.2; version 0)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def repeat_video(source: Path, path: Path, *, seconds: float) -> None:
    """Repeat the packets of a video until `seconds` are reached, without encoding."""
    with av.open(str(path), "w") as out:
        streams: dict[int, Any] = {}
        offset = 0.0
        while offset < seconds:
            with av.open(str(source)) as held:
                chosen = [*held.streams.video[:1], *held.streams.audio[:1]]
                for stream in chosen:
                    if stream.index not in streams:
                        streams[stream.index] = out.add_stream_from_template(stream)
                for packet in held.demux(chosen):
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(offset / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
                # The first packets are decoded before time 0, so a pass needs a little room before it.
                offset += float(held.duration or 0) / av.time_base + 0.25
