"""Rows in a file are read back unchanged, cut or padded to the length of the video."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sentiloc.worker.features.feature_file import FeatureFile, release_pages


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, [0, 1]), (5, [0, 1, 2, 3, 4]), (7, [0, 1, 2, 3, 4, 9, 9])]
)
def test_cut_or_filled(count: int, expected: list[int], tmp_path: Path) -> None:
    rows = FeatureFile((2, 3), tmp_path)
    for start, stop in ((0, 2), (2, 2), (2, 5)):
        rows.append(np.arange(start, stop, dtype=np.float32)[:, None, None] * np.ones((2, 3), np.float32))
    taken = rows.take(count, 9.0)
    assert taken.shape == (count, 2, 3)
    assert taken.dtype == np.float32
    assert taken[:, 0, 0].tolist() == expected
    assert type(taken) is np.ndarray


def test_leaves_no_file_and_lasts_after_its_writer(tmp_path: Path) -> None:
    rows = FeatureFile((1,), tmp_path)
    rows.append(np.ones((3, 1), np.float32))
    taken = rows.take(3)
    del rows
    assert taken.sum() == 3
    assert not list(tmp_path.iterdir())


def _resident_kilobytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return sum(int(status.split(f"{kind}:")[1].split()[0]) for kind in ("RssFile", "RssShmem"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: reads the process's memory from /proc")
def test_rows_that_were_read_can_be_let_go_and_read_again() -> None:
    rows = FeatureFile((1024,))
    for _ in range(8):
        rows.append(np.ones((1024, 1024), np.float32))
    taken = rows.take(8 * 1024)
    assert taken.sum() == taken.size
    read = _resident_kilobytes()
    release_pages(taken[5:])
    assert read - _resident_kilobytes() > 16 * 1024
    assert taken.sum() == taken.size
    release_pages(None)
    release_pages(np.ones(3, np.float32))


def test_strided_and_other_types_are_stored_as_float32() -> None:
    rows = FeatureFile((2,))
    rows.append(np.arange(8, dtype=np.float64).reshape(2, 4)[:, ::2])  # type: ignore[arg-type]
    assert rows.take(2).tolist() == [[0, 2], [4, 6]]
