"""YAML settings, several seeds, and the preparation of downloaded data sets."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from sentiloc.cli.training.seeds import aggregate, parse_seeds
from sentiloc.cli.training.train import _config
from sentiloc.cli.training.train_options import BY_NAME
from sentiloc.cli.training.unread import check_given
from sentiloc.model.fsenet.network import FSENetConfig
from tests.cli.extracted import Sentiloc
from tests.cli.test_train_systems import emotion_folder, flow_folder
from tests.cli.test_wrong_inputs import published_folder
from tests.support.services import sentiloc_command
from tests.support.shared_files import data_folder

RECIPES = Path(__file__).parents[2] / "recipes" / "published"
QUICK = ("--recipe", "quick", "--width", 16, "--val-fraction", 0.25)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_published_setting_holds_options_that_its_task_reads(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in found.items():
        assert BY_NAME[name].problem(value) == ""
    check_given(set(found), {"task": "fsenet", "supervision": "point", **found})
    if found.get("task", "fsenet") == "fsenet":
        _config(FSENetConfig(), found)


def test_the_command_line_wins_over_the_file(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    (tmp_path / "own.yaml").write_text("epochs: 3\nsc: true\nlambda2: 0.2\nstage1: false\n", encoding="utf-8")
    code, _, errors = sentiloc(
        "train", folder, "-o", run, *QUICK, "--config", tmp_path / "own.yaml", "--epochs", 1
    )
    assert code == 0, errors
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert (config["epochs"], config["loss"]["lambda2"], config["network"]["stage1"]) == (1, 0.2, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("wdth: 3", "own.yaml: wdth: there is no such option"),
        ("epochs: many", "own.yaml: epochs: 'many'"),
        ("epochs: 0", "own.yaml: epochs: 0"),
        ("supervision: half", "own.yaml: supervision: 'half'"),
        ("[1, 2]", "own.yaml: needs one option a line"),
        ("a: [", "own.yaml: not YAML"),
        ("w: 5\nw: 7", "own.yaml: not YAML: w is there more than once in line 2"),
        ("w: " + "[" * 5000, "own.yaml: not YAML: nested too deeply"),
    ],
)
def test_a_wrong_file_of_options_names_its_key(
    tmp_path: Path, sentiloc: Sentiloc, content: str, said: str
) -> None:
    (tmp_path / "own.yaml").write_text(content, encoding="utf-8")
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--config", tmp_path / "own.yaml")
    assert code == 1
    assert said in errors


def test_seeds_become_a_table(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    code, output, errors = sentiloc("train", folder, "-o", run, *QUICK, "--epochs", 1, "--seeds", "0-1")
    assert code == 0, errors
    assert "mean ± sd" in output
    found = json.loads((run / "seeds.json").read_text(encoding="utf-8"))
    assert set(found["seeds"]) == {"0", "1"}
    assert found["summary"]["mAP"]["n"] == 2
    assert (run / "seed-1" / "best.pt").exists()


def test_one_run_has_no_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aggregate({3: {"mAP": 0.25}}, tmp_path)
    found = json.loads((tmp_path / "seeds.json").read_text(encoding="utf-8"))
    assert found["summary"]["mAP"] == {"mean": 0.25, "sd": None, "n": 1}
    assert capsys.readouterr().out.endswith("mean ± sd\t0.2500 ± –\n")
    aggregate({3: {"mAP": 0.25}, 4: {"mAP": 0.5}}, tmp_path)
    assert "0.3750 ± 0.1768" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["default", "paper", "printed", "quick", "cten", "gim"])
def test_two_deterministic_runs_end_in_the_same_weights(
    tmp_path: Path, sentiloc: Sentiloc, recipe: str
) -> None:
    folder, states = tmp_path / "data", []
    folder.mkdir()
    options: tuple[object, ...] = ("--width", 16, "--epochs", 3, "--seed", 5, "--deterministic")
    if recipe in ("cten", "gim"):
        (emotion_folder if recipe == "cten" else flow_folder)(folder)
        options = (*options, "--task", recipe, "--recipe", "quick")
    else:
        published_folder(folder)
        options = (*options, "--recipe", recipe, "--val-fraction", 0.25)
    try:
        for name in ("first", "second"):
            code, _, errors = sentiloc("train", folder, "-o", tmp_path / name, *options)
            assert code == 0, errors
            states.append(torch.load(tmp_path / name / "best.pt", weights_only=True)["weights"])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_recipe_of_the_paper_sets_attention_and_positions_by_default(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    folder = published_folder(tmp_path / "data")
    shape = ("--recipe", "printed", "--width", 16, "--val-fraction", 0.25, "--epochs", 1)
    for name, more, wanted in (
        ("printed", (), ("plain", "none", "adam")),
        ("asked", ("--attention", "normalized"), ("normalized", "none", "adam")),
    ):
        code, _, errors = sentiloc("train", folder, "-o", tmp_path / name, *shape, *more)
        assert code == 0, errors
        config = json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))
        network = config["network"]
        assert (network["attention"], network["position"], config["optimizer"]) == wanted
        weights = torch.load(tmp_path / name / "last.pt", weights_only=True)["weights"]
        assert any("log_temperature" in key for key in weights) == (wanted[0] == "normalized")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), {"face_visual", "face_audio", "audio_visual", "visual_audio"}),
        (("--no-stage2",), {"face_visual", "face_audio"}),
        (("--recipe", "paper", "--no-stage1"), {"audio_visual", "visual_audio"}),
    ],
)
def test_the_default_has_both_stages_and_switches_decide(
    tmp_path: Path, sentiloc: Sentiloc, words: tuple[str, ...], names: set[str]
) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    options = (*QUICK, "--val-fraction", 0, "--epochs", 1, *words)
    code, _, errors = sentiloc("train", folder, "-o", run, *options)
    assert code == 0, errors
    weights = torch.load(run / "last.pt", weights_only=True)["weights"]
    assert {key.split(".")[1] for key in weights if key.startswith("attention.")} == names


def test_seeds_are_ranges_and_lists() -> None:
    assert parse_seeds("0-2,7,1") == [0, 1, 2, 7]


def test_downloaded_files_of_tsl300_are_linked_and_missing_ones_listed(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    code, output, errors = sentiloc("datasets", "prepare", "tsl300", data_folder("tsl300"), tmp_path / "data")
    assert code == 1, errors
    assert "missing: features/train/rgb: 200 of 200 videos" in output
    assert "split_train.txt" not in output
    checksums = json.loads((tmp_path / "data" / "checksums.json").read_text(encoding="utf-8"))
    assert {"gt.json", "fps_dict.json", "point_label.csv", "split_train.txt"} <= set(checksums)


def test_prepared_features_train(tmp_path: Path, sentiloc: Sentiloc) -> None:
    source = published_folder(tmp_path / "download" / "deep")
    (source / "split_test.txt").write_text("e\n", encoding="utf-8")
    code, output, _ = sentiloc("datasets", "prepare", "cmu-mosei", tmp_path / "download", tmp_path / "data")
    assert code == 1
    assert "missing: features/test/rgb: 1 of 1 videos: e" in output
    assert "features/train/rgb" not in output
    code, _, errors = sentiloc("train", tmp_path / "data", "-o", tmp_path / "run", *QUICK, "--epochs", 1)
    assert code == 0, errors
    (source / "fps_dict.json").write_text("{}", encoding="utf-8")
    code, _, errors = sentiloc("datasets", "prepare", "cmu-mosei", tmp_path / "download", tmp_path / "data")
    assert code == 1
    assert "checksums.json: fps_dict.json changed" in errors


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["data", "."])
def test_a_data_folder_within_the_download_can_be_prepared_again(
    place: str, tmp_path: Path, sentiloc: Sentiloc
) -> None:
    published_folder(tmp_path / "release")
    (tmp_path / "release" / "split_test.txt").write_text("e\n", encoding="utf-8")
    command = ("datasets", "prepare", "tsl300", tmp_path, tmp_path / place)
    _, first, _ = sentiloc(*command)
    before = _tree(tmp_path)
    code, second, errors = sentiloc(*command)
    assert (code, second, errors) == (1, first, "")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("place", ["data", "."])
def test_videos_are_linked_once_within_the_download(place: str, tmp_path: Path, sentiloc: Sentiloc) -> None:
    for emotion in ("Joy", "Fear"):
        (tmp_path / emotion).mkdir()
        (tmp_path / emotion / "1.mp4").touch()
    for _ in range(2):
        sentiloc("datasets", "prepare", "ve8", tmp_path, tmp_path / place)
    assert {path.name for path in (tmp_path / place / "videos").iterdir()} == {"Fear_1.mp4", "Joy_1.mp4"}


@pytest.mark.parametrize("name", ["tsl300", "ve8", "casme2"])
def test_only_files_of_a_download_are_read(name: str, tmp_path: Path) -> None:
    """To read a pipe would take for ever."""
    source = tmp_path / "download"
    (source / "a.mp4").mkdir(parents=True)
    (source / "split_test.txt").mkdir()
    for pipe in ("b.mp4", "gt.json", "labels.csv", "list.txt"):
        os.mkfifo(source / pipe)
    command = sentiloc_command("datasets", "prepare", name, str(source), str(tmp_path / "data"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "0 files linked, 0 label files" in done.stdout


def test_the_next_command_can_be_copied(tmp_path: Path, sentiloc: Sentiloc) -> None:
    (tmp_path / "down load").mkdir()
    (tmp_path / "down load" / "a.mp4").touch()
    _, output, _ = sentiloc("datasets", "prepare", "ve8", tmp_path / "down load", tmp_path / "my data")
    words = shlex.split(output.partition("next: ")[2])
    assert words[2:5] == [f"{tmp_path}/my data/videos/*", "-o", f"{tmp_path}/my data"]


@pytest.mark.parametrize(
    "words",
    [
        ("datasets", "prepare", "ve8", "", "data"),
        ("datasets", "prepare", "ve8", ".", ""),
        ("export", "run", ""),
        ("train", ".", "-o", ""),
        ("extract", "a.mp4", "-o", ""),
    ],
    ids=lambda words: words[0],
)
def test_a_folder_without_a_name_is_not_the_current_one(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentiloc: Sentiloc
) -> None:
    """An unset variable gives such a name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    code, _, errors = sentiloc(*words)
    assert (code, "the name is empty" in errors) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_two_videos_that_would_get_one_name_are_refused(tmp_path: Path, sentiloc: Sentiloc) -> None:
    for name in ("a/b_c.mp4", "a_b/c.mp4"):
        (tmp_path / "ve8" / name).parent.mkdir(parents=True)
        (tmp_path / "ve8" / name).touch()
    code, _, errors = sentiloc("datasets", "prepare", "ve8", tmp_path / "ve8", tmp_path / "data")
    assert (code, "would both be" in errors) == (1, True)
    assert not (tmp_path / "data").exists()


