"""Training on several processes and with Weights & Biases, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.extracted import Sentiloc
from tests.cli.test_wrong_inputs import published_folder

ROOT = Path(__file__).parents[2]
QUICK = ("--recipe", "quick", "--width", "16", "--val-fraction", "0.25", "--epochs", "2")


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two real processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "sentiloc", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def test_two_processes_leave_one_run_that_can_be_evaluated(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    done = torchrun("train", folder, "-o", run, *QUICK, "--deterministic")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held out, epoch") == 1
    assert [
        json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ] == [0, 1]
    assert len(list((run / "tensorboard").glob("events*"))) == 1
    assert {"best.pt", "last.pt", "calibration.json", "spec.json"} <= {path.name for path in run.iterdir()}
    code, output, errors = sentiloc("evaluate", run, "--split", "train")
    assert code == 0, errors
    assert "mAP" in output


def test_a_run_in_a_full_folder_is_one_clear_line_with_two_processes(tmp_path: Path) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}", encoding="utf-8")
    done = torchrun("train", folder, "-o", run, *QUICK)
    assert done.returncode != 0
    assert f"{run} contains a run; resume it or name another folder" in done.stderr


def test_weights_and_biases_gets_the_metrics_of_the_log(
    tmp_path: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    code, _, errors = sentiloc("train", folder, "-o", run, *QUICK, "--wandb", "sentiloc-test")
    assert code == 0, errors
    identity = (run / "wandb_id.txt").read_text(encoding="utf-8").strip()
    (stored,) = (run / "wandb").glob(f"offline-run-*-{identity}/run-{identity}.wandb")
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    names = {name for row in logged for name in row} - {"epoch"}
    assert names and all(name.encode() in stored.read_bytes() for name in names)
    assert "wandb" not in json.loads((run / "config.json").read_text(encoding="utf-8"))
    code, _, errors = sentiloc("train", folder, "-o", run, *QUICK, "--wandb", "another", "--resume")
    assert code == 0, errors
    assert (run / "wandb_id.txt").read_text(encoding="utf-8").strip() == identity


def test_without_the_package_the_option_names_the_installation(
    tmp_path: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    folder = published_folder(tmp_path / "data")
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run", *QUICK, "--wandb", "x")
    assert code != 0
    assert "pip install '.[wandb]'" in errors
