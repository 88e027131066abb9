"""`sentiloc train` and `sentiloc export` as a researcher runs them: features, a run, a package's network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from sentiloc.cli.training.runs import require_package_folder, require_run_folder
from sentiloc.cli.training.train import _config, _network, _report_unlabelled
from sentiloc.model.data.feature_store import write_spec
from sentiloc.model.errors import SentilocError
from sentiloc.model.fsenet.datasets import load_items
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.spec import load_spec
from sentiloc.worker.bulk.plan import Plan
from tests.cli.extracted import QUICKLY_EXPORTED, SPEC, Sentiloc, write_video

DEFAULTS = {"recipe": "paper", "supervision": "point"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_spec(tmp_path, SPEC)
    database, points = {}, ["class,class_index,start_frame,stop_frame,video_id,point"]
    for index in range(6):
        write_video(tmp_path, "train", f"v{index}", rng, 24)
        database[f"v{index}"] = {"annotations": [{"segment": ["3.2", "8.0"], "label": "pn"[index % 2]}]}
        points.append(f"{'pn'[index % 2]},{1 - index % 2},0,0,v{index},140")
    (tmp_path / "videosenti_gt.json").write_text(json.dumps({"database": database}), encoding="utf-8")
    (tmp_path / "point_label.csv").write_text("\n".join(points) + "\n", encoding="utf-8")
    return tmp_path


def test_from_features_to_a_network_file(folder: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    run, package = tmp_path / "run", tmp_path / "package"
    options = ("--epochs", 2, "--width", 16, "--val-fraction", 0.34, "--seed", 3, *QUICKLY_EXPORTED)
    code, output, errors = sentiloc("train", folder, "-o", run, "--recipe", "quick", *options)
    assert code == 0, errors
    assert "4 videos to train on, 2 held out" in errors
    assert "mAP" in output
    code, _, errors = sentiloc("train", folder, "-o", run, "--recipe", "quick", *options)
    assert code == 1
    assert "resume it" in errors
    code, _, errors = sentiloc(
        "export", run / "best.pt", package, "--spec", folder, "--name", "mine", "--version", "2"
    )
    assert code == 0, errors
    assert (package / "fsenet.onnx").exists()
    spec = load_spec(package / "spec.json")
    assert (spec.name, spec.version, spec.features_hash) == ("mine", "2", SPEC.features_hash)
    assert sentiloc("export", run, tmp_path / "new", "--spec", folder)[0] == 0
    assert load_spec(tmp_path / "new" / "spec.json").version == "1.0.0"
    again = ("--epochs", 1, "--val-fraction", 0.34, "--from", package)
    code, output, errors = sentiloc("train", folder, "-o", tmp_path / "more", "--recipe", "quick", *again)
    assert code == 0, errors
    assert f"{package}: mAP" in output
    assert (
        json.loads((tmp_path / "more" / "config.json").read_text(encoding="utf-8"))["network"]["width"] == 16
    )
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "no", "--modalities", "A", *again)
    assert code == 1
    assert "the features are" in errors


def test_videos_that_train_without_a_label_are_announced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "point_label.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:3]) + "\n", encoding="utf-8")
    items = load_items(folder, "train", FSENetConfig.for_spec(SPEC))
    _report_unlabelled("point", items)
    assert capsys.readouterr().err == (
        "4 of them without a point count as without sentiment: v2, v3, v4 and 1 more\n"
    )
    _report_unlabelled("full", items)
    _report_unlabelled("video", items)
    assert not capsys.readouterr().err


def test_outputs_do_not_replace_features_packages_and_runs(
    folder: Path, tmp_path: Path, sentiloc: Sentiloc
) -> None:
    run, package, published = (tmp_path / name for name in ("run", "package", "published"))
    for other in (run, package, published / "features"):
        other.mkdir(parents=True)
    for name in ("fsenet.onnx", "spec.json"):
        (package / name).write_text(SPEC.to_json(), encoding="utf-8")
    for name in ("config.json", "spec.json"):
        (run / name).write_text(SPEC.to_json(), encoding="utf-8")
    for output in (folder, package):
        code, _, errors = sentiloc("train", folder, "-o", output, "--recipe", "quick")
        assert (code, "name another" in " ".join(errors.replace("│", " ").split())) == (2, True), errors
    for output in (run, folder, published):
        with pytest.raises(typer.BadParameter, match="name another folder"):
            require_package_folder(output, run)
    require_package_folder(package, run)
    require_run_folder(run, folder)
    for output in (package, run):
        with pytest.raises(SentilocError, match="is of a model"), Plan(output, "train", SPEC, {}).hold():
            pass
        assert json.loads((output / "spec.json").read_text(encoding="utf-8")) == json.loads(SPEC.to_json())


def test_a_bad_file_is_one_line_before_training(folder: Path, tmp_path: Path, sentiloc: Sentiloc) -> None:
    (folder / "features/train/img/v3.npy").write_bytes(b"not numpy")
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run")
    assert code == 1
    assert "img/v3.npy" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_switches_reach_the_configuration(folder: Path) -> None:
    network = _network(folder, None, "AF", {"stage1": False, "gsp": False, "width": 32})
    assert (network.stage1, network.stage2, network.gsp, network.width) == (False, True, False, 32)
    table = {"distance": "l1", "pseudo_label": "step", "w": 9, "beta": 0.1, "sc": True, "lambda2": 0.2}
    config = _config(network, {**DEFAULTS, **table, "epochs": 7, "precision": "fp32"})
    for name, value in table.items():
        assert getattr(config.loss, name) == value
    assert (config.epochs, config.batch_size, config.precision) == (7, 16, "fp32")
    # Options of PSSC are refused without PSSC, so its own switch is tried without them.
    assert not _config(network, {**DEFAULTS, "sc": False}).loss.sc


@pytest.mark.parametrize(("letters", "streams"), [("A", ("audio",)), ("fa", ("audio", "face"))])
def test_modalities_choose_streams(folder: Path, letters: str, streams: tuple[str, ...]) -> None:
    assert _network(folder, None, letters, {}).streams == streams


def test_a_modality_that_the_features_lack_is_absent(folder: Path) -> None:
    assert _network(folder, None, "AVF", {}) == FSENetConfig.for_spec(SPEC)


def test_the_starter_without_the_recipes_names_the_repository(
    tmp_path: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the installation of a wheel."""
    monkeypatch.setitem(sys.modules, "recipes.starter.build", None)
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--recipe", "starter")
    assert code == 1
    assert "the recipes are not installed; run `python -m sentiloc train` in a checkout" in errors
