from __future__ import annotations

import cv2
import numpy as np
import pytest

from sentiloc.model.extractors.face_crop import crop_face


def gradient(height: int, width: int) -> np.ndarray:
    columns = np.linspace(0, 255, width).astype(np.uint8)
    return np.repeat(np.tile(columns, (height, 1))[..., None], 3, axis=2)


def test_the_square_is_centred_on_the_box_and_scaled_by_the_longer_side() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:70, 40:60] = 255
    face = crop_face(image, (40, 30, 60, 70), 1.5, 60)
    bright = np.argwhere(face > 127)
    assert bright.min(0).tolist() == [10, 20]
    assert bright.max(0).tolist() == [49, 39]


def test_colour_becomes_luma() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[..., 0] = 200
    assert np.unique(crop_face(image, (2, 2, 18, 18), 1.0, 8)).tolist() == [round(0.299 * 200)]


def test_beyond_the_image_the_border_repeats() -> None:
    face = crop_face(gradient(40, 40), (-20, 0, 20, 40), 1.0, 40)
    assert (face[:, :20] == 0).all()
    assert face[0, -1] > 100


def test_a_box_wholly_outside_still_gives_a_face_of_border() -> None:
    face = crop_face(gradient(40, 40), (400, 400, 440, 440), 1.2, 16)
    assert np.unique(face).tolist() == [255]


@pytest.mark.parametrize("side", [3, 47, 48, 49, 300])
def test_every_box_side_gives_the_asked_size(side: int) -> None:
    assert crop_face(gradient(320, 320), (5, 5, 5 + side, 5 + side), 1.05, 48).shape == (48, 48)


@pytest.mark.parametrize(
    "box", [(5.0, 5, 5, 9), (5, 9, 9, 5), (0, 0, float("nan"), 4), (0, 0, float("inf"), 4)]
)
def test_a_box_without_an_area_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="without an area"):
        crop_face(gradient(20, 20), box, 1.0, 8)


@pytest.mark.parametrize(
    "box", [(5, 6, 25, 26), (-7, 3, 20, 31), (30, 30, 55, 47), (-9, -9, 60, 60), (0, 0, 40, 40)]
)
def test_the_square_is_the_same_inside_the_picture_and_beyond_its_edges(
    box: tuple[int, int, int, int],
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    side = max(box[2] - box[0], box[3] - box[1])
    wide = np.pad(image, ((90, 90), (90, 90), (0, 0)), mode="edge")
    left, top = ((box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2)
    x, y = round(left) + 90, round(top) + 90
    expected = cv2.cvtColor(wide[y : y + side, x : x + side], cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(crop_face(image, box, 1.0, side), expected)
