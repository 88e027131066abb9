"""Grey pictures show what RGB ones show, for every way in which files store brightness."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.worker.decoder.decode import DecodeRequest
from sentiloc.worker.decoder.levels import widen
from tests.support.media import MATRICES, Clip, make_clip
from tests.worker.test_decode import decode_all
from tests.worker.test_formats import make

REQUEST = DecodeRequest(face_samples=(4, 12))
_TURNED = next(iter(matrix for matrix in MATRICES.values() if matrix[1]))

CLIPS: dict[str, dict[str, Any]] = {
    "narrow.mp4": {},
    "full.mp4": {"pixel_format": "yuvj420p"},
    "jpeg.mov": {"codec": "mjpeg", "pixel_format": "yuvj422p"},
    "444.mkv": {"pixel_format": "yuv444p"},
    "10bit.mkv": {"pixel_format": "yuv420p10le"},
    "422_10bit.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "rgb.mov": {"codec": "png", "pixel_format": "rgb24"},
    "bottom_up.avi": {"codec": "rawvideo", "pixel_format": "bgr24"},
    "planes_of_colours.mov": {"codec": "r210", "pixel_format": "gbrp10le"},
    "palette.gif": {"codec": "gif", "pixel_format": "gray"},
    "mono.y4m": {"codec": "wrapped_avframe"},
    "turned.mp4": {"matrix": _TURNED, "size": (192, 96)},
    "mirrored.mp4": {"matrix": (-1, 0, 0, 1)},
    "wide_pixels.mp4": {"pixel_aspect": Fraction(4, 3)},
    "odd.mp4": {"size": (130, 94)},
    "late.mp4": {"start": 1.2},
    "interlaced.mpg": {"codec": "mpeg2video", "options": (("flags", "+ilme+ildct"),)},
}


def _assert_alike(grey: NDArray[np.uint8], colour: NDArray[np.uint8]) -> None:
    expected = np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in colour])
    assert grey.shape == expected.shape
    difference = np.abs(grey.astype(int) - expected)
    # The conversion to RGB rounds down, so it is about one level darker.
    assert difference.mean() < 1.5
    assert difference.max() <= 3


@pytest.mark.parametrize("name", CLIPS)
def test_grey_pictures_are_those_in_colour(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    make(path, **{"seconds": 0.7, **CLIPS[name]})
    for one, other in zip(
        decode_all(path, replace(REQUEST, face_grey=True)).snippets,
        decode_all(path, REQUEST).snippets,
        strict=True,
    ):
        _assert_alike(one.faces, other.faces)


def test_large_pictures_are_scaled(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=0.2, size=(640, 360))
    small = replace(REQUEST, face_max_side=256)
    grey = decode_all(tmp_path / "clip.mp4", replace(small, face_grey=True)).snippets[0].faces
    assert grey.shape == (2, 144, 256)
    _assert_alike(grey, decode_all(tmp_path / "clip.mp4", small).snippets[0].faces)


def test_dense_pictures_keep_their_colours_beside_grey_faces(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", Clip(seconds=0.7))
    request = replace(REQUEST, visual_size=64)
    plain = decode_all(tmp_path / "clip.mp4", request).snippets[1]
    found = decode_all(tmp_path / "clip.mp4", replace(request, face_grey=True)).snippets[1]
    assert plain.visual is not None
    assert found.visual is not None
    assert np.array_equal(found.visual, plain.visual)


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("name", ["narrow.mp4", "turned.mp4", "wide_pixels.mp4", "10bit.mkv"])
def test_a_still_is_small_and_in_colour(tmp_path: Path, name: str, is_grey: bool) -> None:
    path = tmp_path / name
    make(path, **{"seconds": 1.3, "size": (192, 96), **CLIPS[name]})
    colour = decode_all(path, REQUEST).snippets
    found = decode_all(path, replace(REQUEST, face_grey=is_grey, still_side=60)).snippets
    assert len(found) == len(colour) > 1
    for snippet, plain in zip(found, colour, strict=True):
        assert snippet.still is not None
        whole = plain.faces[1]
        assert max(snippet.still.shape[:2]) == 60
        size = snippet.still.shape[1::-1]
        expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        assert np.abs(snippet.still.astype(int) - expected).mean() < 4
        assert plain.still is None


def test_a_still_is_never_enlarged(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=0.2, size=(64, 48))
    still = decode_all(tmp_path / "clip.mp4", replace(REQUEST, still_side=320)).snippets[0].still
    assert still is not None and still.shape == (48, 64, 3)


def test_stills_need_pictures() -> None:
    with pytest.raises(ValueError, match="stills"):
        DecodeRequest(still_side=320)


def test_levels_beyond_black_and_white_are_clipped() -> None:
    stored = np.array([[0, 15, 16, 126, 235, 255]], np.uint8)
    shown = np.empty_like(stored)
    widen(stored, shown)
    assert shown.tolist() == [[0, 0, 0, 127, 254, 255]]
