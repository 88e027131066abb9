"""Every command of docs/tutorial.md, in its order, in a folder with five drawn videos and ten points."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from docs.tools.drawn_clip import draw_clip
from tests.service.test_whole_way import write_rows
from tests.support.preloaded import preloaded_commands
from tests.support.services import ROOT

NAMES = ("one", "two", "three", "four", "five")
# The tutorial shows two commands that train, for readers without true segments and for those who have them.
WITHOUT_SEGMENTS = "--val-fraction 0"


def commands() -> list[str]:
    lines = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("sentiloc ", "SENTILOC_MODELS_DIR=models sentiloc "))]


def write_points(folder: Path) -> None:
    points = [(name, frame, index) for name in NAMES for frame, index in ((50, 0), (150, 1))]
    write_rows(folder / "point_label.csv", "video_id,point,class_index", points)


def write_segments(folder: Path) -> None:
    rows = [{"segment": ["1.0", "3.0"], "label": "n"}, {"segment": ["5.0", "7.0"], "label": "p"}]
    (folder / "gt.json").write_text(
        json.dumps({"database": {name: {"annotations": rows} for name in NAMES}}), encoding="utf-8"
    )


@pytest.mark.timeout(1800)
def test_the_tutorial_runs(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in NAMES:
        draw_clip(tmp_path / "videos" / f"{name}.mp4", 8.0)
    with preloaded_commands() as process:
        for command in commands():
            if command.endswith(WITHOUT_SEGMENTS):
                write_points(tmp_path / "data")
                command = command.replace("runs/first", "runs/other")
            elif "sentiloc train " in command:
                write_segments(tmp_path / "data")
            setting, _, words = command.rpartition("sentiloc ")
            folders = {"models_dir": tmp_path / "models"} if setting else {}
            process.run(*shlex.split(words), cwd=tmp_path, **folders)
    assert (tmp_path / "runs" / "other" / "last.pt").exists()
    assert (tmp_path / "models" / "first" / "calibration.json").exists()
