"""Experiments keep their results beside them, where the documents say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.starter import RESULTS, encoder_speech_line

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda path: path.stem)
def test_no_experiment_writes_into_the_results_of_the_benchmarks(path: Path) -> None:
    assert '"bench"' not in path.read_text(encoding="utf-8")


def test_the_table_of_the_starter_has_the_recall_of_unseen_speakers() -> None:
    line = encoder_speech_line(RESULTS / "sound.json")
    page = (ROOT / "docs/starter.md").read_text(encoding="utf-8")
    assert f"| mean recall of the audio encoder | {line.value:.1f} % |" in page
