"""Drawings of a result: with letters on a terminal, and as a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.cli.drawing.drawing import clock, draw, percent
from sentiloc.cli.output import read_result, show_result
from sentiloc.cli.verbs import root
from sentiloc.model.errors import SentilocError

RAMP = [i / 19 for i in range(20)]
SEGMENTS = [
    {"start": 0.0, "end": 6.4, "label": "negative", "confidence": 0.55, "peak": 1.0, "evidence": None},
    {"start": 6.4, "end": 12.8, "label": "positive", "confidence": 0.999, "peak": 12.0, "evidence": None},
]


def result(**changes: Any) -> dict[str, Any]:
    """Positive rises to the end, negative falls from the start."""
    flat = {name: [0.1] * 20 for name in ("non_sentiment", "saliency")}
    curve = {**flat, "step": 0.64, "positive": RAMP, "negative": RAMP[::-1]}
    curve |= {"face_present": [True] * 20, "without": {}}
    video = {**EXAMPLE_RESULT["video"], "duration": 12.8}
    return {**EXAMPLE_RESULT, "video": video, "curve": curve, "segments": SEGMENTS, **changes}


def lines(
    raw: dict[str, Any], *, colour: bool = False, encoding: str = "utf-8", width: int = 62
) -> list[str]:
    text = io.StringIO()
    system: Any = "truecolor" if colour else None
    console = Console(file=text, width=width, color_system=system, force_terminal=colour, highlight=False)
    console.print(draw(read_result(raw), "holiday.mp4", width, encoding))
    return text.getvalue().splitlines()


def test_positive_is_above_and_negative_below() -> None:
    drawn = lines(result())
    assert drawn[0] == "holiday.mp4  2 segments in 0:12.8"
    above, axis, below = drawn[1:4], drawn[4], drawn[5:8]
    assert [row.count("█") for row in above] == sorted(row.count("█") for row in above)
    assert [row.count("█") for row in below] == sorted((row.count("█") for row in below), reverse=True)
    assert above[2].rstrip().endswith("█")
    assert below[0].startswith(" █")
    assert axis.strip() == "╌" * 30 + "━" * 30
    assert max(map(len, drawn)) <= 62


def test_confidence_is_never_certainty_and_the_unsure_is_drawn_as_such() -> None:
    rows = [line.split() for line in lines(result()) if "%" in line]
    assert rows[0] == ["0:00.0", "0:06.4", "negative", "55%"]
    assert rows[1] == ["0:06.4", "0:12.8", "positive", ">99%"]
    assert [percent(value) for value in (0.0, 0.994, 0.995, 1.0)] == ["0%", "99%", ">99%", ">99%"]


def test_what_confidence_means_depends_on_the_package() -> None:
    measured, raw = (
        " ".join(
            lines(result(calibration={**EXAMPLE_RESULT["calibration"], "calibrated": known}), width=300)[9:]
        )
        for known in (True, False)
    )
    assert (
        "the share of such segments that is right on test videos; on other real video it is lower" in measured
    )
    assert "right" not in raw
    assert "not a probability; segments below 50% are not shown" in raw


def test_without_segments_there_is_no_table() -> None:
    *_, last = lines(result(segments=[]), width=300)
    name = result()["model"]
    assert last == f"{name['name']} {name['version']}; segments below 50% are not shown"
    assert "confidence" not in " ".join(lines(result(segments=[])))


def test_colour_only_on_a_terminal_that_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in "".join(lines(result(), colour=True))
    assert "\x1b[" not in "".join(lines(result()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[38" not in "".join(lines(result(), colour=True))


def test_a_terminal_without_unicode_gets_plain_letters() -> None:
    assert "".join(lines(result(), encoding="ascii")).isascii()


@pytest.mark.parametrize("width", [1, 20, 500])
def test_any_width_and_a_video_of_one_snippet(width: int) -> None:
    curve = {**result()["curve"], "positive": [0.4], "negative": [0.0]}
    video = {**EXAMPLE_RESULT["video"], "duration": 0.04}
    assert lines(result(curve=curve, video=video, segments=[]), width=width)


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.96, 61.25, 3600, 7322.04)] == [
        *("0:00.0", "1:00.0", "1:01.2", "1:00:00.0", "2:02:02.0"),
    ]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    stored, picture = tmp_path / "result.json", tmp_path / f"timeline.{suffix}"
    stored.write_text(json.dumps(result()), encoding="utf-8")
    made = CliRunner().invoke(root, ["plot", str(stored), "-o", str(picture)])
    assert made.exit_code == 0, made.output
    first = picture.read_bytes()
    # Editors on Windows write a byte order mark.
    stored.write_text(json.dumps(result()), encoding="utf-8-sig")
    assert CliRunner().invoke(root, ["plot", str(stored), "-o", str(picture)]).exit_code == 0
    assert picture.read_bytes() == first or suffix != "png"
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        assert ElementTree.fromstring(first).tag.endswith("svg")


def test_a_plot_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(_figure: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space")

    stored = tmp_path / "result.json"
    stored.write_text(json.dumps(result()), encoding="utf-8")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", write_half)
    made = CliRunner().invoke(root, ["plot", str(stored), "-o", str(tmp_path / "a.png")])
    assert str(made.exception) == "no space"
    assert list(tmp_path.iterdir()) == [stored]


def test_plot_refuses_unreadable_and_unwritable_files(tmp_path: Path) -> None:
    stored = tmp_path / "result.json"
    stored.write_text("{}", encoding="utf-8")
    assert CliRunner().invoke(root, ["plot", str(stored), "-o", "timeline.docx"]).exit_code == 2
    refused = CliRunner().invoke(root, ["plot", str(stored), "-o", str(tmp_path / "a.png")])
    assert isinstance(refused.exception, SentilocError)
    for name, output in ((tmp_path / "none.json", "a.png"), (stored, "a.png/")):
        assert CliRunner().invoke(root, ["plot", str(name), "-o", f"{tmp_path}/{output}"]).exit_code == 2


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_plot_refuses_numbers_that_are_not_finite(tmp_path: Path, number: str) -> None:
    stored = tmp_path / "result.json"
    raw = result()
    raw["curve"] = {**raw["curve"], "step": 123456}
    stored.write_text(json.dumps(raw).replace("123456", number), encoding="utf-8")
    refused = CliRunner().invoke(root, ["plot", str(stored), "-o", str(tmp_path / "a.png")])
    assert isinstance(refused.exception, SentilocError)
    assert "not a JSON result" in refused.exception.detail


def test_a_name_that_is_not_utf_8_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="utf-8", write_through=True))
    show_result(result(), "caf\udce9.mp4")
    assert written.getvalue().startswith("caf\ufffd.mp4".encode())
