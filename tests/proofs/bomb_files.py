"""Small files with huge demands: sides, pixels, frames, rates, streams, durations and tables."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.media import make_clip
from tests.worker.decoding import BOMB

TINY: dict[str, Any] = {"size": (64, 48)}


def _repeat_frame(
    path: Path, times: int, step: Fraction, streams: int = 1, size: tuple[int, int] = (64, 48)
) -> None:
    """Write one encoded picture `times` times, `step` seconds apart, in each of `streams` tracks."""
    with av.open(str(path), "w") as container:
        tracks: list[Any] = [container.add_stream("mpeg4", rate=Fraction(1) / step) for _ in range(streams)]
        for track in tracks:
            track.width, track.height, track.pix_fmt, track.time_base = *size, "yuv420p", step
        packets = []
        for track in tracks:
            frame = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = 0, step
            packets.append(next(iter([*track.encode(frame), *track.encode(None)])))
        for index in range(times):
            for track, packet in zip(tracks, packets, strict=True):
                copy = av.Packet(bytes(packet))
                copy.stream, copy.pts, copy.dts, copy.time_base = track, index, index, step
                copy.is_keyframe = True
                container.mux(copy)


def _patched(name: str, at: bytes, offset: int, value: bytes) -> Callable[[Path], None]:
    """A one-second clip in which the bytes `offset` after `at` are `value`."""

    def build(path: Path) -> None:
        make_clip(path.with_suffix(Path(name).suffix), seconds=1, **TINY)
        data = bytearray(path.read_bytes())
        start = data.index(at) + offset
        data[start : start + len(value)] = value
        path.write_bytes(data)

    return build


def _sixteen_thousand(path: Path) -> None:
    path.write_bytes(lzma.decompress(BOMB.read_bytes()))


def _sixteen_thousand_in_a_small_header(path: Path) -> None:
    data = bytearray(lzma.decompress(BOMB.read_bytes()))
    struct.pack_into(">2H", data, data.index(b"avc1", data.index(b"stsd")) + 28, 64, 48)
    path.write_bytes(data)


def _nested_boxes(path: Path) -> None:
    box = b""
    for _ in range(100_000):
        box = struct.pack(">I4s", 8 + len(box), b"moov") + box if len(box) < 1 << 20 else box
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + box)


_SAMPLES = struct.pack(">2I", 1, 200_000_000)

BOMBS: dict[str, Callable[[Path], None]] = {
    "side 16384.mp4": _sixteen_thousand,
    "side 16384, header says 64.mp4": _sixteen_thousand_in_a_small_header,
    "67 Mpx.mkv": lambda path: _repeat_frame(path, 3, Fraction(1, 25), size=(8176, 8176)),
    "67 Mpx.avi": lambda path: _repeat_frame(path, 3, Fraction(1, 25), size=(8176, 8176)),
    "600,000 frames at 1000 fps.mp4": lambda path: _repeat_frame(path, 600_000, Fraction(1, 1000)),
    "600,000 frames at 1000 fps.mkv": lambda path: _repeat_frame(path, 600_000, Fraction(1, 1000)),
    "600,000 frames at 25 fps.avi": lambda path: _repeat_frame(path, 600_000, Fraction(1, 25)),
    "1000 fps.mp4": lambda path: _repeat_frame(path, 600, Fraction(1, 1000)),
    "1000 fps.ts": lambda path: _repeat_frame(path, 600, Fraction(1, 1000)),
    "100 streams.mkv": lambda path: _repeat_frame(path, 1, Fraction(1, 25), streams=100),
    "100 streams.mp4": lambda path: _repeat_frame(path, 1, Fraction(1, 25), streams=100),
    "10 h of one frame.mp4": lambda path: void(make_clip(path, times=[0.0, 36_000.0], **TINY)),
    "10 h of one frame.mkv": lambda path: void(make_clip(path, times=[0.0, 36_000.0], **TINY)),
    "200 million samples in a table.mp4": _patched("a.mp4", b"stsz", 8, _SAMPLES),
    "4 billion samples at one time.mp4": _patched("a.mp4", b"stts", 12, b"\xff\xff\xff\xff"),
    "a table of 4 billion rows.mp4": _patched("a.mp4", b"stts", 8, b"\xff\xff\xff\xf0"),
    "a mile of nested boxes.mp4": _nested_boxes,
}


def void(_: object) -> None:
    """Discards its input."""
