"""The GPU benchmark runs on a processor only as a dry run, and never reports a processor's figures as a card's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    places = ("--clips", str(folder), "--out", str(folder / "gpu.json"))
    command = [sys.executable, "-m", "bench.gpu", *words, *places]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(1800)
def test_dry_run_measures_every_row_it_can_and_names_the_others(tmp_path: Path) -> None:
    words = "--device cpu --networks fsenet --batches 1 --length 16 --size 64 --repeats 1 --budget 3600"
    done = _run(tmp_path, *words.split())
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert report["device"] == "cpu (dry run)"
    measured = {row["what"]: row["snippets_a_second"] for row in report["rows"]}
    assert measured["FSENet PyTorch float32 batch 1"] > 0
    assert measured["FSENet ONNX Runtime cpu float32 batch 1"] > 0
    assert [row["what"] for row in report["end_to_end"]] == ["decoded on the processor"]
    assert "decoded by NVDEC" in {row["what"] for row in report["left_out"]}
    assert all(row["reason"] for row in report["left_out"])


@pytest.mark.timeout(1800)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_ends(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert done.returncode != 0
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "gpu.json").exists()
