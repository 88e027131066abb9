"""Rows in a file come back as they went in, cut or filled to the length of the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.rows import Rows


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, [0, 1]), (5, [0, 1, 2, 3, 4]), (7, [0, 1, 2, 3, 4, 9, 9])]
)
def test_cut_or_filled(count: int, expected: list[int], tmp_path: Path) -> None:
    rows = Rows((2, 3), tmp_path)
    for start, stop in ((0, 2), (2, 2), (2, 5)):
        rows.append(np.arange(start, stop, dtype=np.float32)[:, None, None] * np.ones((2, 3), np.float32))
    taken = rows.take(count, 9.0)
    assert taken.shape == (count, 2, 3)
    assert taken.dtype == np.float32
    assert taken[:, 0, 0].tolist() == expected
    assert type(taken) is np.ndarray


def test_leaves_no_file_and_can_be_changed_without_harm(tmp_path: Path) -> None:
    rows = Rows((1,), tmp_path)
    rows.append(np.ones((3, 1), np.float32))
    taken = rows.take(3)
    taken[:] = 2
    assert taken.sum() == 6
    assert not list(tmp_path.iterdir())


def test_strided_and_other_types_are_stored_as_float32() -> None:
    rows = Rows((2,))
    rows.append(np.arange(8, dtype=np.float64).reshape(2, 4)[:, ::2])  # type: ignore[arg-type]
    assert rows.take(2).tolist() == [[0, 2], [4, 6]]
