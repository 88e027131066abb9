"""Pictures whose planes are scaled before they become RGB look the same; all others are the same to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.worker.decoder.decode import DecodeRequest
from tests.support.media import MATRICES, make_clip
from tests.worker.test_decode import decode_all

REQUEST = DecodeRequest(face_samples=(4, 12), face_max_side=128)
_TURNED = next(iter(matrix for matrix in MATRICES.values() if matrix[1]))


def pictures(path: Path, **options: Any) -> NDArray[np.uint8]:
    make_clip(path, seconds=0.7, **options)
    plain, by_planes = (
        np.concatenate([one.faces for one in decode_all(path, request).snippets])
        for request in (REQUEST, replace(REQUEST, face_by_planes=True))
    )
    assert plain.shape == by_planes.shape
    return np.stack([plain, by_planes])


def brightness(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int64)


@pytest.mark.parametrize(
    "options", [{}, {"matrix": _TURNED}, {"pixel_format": "yuvj420p"}, {"codec": "libx265"}]
)
def test_larger_pictures_keep_their_brightness(tmp_path: Path, options: dict[str, Any]) -> None:
    plain, by_planes = pictures(tmp_path / "clip.mp4", size=(192, 108), **options)
    assert not np.array_equal(plain, by_planes), "the planes were scaled first"
    differences = [brightness(a) - brightness(b) for a, b in zip(plain, by_planes, strict=True)]
    # swscale rounds in other places; 2 of 255 levels are less than a re-encoding changes.
    assert np.abs(differences).mean() < 2.5
    assert np.abs(differences).max() <= 6


@pytest.mark.parametrize(
    "options",
    [{"size": (128, 72)}, {"size": (96, 96)}, {"size": (192, 108), "pixel_format": "yuv444p"}],
    ids=["as large", "smaller", "other planes"],
)
def test_other_pictures_stay_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    plain, by_planes = pictures(tmp_path / "clip.mp4", **options)
    assert np.array_equal(plain, by_planes)
