"""A test clip for `sentiloc doctor`: three seconds of moving colours and a tone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SECONDS, FPS, RATE = 3, 25, 16_000
_SIZE = (160, 120)


def write_test_clip(path: Path) -> None:
    """Write an MP4 of three seconds with MPEG-4 video and AAC sound, codecs that every build of FFmpeg can write."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=FPS)
        video.width, video.height = _SIZE
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=RATE)
        sound.codec_context.layout = "mono"
        for index in range(SECONDS * FPS):
            container.mux(video.encode(_picture(index)))
        # 1024 samples are one frame of AAC.
        for begin in range(0, SECONDS * RATE, 1024):
            container.mux(sound.encode(_tone(begin, min(begin + 1024, SECONDS * RATE))))
        # Encoders hold the last frames back until they are flushed.
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _picture(index: int) -> Any:
    width, height = _SIZE
    ramp = (np.arange(width)[None, :, None] + np.arange(height)[:, None, None] + 4 * index) % 256
    shifted = (ramp + np.array([0, 85, 170])) % 256
    return av.VideoFrame.from_ndarray(shifted.astype(np.uint8), "rgb24")


def _tone(begin: int, end: int) -> Any:
    signal = 0.2 * np.sin(2 * np.pi * 440 * np.arange(begin, end) / RATE)
    frame = av.AudioFrame.from_ndarray(signal[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
    return frame
