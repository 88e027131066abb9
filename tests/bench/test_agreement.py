"""The counts of `bench.agreement` on prepared results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np


def write(folder: Path, present: list[bool], segments: list[tuple[str, float, float]], seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    face = np.random.default_rng(seed).normal(size=(len(present), 8))
    np.savez(
        folder / "clips__a.mp4.npz",
        face=face,
        present=np.array(present),
        count=np.array(present, np.int32),
        segments=json.dumps(segments),
        seconds=2.0,
    )


def compared(before: Path, after: Path) -> dict[str, Any]:
    """The report of the command."""
    out = before.parent / "report.json"
    words = [sys.executable, "-m", "bench.agreement", "compare", str(before), str(after), "-o", str(out)]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return report


def test_readings_are_compared(tmp_path: Path) -> None:
    old = [
        ("positive", 0.0, 10.0),
        ("negative", 20.0, 30.0),
        ("positive", 40.0, 50.0),
        ("positive", 60.0, 70.0),
    ]
    new = [("positive", 0.0, 9.0), ("negative", 20.0, 28.9), ("negative", 40.0, 50.0)]
    write(tmp_path / "a", [True, True, False], old)
    write(tmp_path / "b", [True, False, False], new)
    report = compared(tmp_path / "a", tmp_path / "b")
    assert report["clips"] == report["all"]
    found = report["all"]
    assert (found["videos"], found["snippets"], found["segments"], found["kept"]) == (1, 3, [4, 3], 1)
    assert (found["presence_differs"], found["count_differs"]) == (1, 1)
    assert found["correlation_1_5_50_percent"] == [1.0, 1.0, 1.0]


def test_other_embeddings_correlate_less(tmp_path: Path) -> None:
    write(tmp_path / "a", [True, True], [])
    write(tmp_path / "b", [True, True], [], seed=1)
    assert compared(tmp_path / "a", tmp_path / "b")["all"]["correlation_1_5_50_percent"][2] < 0.9
