"""Animated WebP: pictures on a canvas with their times, within the limits, and without trust in the file."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode
from sentiloc.worker.decoder.decode import DecodeLimits, decode
from tests.worker.decoding import LIMITS, failure
from tests.worker.test_decode import EVERY_FRAME, decode_all

SIDE = 32
RED, GREEN, BLUE, CLEAR = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)
DISPOSE, REPLACE = 1, 2


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def number(value: int) -> bytes:
    return value.to_bytes(3, "little")


def still(colour: tuple[int, int, int, int], side: int, *, lossless: bool = True) -> bytes:
    """The chunks of a still WebP of one colour, without its RIFF header."""
    context: Any = av.CodecContext.create("libwebp", "w")
    context.width = context.height = side
    context.pix_fmt, context.time_base = "bgra", Fraction(1, 1000)
    context.options = {"lossless": str(int(lossless))}
    frame = av.VideoFrame.from_ndarray(np.full((side, side, 4), colour, np.uint8), "rgba")
    frame = frame.reformat(format="bgra")
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])[12:]
    # A VP8X belongs to the file, not to a frame.
    return data[18:] if data.startswith(b"VP8X") else data


def part(
    picture: bytes, milliseconds: int, *, side: int = SIDE, at: tuple[int, int] = (0, 0), flags: int = 0
) -> bytes:
    x, y = at
    place = [number(value) for value in (x // 2, y // 2, side - 1, side - 1, milliseconds)]
    return chunk(b"ANMF", b"".join(place) + bytes([flags]) + picture)


def write(path: Path, *parts: bytes, side: int = SIDE) -> Path:
    head = chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + number(side - 1) * 2) + chunk(b"ANIM", bytes(6))
    path.write_bytes(chunk(b"RIFF", b"WEBP" + head + b"".join(parts)))
    return path


def colours(path: Path, at: tuple[int, int]) -> list[str]:
    """The colour of each grid frame, 25 in a second, at the pixel x, y."""
    x, y = at
    found = []
    for snippet in decode_all(path).snippets:
        for image in snippet.faces:
            pixel = image[y, x].astype(int)
            found.append("black" if pixel.max() < 60 else "rgb"[int(pixel.argmax())])
    return found


@pytest.mark.parametrize("lossless", [True, False])
def test_pictures_are_drawn_on_the_canvas_and_disposed_of(tmp_path: Path, lossless: bool) -> None:
    small: dict[str, Any] = {"side": 16, "at": (16, 16)}
    red, green, blue = (still(c, s, lossless=lossless) for c, s in ((RED, SIDE), (GREEN, 16), (BLUE, 16)))
    path = write(
        tmp_path / "a.webp",
        part(red, 160),
        part(green, 160, **small),
        part(still(CLEAR, 16), 160, **small),
        part(blue, 160, **small, flags=DISPOSE),
        part(still(CLEAR, 2), 160, side=2),
        part(still(CLEAR, 16), 160, side=16, flags=REPLACE),
    )
    assert colours(path, (24, 24))[:24] == ["r"] * 4 + ["g"] * 8 + ["b"] * 4 + ["black"] * 8
    assert colours(path, (8, 8))[:24] == ["r"] * 20 + ["black"] * 4


@pytest.mark.parametrize("flags", [0, REPLACE])
def test_what_is_nearly_transparent_is_nearly_black(tmp_path: Path, flags: int) -> None:
    """Encoders keep any colour below opacity, also in pictures that replace what was there."""
    path = write(tmp_path / "a.webp", part(still((255, 0, 0, 40), SIDE), 160, flags=flags))
    assert set(colours(path, (8, 8))) == {"black"}


@pytest.mark.parametrize("milliseconds", [40, 100])
@pytest.mark.parametrize("first", [None, 400, 16_000])
def test_no_rate_is_made_up(tmp_path: Path, milliseconds: int, first: int | None) -> None:
    """The file states times only. So nothing in a header can contradict them."""
    others = [part(still(c, SIDE), milliseconds) for c in (RED, GREEN, BLUE, RED)] * 5
    path = write(tmp_path / "a.webp", part(still(BLUE, SIDE), first or milliseconds), *others)
    decoded = decode_all(path)
    if first is None:
        assert decoded.info.fps == decoded.end.fps == pytest.approx(1000 / milliseconds)
    assert "header" not in " ".join(warning.detail for warning in decoded.end.warnings)


def test_times_are_those_of_browsers(tmp_path: Path) -> None:
    """Pictures of 10 ms and less are shown for 100 ms, and the last one for its own time."""
    path = write(
        tmp_path / "a.webp", *(part(still(c, SIDE), ms) for c, ms in ((RED, 0), (GREEN, 10), (BLUE, 1000)))
    )
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(1.2, abs=0.01)
    assert decoded.end.frames == 3
    assert colours(path, (8, 8))[:8] == ["r"] * 3 + ["g"] * 2 + ["b"] * 3


def test_a_picture_that_is_damaged_keeps_the_one_before(tmp_path: Path) -> None:
    broken = b"VP8L" + struct.pack("<I", 40) + b"\x2f" + bytes(39)
    path = write(
        tmp_path / "a.webp", part(still(RED, SIDE), 200), part(broken, 200), part(still(BLUE, SIDE), 200)
    )
    assert colours(path, (8, 8))[:15] == ["r"] * 10 + ["b"] * 5


def test_a_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webp", *(part(still(c, SIDE), 400) for c in (RED, GREEN, BLUE, RED)))
    assert not {str(warning.code) for warning in decode_all(path).end.warnings} & {"truncated"}
    path.write_bytes(path.read_bytes()[:-30])
    decoded = decode_all(path)
    assert decoded.end.frames == 3
    assert "truncated" in {str(warning.code) for warning in decoded.end.warnings}


def test_limits_hold(tmp_path: Path) -> None:
    many = write(tmp_path / "many.webp", *[part(still(RED, SIDE), 20)] * 60)
    assert failure(many, DecodeLimits(threads=1, max_frames=50)) is ErrorCode.LIMIT_EXCEEDED
    assert failure(many, DecodeLimits(threads=1, max_side_pixels=16)) is ErrorCode.LIMIT_EXCEEDED
    wide = write(tmp_path / "wide.webp", part(still(RED, SIDE), 40), side=16_384)
    assert failure(wide) is ErrorCode.LIMIT_EXCEEDED
    hidden = write(tmp_path / "hidden.webp", part(still(RED, SIDE), 40, side=16_384))
    assert failure(hidden) is ErrorCode.LIMIT_EXCEEDED
    empty = write(tmp_path / "empty.webp")
    assert failure(empty) is ErrorCode.CORRUPT_MEDIA


def test_a_picture_beside_the_canvas_is_not_drawn(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.webp", part(still(RED, SIDE), 200), part(still(BLUE, SIDE), 200, at=(16, 4000))
    )
    assert set(colours(path, (8, 8))) == {"r"}


def test_mutants_end_in_pictures_or_a_typed_error(tmp_path: Path) -> None:
    """A few; `tests.proofs.fuzz_media` makes thousands."""
    whole = write(tmp_path / "a.webp", *(part(still(c, SIDE), 80) for c in (RED, GREEN, BLUE))).read_bytes()
    random = np.random.default_rng(3)
    for _ in range(5):
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 6))):
            data[int(random.integers(21, len(data)))] = int(random.integers(256))
        path = tmp_path / "mutant.webp"
        path.write_bytes(data)
        try:
            assert list(decode(path, EVERY_FRAME, LIMITS))
        except Exception as error:
            assert type(error).__name__ == "SentilocError", error