def test_a_refused_download_changes_no_link(tmp_path: Path, sentiloc: Sentiloc) -> None:
    for release in ("one", "two"):
        published_folder(tmp_path / release)
    (tmp_path / "two" / "fps_dict.json").write_text("{}", encoding="utf-8")
    sentiloc("datasets", "prepare", "tsl300", tmp_path / "one", tmp_path / "data")
    before = _tree(tmp_path / "data")
    code, _, errors = sentiloc("datasets", "prepare", "tsl300", tmp_path / "two", tmp_path / "data")
    assert (code, "fps_dict.json changed" in errors) == (1, True)
    assert _tree(tmp_path / "data") == before


def test_videos_of_a_benchmark_get_one_name_each(tmp_path: Path, sentiloc: Sentiloc) -> None:
    for emotion in ("Joy", "Fear"):
        (tmp_path / "ve8" / emotion).mkdir(parents=True)
        (tmp_path / "ve8" / emotion / "1.mp4").touch()
    code, output, _ = sentiloc("datasets", "prepare", "ve8", tmp_path / "ve8", tmp_path / "data")
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "data" / "videos").iterdir()) == [
        "Fear_1.mp4",
        "Joy_1.mp4",
    ]
    assert "next: sentiloc extract" in output


def test_two_label_files_of_one_name_are_not_chosen_between(tmp_path: Path, sentiloc: Sentiloc) -> None:
    """Such as those of two data sets in one folder of downloads."""
    source, data = tmp_path / "downloads", tmp_path / "data"
    for folder, content in (("one", "{}"), ("two", '{"database": {}}')):
        (source / folder).mkdir(parents=True)
        (source / folder / "gt.json").write_text(content, encoding="utf-8")
    code, _, errors = sentiloc("datasets", "prepare", "tsl300", source, data)
    assert code == 1
    assert f"{source / 'one/gt.json'} and {source / 'two/gt.json'} differ" in errors
    assert not data.exists()
    data.mkdir()
    (data / "gt.json").write_text("{}", encoding="utf-8")
    assert "differ" not in sentiloc("datasets", "prepare", "tsl300", source, data)[2]
    (data / "gt.json").unlink()
    (source / "two/gt.json").write_text("{}", encoding="utf-8")
    assert "differ" not in sentiloc("datasets", "prepare", "tsl300", source, data)[2]
