"""A broadcast stream whose sound changes its layout, with clicks at known times."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
LAYOUTS = ("stereo", "5.1(side)")
_SIZE = 1536
_CLICK_EVERY = 50


def click_times(sound: NDArray[np.float32], rate: int) -> list[float]:
    """Seconds at which the clicks of mono `sound` (samples,) begin."""
    loud = np.flatnonzero(np.abs(sound) > 0.1) / rate
    return [float(loud[0])] + [float(b) for a, b in pairwise(loud) if b - a > 0.5]


def make_broadcast(path: Path, *, every: int, seconds: int = 30, fps: int = 25) -> list[float]:
    """Write a transport stream whose AC-3 track switches between 2.0 and 5.1.

    Args:
        path: where to write it; the suffix is `.ts`.
        every: frames of sound (1,536 samples at 48 kHz) between two switches.
        seconds: its length.
        fps: pictures per second.

    Returns:
        The times of the clicks, in seconds of the stream.
    """
    clicks: list[float] = []
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track: Any = container.add_stream("ac3", rate=RATE)
        track.codec_context.layout = "stereo"
        encoders = {layout: _encoder(layout) for layout in LAYOUTS}
        shown = 0
        for number in range(seconds * RATE // _SIZE):
            sound, click = _sound(number)
            clicks += click
            layout = LAYOUTS[number // every % 2]
            while shown / fps <= number * _SIZE / RATE:
                container.mux(video.encode(_picture(shown)))
                shown += 1
            for packet in encoders[layout].encode(_frame(sound, layout, number)):
                packet.stream, packet.time_base = track, Fraction(1, RATE)
                packet.pts = packet.dts = number * _SIZE
                container.mux(packet)
        container.mux(video.encode(None))
    return clicks


def _encoder(layout: str) -> Any:
    encoder: Any = av.CodecContext.create("ac3", "w")
    encoder.sample_rate, encoder.format, encoder.layout = RATE, "fltp", layout
    encoder.time_base, encoder.bit_rate = Fraction(1, RATE), 384_000
    return encoder


def _sound(number: int) -> tuple[NDArray[np.float32], list[float]]:
    """One frame's samples, and the time of its click if it has one."""
    signal = np.zeros(_SIZE, np.float32)
    if number % _CLICK_EVERY != _CLICK_EVERY // 2:
        return signal, []
    signal[600:840] = 0.9 * np.sin(np.arange(240) * 0.5)
    return signal, [(number * _SIZE + 600) / RATE]


def _frame(signal: NDArray[np.float32], layout: str, number: int) -> av.AudioFrame:
    channels = 2 if layout == "stereo" else 6
    frame = av.AudioFrame.from_ndarray(np.tile(signal, (channels, 1)), "fltp", layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, number * _SIZE, Fraction(1, RATE)
    return frame


def _picture(index: int) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index % 255, np.uint8), "rgb24")
    picture.pts = index
    return picture
