"""The number of faces and the chosen face: from extraction to the curve, the cache and a part of a video."""

from __future__ import annotations

import numpy as np
import pytest

from sentiloc.model.results.result import Curve, Result, parse_result
from sentiloc.model.results.time_range import placed
from sentiloc.worker.extraction.extraction import FaceSightings
from sentiloc.worker.features.face_choice import together
from tests.page.long_result import long_result

SEEN = FaceSightings(
    count=np.array([0, 2, 1], np.int32),
    boxes=np.array([[0, 0, 0, 0], [0.1, 0.2, 0.34567, 0.5], [0, 0, 1, 1]], np.float32),
)


def with_faces(result: Result) -> Result:
    """A result whose curve has the number of faces."""
    from dataclasses import replace

    count = len(result.curve.saliency)
    faces = tuple(i % 3 for i in range(count))
    boxes = tuple((0.1, 0.2, 0.3, 0.4) if n else () for n in faces)
    return replace(result, curve=replace(result.curve, faces=faces, face_boxes=boxes))


def test_a_curve_has_the_number_of_faces_and_the_chosen_one() -> None:
    assert SEEN.as_curve() == {
        "faces": (0, 2, 1),
        "face_boxes": ((), (0.1, 0.2, 0.346, 0.5), (0.0, 0.0, 1.0, 1.0)),
    }


def test_a_result_keeps_them_and_older_results_have_none() -> None:
    result = with_faces(long_result(60))
    assert parse_result(result.to_dict()) == result
    raw = result.to_dict()
    raw["curve"] = {k: v for k, v in raw["curve"].items() if k not in ("faces", "face_boxes")}
    assert parse_result(raw).curve.faces == ()


def test_a_part_is_placed_among_snippets_without_faces() -> None:
    result = with_faces(long_result(20))
    count = len(result.curve.saliency)
    whole: Curve = placed(result, first=3, total=count + 5).curve
    assert whole.faces == (0, 0, 0, *result.curve.faces, 0, 0)
    assert whole.face_boxes[3 : 3 + count] == result.curve.face_boxes
    assert len(whole.face_boxes) == count + 5


def test_two_opinions_count_together() -> None:
    likelihood = together(
        np.array([0.5, 0.9, 0.9, 0.46, 1.0], np.float32), np.array([0.5, 0.5, 0.2, 0.9, 0.0], np.float32)
    )
    np.testing.assert_allclose(likelihood[:4], [0.5, 0.9, 0.692, 0.885], atol=2e-3)
    assert likelihood[4] == pytest.approx(0.5, abs=1e-4)
