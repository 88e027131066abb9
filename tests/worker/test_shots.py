"""Shot changes are found to the frame in real encoded clips, and none where there is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, EndOfMedia, decode
from sentiloc.worker.timeline.shots import GRID, ShotMeter

FPS = 25
SIZE = (160, 120)


def scene(seed: int, index: int) -> NDArray[np.uint8]:
    """Picture `index` of a scene: large soft shapes that drift by a few pixels a second."""
    noise = np.random.default_rng(seed)
    base = noise.integers(10, 246, (5, 6, 3)).astype(np.float64)
    rows = np.linspace(0, 3.5, SIZE[1])[:, None] + index / 100
    columns = np.linspace(0, 4.5, SIZE[0])[None, :]
    y, x = np.minimum(rows, 3.99), np.minimum(columns, 4.99)
    top, left = y.astype(int), x.astype(int)
    a, b = (y - top)[..., None], (x - left)[..., None]
    mixed = (
        base[top, left] * (1 - a) * (1 - b)
        + base[top + 1, left] * a * (1 - b)
        + base[top, left + 1] * (1 - a) * b
        + base[top + 1, left + 1] * a * b
    )
    picture: NDArray[np.uint8] = mixed.astype(np.uint8)
    return picture


def write(
    path: Path, pictures: list[NDArray[np.uint8]], pixel_format: str = "yuv420p", codec: str = "libx264"
) -> None:
    options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixel_format
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def shots_of(path: Path) -> list[float]:
    request = DecodeRequest(face_samples=(8,), find_shots=True)
    events = list(decode(path, request, DecodeLimits()))
    end = events[-1]
    assert isinstance(end, EndOfMedia)
    return list(end.shots)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("cut.mp4", "libx264", "yuv420p"),
        ("cut.mp4", "libx264", "yuv420p10le"),
        # Most pictures of codecs without prediction are skipped.
        ("prores.mov", "prores_ks", "yuv422p10le"),
        ("v210.mov", "v210", "yuv422p10le"),
        ("raw.mov", "rawvideo", "uyvy422"),
        ("mjpeg.mkv", "mjpeg", "yuvj420p"),
    ],
)
def test_cuts_are_found_to_the_frame(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    lengths = (37, 12, 50, 21)
    pictures = [scene(number, index) for number, length in enumerate(lengths) for index in range(length)]
    write(tmp_path / name, pictures, pixel_format, codec)
    found = [round(seconds * FPS) for seconds in shots_of(tmp_path / name)]
    assert found == np.cumsum(lengths)[:-1].tolist()


def test_one_moving_shot_has_no_cuts(tmp_path: Path) -> None:
    write(tmp_path / "one.mp4", [scene(7, 3 * index) for index in range(80)])
    assert shots_of(tmp_path / "one.mp4") == []


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    pictures = [scene(7, index) for index in range(60)]
    pictures[30] = np.full_like(pictures[30], 255)
    write(tmp_path / "flash.mp4", pictures)
    assert shots_of(tmp_path / "flash.mp4") == []


def test_nothing_is_detected_without_a_request(tmp_path: Path) -> None:
    write(tmp_path / "cut.mp4", [scene(number, index) for number in (1, 2) for index in range(20)])
    (*_, end) = decode(tmp_path / "cut.mp4", DecodeRequest(face_samples=(8,)), DecodeLimits())
    assert isinstance(end, EndOfMedia)
    assert end.shots == ()


def test_a_cut_of_the_last_picture_counts() -> None:
    meter = ShotMeter()
    dark, bright = np.full((GRID, GRID), 20, np.uint8), np.full((GRID, GRID), 200, np.uint8)
    for index in range(10):
        meter.add(dark, index / FPS)
    meter.add(bright, 10 / FPS)
    assert meter.finish() == [0.4]
