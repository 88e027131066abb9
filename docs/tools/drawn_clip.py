"""A clip of a drawn person who smiles, then frowns, and hums: nobody real, for screenshots and tests of the page."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FPS = 25
SIZE = (640, 360)
RATE = 16_000
SECONDS = 24.0
SKIN, SHADE, HAIR, LIPS = (150, 184, 232), (120, 152, 206), (38, 44, 66), (86, 82, 186)


def mood(seconds: float, length: float) -> float:
    """1 a broad smile, -1 a deep frown: neutral, smile, neutral, frown, neutral."""
    part = seconds / length
    smile = math.exp(-(((part - 0.28) / 0.11) ** 4))
    frown = math.exp(-(((part - 0.72) / 0.12) ** 4))
    return smile - frown


def draw_face(seconds: float, length: float) -> Image:
    """(height, width, 3) BGR: head and shoulders in front of a plain wall."""
    width, height = SIZE
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.ascontiguousarray(
        np.broadcast_to(196 - 50 * rows + np.array([14, 4, -6]), (height, width, 3))
    ).astype(np.uint8)
    feeling = mood(seconds, length)
    x, y = width // 2 + round(5 * math.sin(seconds * 0.9)), 168 + round(3 * math.sin(seconds * 1.7))
    _ellipse(picture, (x, 400), (170, 130), (112, 88, 60))
    _ellipse(picture, (x, 270), (36, 56), SHADE)
    _ellipse(picture, (x, y - 22), (100, 118), HAIR)
    _ellipse(picture, (x, y), (80, 104), SKIN)
    _ellipse(picture, (x, y - 88), (76, 34), HAIR)
    picture = cv2.GaussianBlur(picture, (0, 0), 3).astype(np.uint8)
    for side in (-1, 1):
        _draw_eye(picture, x + 32 * side, y - 16, side, feeling, seconds)
        _ellipse(picture, (x + 48 * side, y + 34), (15, 9), _mix(SKIN, (140, 150, 240), max(0.0, feeling)))
    cv2.ellipse(picture, (x, y + 20), (9, 6), 0, 20, 160, SHADE, 3, cv2.LINE_AA)
    cv2.line(picture, (x - 5, y - 6), (x - 8, y + 18), SHADE, 2, cv2.LINE_AA)
    _draw_mouth(picture, x, y + 54, feeling, 0.5 + 0.5 * math.sin(seconds * 11))
    return cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.uint8)


def _ellipse(picture: Image, centre: tuple[int, int], axes: tuple[int, int], colour: tuple[int, ...]) -> None:
    cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)


def _mix(first: tuple[int, ...], second: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def _draw_eye(picture: Image, x: int, y: int, side: int, feeling: float, seconds: float) -> None:
    blinks = (seconds % 3.1) < 0.14
    tall = 2 if blinks else round(10 - 3 * abs(feeling))
    _ellipse(picture, (x, y), (16, tall), (245, 245, 245))
    if not blinks:
        _ellipse(picture, (x, y), (7, min(7, tall)), (92, 70, 44))
        _ellipse(picture, (x, y), (3, min(3, tall)), (12, 12, 12))
        _ellipse(picture, (x + 2, y - 2), (1, 1), (255, 255, 255))
    inner = round(-26 + 9 * max(0.0, -feeling) - 3 * max(0.0, feeling))
    outer = round(-25 - 5 * max(0.0, -feeling) - 3 * max(0.0, feeling))
    ends = [
        (x - 16 * side, y + inner),
        (x, y - 30 + round(5 * max(0.0, -feeling))),
        (x + 18 * side, y + outer),
    ]
    cv2.polylines(picture, [np.array(ends, np.int32)], False, HAIR, 6, cv2.LINE_AA)


def _draw_mouth(picture: Image, x: int, y: int, feeling: float, open_by: float) -> None:
    half = round(24 + 11 * max(0.0, feeling))
    bend = round(15 * feeling)
    across = np.linspace(-1, 1, 25)
    middle = y + bend * (0.5 - across**2)
    gap = (3 + 5 * open_by + 7 * max(0.0, feeling)) * (1 - across**2)
    columns = x + half * across
    upper = np.stack([columns, middle - gap * 0.35], axis=1).round().astype(np.int32)
    lower = np.stack([columns, middle + gap], axis=1).round().astype(np.int32)
    inside = np.concatenate([upper, lower[::-1]])
    cv2.fillPoly(picture, [inside], (60, 40, 70) if feeling < 0.3 else (238, 240, 242), cv2.LINE_AA)
    cv2.polylines(picture, [inside], True, LIPS, 4, cv2.LINE_AA)


def hum(length: float) -> NDArray[np.float32]:
    """(samples,) of a voice-like tone in words: high and lively while it smiles, low and rough while it frowns."""
    at = np.arange(round(length * RATE)) / RATE
    feeling = np.array([mood(second, length) for second in np.arange(0, length, 0.01)])
    feeling = np.interp(at, np.arange(len(feeling)) * 0.01, feeling)
    pitch = 190 + 90 * feeling + (12 + 40 * np.maximum(feeling, 0)) * np.sin(2 * np.pi * 2.3 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(phase * n) / n**1.2 for n in range(1, 14))
    words = np.clip(np.sin(2 * np.pi * 1.7 * at) + 0.5 + 0.3 * np.sin(2 * np.pi * 5.3 * at), 0, 1)
    rough = 1 - 0.6 * np.maximum(-feeling, 0) * (np.sin(2 * np.pi * 31 * at) > 0)
    loud = 0.16 * words * rough * (0.6 + 0.6 * np.abs(feeling))
    return np.asarray(tone * loud, np.float32)


def draw_clip(path: Path, length: float = SECONDS) -> None:
    """Write the clip as H.264 and AAC; `length` in seconds."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=RATE)
        sound.codec_context.layout = "mono"
        for number in range(round(length * FPS)):
            picture = av.VideoFrame.from_ndarray(draw_face(number / FPS, length), "bgr24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for frame in _sound_frames(hum(length)):
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def _sound_frames(samples: NDArray[np.float32]) -> list[av.AudioFrame]:
    frames = []
    for begin in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1024], "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), begin
        frames.append(frame)
    return frames
