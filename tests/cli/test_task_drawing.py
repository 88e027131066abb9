"""Emotions and expressions on a terminal and as pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sentiloc.cli.drawing.task_drawing import draw_task
from sentiloc.cli.output import read_any_result
from sentiloc.cli.verbs import root
from tests.model.test_task_result import EMOTION_OPTIONS, EXPRESSION_OPTIONS, as_json, emotions, expressions

DOCUMENTS = {
    "emotion": as_json(emotions(EMOTION_OPTIONS).to_dict()),
    "expression": as_json(expressions(EXPRESSION_OPTIONS).to_dict()),
}


def lines(raw: dict[str, Any], *, encoding: str = "utf-8", width: int = 72) -> list[str]:
    text = io.StringIO()
    result: Any = read_any_result(raw)
    console = Console(file=text, width=width, color_system=None, highlight=False)
    console.print(draw_task(result, "holiday.mp4", width, encoding))
    return text.getvalue().splitlines()


def test_emotions_have_a_line_each_with_segments_below() -> None:
    drawn = lines(DOCUMENTS["emotion"])
    assert drawn[0] == "holiday.mp4  joy 90%, fear 10%; 2 segments in 0:20.0"
    assert [line.split()[0] for line in drawn[1:5]] == ["joy", "fear", "attention", "found"]
    joy, fear = (line[11:] for line in drawn[1:3])
    assert joy[:20] == "▇" * 20 or joy[:20] == "█" * 20
    assert fear.rstrip()[-1] in "▆▇"
    assert drawn[4].count("━") > 10
    assert [line.split()[3] for line in drawn if line.endswith("% ")] == ["joy", "fear"]
    assert max(map(len, drawn)) <= 72


def test_expressions_mark_their_apex() -> None:
    drawn = lines(DOCUMENTS["expression"])
    macro, micro = (next(line for line in drawn if line.split()[0] == name) for name in ("macro", "micro"))
    assert macro.count("◆") == micro.count("◆") == 1
    assert macro.index("◆") < micro.index("◆")
    assert "onset" in drawn[5]
    assert "0:03.35" in drawn[6]


@pytest.mark.parametrize("task", DOCUMENTS)
@pytest.mark.parametrize("width", [1, 500])
def test_any_width_and_plain_letters(task: str, width: int) -> None:
    drawn = lines(DOCUMENTS[task], encoding="ascii", width=width)
    assert "".join(drawn).isascii()


@pytest.mark.parametrize("task", DOCUMENTS)
def test_plot(tmp_path: Path, task: str) -> None:
    stored, picture = tmp_path / "result.json", tmp_path / "timeline.svg"
    stored.write_text(json.dumps(DOCUMENTS[task]), encoding="utf-8")
    made = CliRunner().invoke(root, ["plot", str(stored), "-o", str(picture)])
    assert made.exit_code == 0, made.output
    assert picture.read_bytes().startswith(b"<?xml")


def test_an_unknown_task_is_an_error(tmp_path: Path) -> None:
    stored = tmp_path / "result.json"
    stored.write_text(json.dumps({**DOCUMENTS["emotion"], "task": "weather"}), encoding="utf-8")
    refused = CliRunner().invoke(root, ["plot", str(stored), "-o", str(tmp_path / "a.png")])
    assert "unknown task 'weather'" in str(refused.exception)
