"""The picture of speed in docs/benchmarks.md shows the results that are stored in bench/results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (it is part of [plot])")

from docs.tools.plots import PICTURE, draw


def texts(picture: Path) -> list[str]:
    """Every label and figure of a picture; Matplotlib writes each as a comment beside its outline."""
    return re.findall(r"<!-- (.+?) -->", picture.read_text(encoding="utf-8"))


def test_the_picture_of_speed_is_that_of_the_stored_results(tmp_path: Path) -> None:
    drawn = tmp_path / "speed.svg"
    draw(drawn)
    assert texts(drawn) == texts(PICTURE)
    assert "published recipe" in texts(drawn)
