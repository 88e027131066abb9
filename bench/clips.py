"""Videos of any length for benchmarks: drawn faces that move, with a hummed voice; or a loop of a real one.

Ten seconds are drawn and encoded once per size and codec; longer files repeat their packets, so two hours are made in
seconds. Decoding costs as much as for any video of that size, codec and bit rate, but the content repeats.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FRAME_RATE, SAMPLE_RATE = 25, 48_000
LOOP_SECONDS = 10.24
"""256 video frames last exactly as long as 480 AAC frames of 1024 samples, so both streams repeat without a gap."""
WIDTHS = {144: 256, 360: 640, 720: 1280, 1080: 1920}
ENCODERS = {
    # The encoders' own default qualities or near: the decoder's cost depends on the bit rate.
    "h264": ("libx264", {"preset": "veryfast", "crf": "23"}),
    "hevc": ("libx265", {"preset": "ultrafast", "crf": "26", "x265-params": "log-level=none"}),
}


def make_clip(folder: Path, codec: str, height: int, seconds: float) -> Path:
    """A 25 fps mp4 with AAC sound of at least `seconds` (a multiple of 10.24 s), made if it does not exist."""
    loops = max(1, round(seconds / LOOP_SECONDS))
    path = folder / f"drawn-{codec}-{height}p-{loops}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"drawn-{codec}-{height}p-1.mp4"
        if not source.exists():
            _write(source, lambda part: _encode(part, codec, height))
        if loops > 1:
            _write(path, lambda part: _repeat(source, part, loops))
    return path


def make_short_clip(path: Path, height: int, seconds: float) -> Path:
    """Make a 25 fps mp4 of that many seconds, with picture and sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, lambda part: _encode(part, "h264", height, seconds))
    return path


def _write(path: Path, make: Any) -> None:
    part = path.with_suffix(".part.mp4")
    make(part)
    part.replace(path)


def _encode(path: Path, codec: str, height: int, seconds: float = LOOP_SECONDS) -> None:
    encoder, options = ENCODERS[codec]
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(encoder, rate=FRAME_RATE, options=dict(options))
        video.width, video.height, video.pix_fmt = WIDTHS[height], height, "yuv420p"
        # With more threads, the file would differ between machines.
        video.codec_context.thread_count = 1
        sound: Any = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index in range(round(seconds * FRAME_RATE)):
            frame = av.VideoFrame.from_ndarray(draw(index, height), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, round(seconds * SAMPLE_RATE), 1024):
            samples = tone(np.arange(start, start + 1024) / SAMPLE_RATE)
            audio = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            audio.sample_rate, audio.pts, audio.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(sound.encode(audio))
        container.mux(sound.encode(None))


def draw(index: int, height: int) -> Image:
    """Frame `index` (height, width, 3): a face that moves, with moving eyes and lips, before a grainy background."""
    width, t = WIDTHS[height], index / FRAME_RATE
    # Without grain the encoder would leave out most blocks, and decoding would cost less than for a real
    # video.
    grain = np.random.default_rng(index % 8).integers(0, 12, (height // 2, width // 2, 1), np.uint8)
    shade = np.linspace(60, 150, width // 2, dtype=np.float32)[None, :, None] + np.array(
        [10, 0, -15], np.float32
    )
    image = cv2.resize((shade + grain).astype(np.uint8), (width, height))
    x = int(width * (0.5 + 0.15 * np.sin(0.7 * t)))
    y, r = int(height * (0.48 + 0.04 * np.sin(1.3 * t))), height // 5
    mouth = max(2, int(r * (0.08 + 0.12 * abs(np.sin(7 * t)))))
    for centre, axes, colour in (
        ((x, y + 2 * r), (2 * r, r), (50, 60, 110)),
        ((x, y - r // 8), (int(0.85 * r), int(1.18 * r)), (60, 40, 30)),
        ((x, y), (int(0.78 * r), r), (205, 160, 135)),
        ((x - r // 3, y - r // 4), (r // 7, r // 12), (245, 245, 245)),
        ((x + r // 3, y - r // 4), (r // 7, r // 12), (245, 245, 245)),
        ((x - r // 3, y - r // 4), (r // 16, r // 13), (40, 30, 25)),
        ((x + r // 3, y - r // 4), (r // 16, r // 13), (40, 30, 25)),
        ((x, y + r // 8), (r // 10, r // 5), (185, 140, 118)),
        ((x, y + r // 2), (r // 3, mouth), (150, 70, 70)),
    ):
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def tone(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Syllables of a hummed voice: four harmonics of 140 Hz, four times a second."""
    wave = sum(np.sin(2 * np.pi * 140 * k * seconds) / k for k in range(1, 5))
    return np.asarray(0.1 * wave * np.clip(np.sin(2 * np.pi * 4 * seconds), 0, 1), np.float32)


def _repeat(source: Path, path: Path, loops: int) -> None:
    streams: dict[int, Any] = {}
    with av.open(str(path), "w") as container:
        for turn in range(loops):
            with av.open(str(source)) as again:
                if not turn:
                    streams = {s.index: container.add_stream_from_template(s) for s in again.streams}
                for packet in again.demux():
                    _mux_again(container, packet, streams, turn)


def _mux_again(container: Any, packet: Any, streams: dict[int, Any], turn: int) -> None:
    length = round(LOOP_SECONDS / packet.time_base)
    # The encoder's priming before 0 and the frame beyond the end would overlap with the neighbours of each
    # repeat.
    if packet.dts is None or (packet.stream.type == "audio" and not 0 <= packet.pts < length):
        return
    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
    packet.stream = streams[packet.stream.index]
    container.mux(packet)
