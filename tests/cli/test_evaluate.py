"""`sentiloc evaluate` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from sentiloc.cli.training.evaluate import _evaluate_fsenet, evaluate
from sentiloc.cli.training.tables import TABLE_1, TABLE_2, TABLE_3
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.support.shared_files import data_folder, golden_folder

TRUTH = {
    "database": {
        "a": {
            "subset": "test",
            "annotations": [
                {"segment": ["0.0", "10.0"], "label": "p"},
                {"segment": ["20.0", "30.0"], "label": "n"},
            ],
        },
        "b": {"subset": "train", "annotations": [{"segment": ["0", "5"], "label": "n"}]},
    }
}
FOUND = {
    "results": {
        "a": [
            {"label": "p", "score": 0.9, "segment": [0.0, 10.0]},
            {"label": "n", "score": 0.8, "segment": [19.0, 21.0]},
        ]
    }
}


def run(folder: Path, truth: object, found: object, *options: str) -> Result:
    app = Typer()
    app.command()(evaluate)
    paths = folder / "truth.json", folder / "found.json"
    for path, value in zip(paths, (truth, found), strict=True):
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    arguments = ["--ground-truth", str(paths[0]), "--predictions", str(paths[1]), *options]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})


def test_json_has_the_figures_in_the_files_class_order(tmp_path: Path) -> None:
    done = run(tmp_path, TRUTH, FOUND, "--protocol", "tsl300", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["classes"] == ["p", "n"]
    assert report["ap"] == [[1.0, 0.0]] * 5
    assert report["mAP"] == [0.5] * 5
    assert report["average_mAP"] == 0.5
    assert report["precision"] == report["recall"] == report["f2"] == [0.5] * 5


def test_tables_stand_beside_the_papers(tmp_path: Path) -> None:
    done = run(tmp_path, TRUTH, FOUND)
    assert done.exit_code == 0, done.output
    for text in ("Table 1", "21.45", "these predictions", "50.00", "true positive", "50.0 %", "background"):
        assert text in done.output
    assert "…" not in done.output, "80 columns are enough for every figure"


def test_proposals_without_a_true_segment_of_their_label_are_counted_apart(tmp_path: Path) -> None:
    rows = [{"segment": ["0.0", "10.0"], "label": "p"}]
    truth = {"database": {"a": {"subset": "test", "annotations": rows}}}
    done = run(tmp_path, truth, FOUND)
    assert "2 proposals for 1 video\n" in done.output
    assert "1 proposal left out of metrics and errors: no true segment has their label" in done.output
    assert "left out" not in run(tmp_path, TRUTH, FOUND).output


def test_predictions_of_other_videos_are_announced(tmp_path: Path) -> None:
    found = {"results": {"b": FOUND["results"]["a"], "c": []}}
    done = run(tmp_path, TRUTH, found, "--json")
    assert json.loads(done.stdout)["mAP"] == [0.0] * 5
    assert "every proposal counts as wrong in 1 video without ground truth: b\n" in done.stderr
    assert "1 of 1 video without predictions\n" in done.stderr
    assert not run(tmp_path, TRUTH, FOUND, "--json").stderr


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_of_segments_that_is_missing_is_reported_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    monkeypatch.setattr("sentiloc.cli.training.predict.predict_run", lambda *_: ([], {}))
    if is_there:
        (tmp_path / "gt.json").write_text("{}", encoding="utf-8")
    run: Any = SimpleNamespace(data_folder=lambda _: tmp_path)
    with pytest.raises(SentilocError) as raised:
        _evaluate_fsenet(run, "test", None, "tsl300", as_json=False)
    missing = "" if is_there else "missing; "
    assert raised.value.detail.startswith(f"{tmp_path / 'gt.json'}: {missing}no segment of any video")


def test_a_published_mean_is_the_mean_of_its_row() -> None:
    for _, method, figures in TABLE_1.rows:
        assert np.mean(figures[:5]) == pytest.approx(figures[7], abs=0.06), method


def test_published_fsenet_means_of_tables_2_and_3_differ_from_their_columns() -> None:
    """Table 2 repeats two of Table 1's figures in FSENet's row; Table 3 has the mean over five tIoUs."""
    for table, place in ((TABLE_2, 5), (TABLE_3, 3)):
        figures = table.rows[-1][2]
        assert np.mean(figures[:3]) != pytest.approx(figures[place], abs=0.06)


def test_means_are_over_five_tious_whatever_a_table_prints(tmp_path: Path) -> None:
    """The mean of LoRA and BSPG in Table 3 is 11.75; that of the three tIoUs printed there is 14.91."""
    # Of tIoU 1, 0.22 and 0.12, so every step of the protocol has another figure.
    ends = {"a": 10.0, "b": 2.2, "c": 1.2}
    segment = {"label": "p", "segment": [0.0, 10.0]}
    truth = {"database": {name: {"subset": "test", "annotations": [segment]} for name in ends}}
    found = {
        "results": {name: [{"label": "p", "segment": [0.0, end], "score": 0.9}] for name, end in ends.items()}
    }
    rows = []
    for protocol, title in (("tsl300", "Table 1"), ("cmu-mosei", "Table 2"), ("tsl300-llm", "Table 3")):
        done = run(tmp_path, truth, found, "--protocol", protocol)
        assert done.exit_code == 0, done.output
        assert title in done.output
        rows.append(
            next(line for line in done.output.splitlines() if "these predictions" in line).split()[2:]
        )
    whole, mosei, language = rows
    assert mosei == [*whole[0:5:2], *whole[5:]]
    assert language == [*whole[0:5:2], whole[-1]]
    assert len(set(whole)) > 2


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ("{", FOUND, "truth.json: not JSON"),
        ("[" * 100_000, FOUND, "truth.json: not JSON: nested too deeply"),
        ('{"database": {"a": {}, "a": {}}}', FOUND, "truth.json: 'a' is there more than once"),
        (TRUTH, '{"results": {"a": [], "a": []}}', "found.json: 'a' is there more than once"),
        (
            TRUTH,
            {"results": {"a.mp4": FOUND["results"]["a"]}},
            "'a.mp4' is no video of truth.json, but nearly 'a'",
        ),
        ({}, FOUND, 'truth.json: needs an object under "database"'),
        ({"database": {"a": {"subset": "test"}}}, FOUND, "a needs a list"),
        ({"database": {"a": {"subset": "val", "annotations": []}}}, FOUND, "no segment in subset 'test'"),
        ({"database": {"a": {"subset": ["test"], "annotations": []}}}, FOUND, "it has ['test']"),
        (TRUTH, [], 'found.json: needs an object under "results"'),
        (TRUTH, {"results": {"a": {}}}, "a has no list"),
        (TRUTH, {"results": {"a": [3]}}, "needs a label and"),
        (TRUTH, {"results": {"a": [{"label": "p", "segment": [1, 2, 3], "score": 1}]}}, "needs a label and"),
        (TRUTH, {"results": {"a": [{"label": "p", "segment": [1, 2]}]}}, "None, not a number"),
        (TRUTH, {"results": {"a": [{"label": "p", "segment": [1, 2], "score": True}]}}, "True, not a number"),
        (TRUTH, {"results": {"a": [{"label": "p", "segment": [1, 2], "score": 10**400}]}}, "0, not a number"),
        (
            TRUTH,
            {"results": {"a": [{"label": "p", "segment": ["1_0", 2], "score": 1}]}},
            "'1_0', not a number",
        ),
        (TRUTH, {"results": {"a": [{"label": "p", "segment": ["x", 2], "score": 1}]}}, "'x', not a number"),
        (
            TRUTH,
            {"results": {"a": [{"label": "p", "segment": [3, 2], "score": 1}]}},
            "ends at 2.0 before 3.0",
        ),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, truth: object, found: object, message: str) -> None:
    done = run(tmp_path, truth, found, "--json")
    assert isinstance(done.exception, SentilocError)
    assert done.exception.code is ErrorCode.INVALID_DATA
    assert message in done.exception.detail


def test_unknown_protocol_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, TRUTH, FOUND, "--protocol", "thumos")
    assert done.exit_code == 2
    assert "'thumos' is not one of tsl300" in done.output


def test_equals_the_reference_program(tmp_path: Path) -> None:
    folder = golden_folder("tsl300_protocol")
    truth = json.loads((data_folder("tsl300") / "gt.json").read_text(encoding="utf-8"))
    done = run(
        tmp_path, truth, json.loads((folder / "predictions.json").read_text(encoding="utf-8")), "--json"
    )
    report, expected = (
        json.loads(done.output),
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
    )
    for key in ("mAP", "average_mAP", "precision", "recall", "f2", "ap"):
        np.testing.assert_allclose(report[key], expected[key], rtol=0, atol=1e-6, err_msg=key)
