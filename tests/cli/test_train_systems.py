"""`sentiloc train --task cten|gim` and the resulting packages, as a researcher runs them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from sentiloc.model.cten.export import emotion_spec
from sentiloc.model.data.feature_store import write_spec
from sentiloc.model.gim.export import load_gim
from sentiloc.model.gim.spec import expression_spec
from sentiloc.model.package import load_package
from sentiloc.model.spec import FlowStream
from tests.cli.extracted import QUICKLY_EXPORTED, SPEC, Sentiloc, write_video

FLOW = FlowStream(grid=2)


def emotion_folder(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    write_spec(folder, SPEC)
    rows, segments = ["video_id,label"], ["video_id,start,end"]
    for index in range(8):
        write_video(folder, ("train", "test")[index % 2], f"v{index}", rng, 12)
        rows.append(f"v{index},{('Joy', 'Fear')[index // 2 % 2]}")
        segments.append(f"v{index},1.5,4.0")
    (folder / "emotions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "emotion_segments.csv").write_text("\n".join(segments) + "\n", encoding="utf-8")
    return folder


def flow_folder(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    write_spec(folder, replace(expression_spec("flow", "1"), flow=FLOW))
    (folder / "flow").mkdir()
    points, truth = ["video_id,subject,frame,class"], ["video_id,onset,apex,offset,class"]
    for index in range(3):
        np.save(folder / "flow" / f"v{index}.npy", rng.standard_normal((80, FLOW.dim), np.float32))
        points.append(f"v{index},s{index % 2},{20 + index},{('macro', 'micro')[index % 2]}")
        truth.append(f"v{index},10,{21 + index},32,{('macro', 'micro')[index % 2]}")
    points.append("v2,s0,,")
    (folder / "points.csv").write_text("\n".join(points) + "\n", encoding="utf-8")
    (folder / "expressions.csv").write_text("\n".join(truth) + "\n", encoding="utf-8")
    return folder


def test_emotions_from_a_folder_to_a_package(sentiloc: Sentiloc, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data, run, package = emotion_folder(tmp_path / "data"), tmp_path / "run", tmp_path / "models" / "cten-own"
    options = ("--task", "cten", "--recipe", "quick", "--epochs", 1, "--width", 8)
    code, out, err = sentiloc("train", data, "-o", run, *options)
    assert code == 0, err
    assert "accuracy" in out
    assert "mAP@0.5" in json.loads((run / "result.json").read_text(encoding="utf-8"))["test"]
    code, _, err = sentiloc("export", run / "best.pt", package, "--spec", data / "spec.json")
    assert code == 0, err
    spec = load_package("cten-own", tmp_path / "models").spec
    assert (spec.name, spec.task, spec.classes) == ("cten-own", "emotion", ("fear", "joy"))
    assert spec.features_hash == SPEC.features_hash
    code, _, err = sentiloc("train", data, "-o", run, *options)
    assert code == 1
    assert "contains a run" in err
    whole = (run / "result.json").read_text(encoding="utf-8")
    (run / "result.json").unlink()
    code, again, err = sentiloc("train", data, "-o", run, *options, "--resume")
    assert code == 0, err
    assert (again, (run / "result.json").read_text(encoding="utf-8")) == (out, whole)


def test_the_paper_s_ten_segments_train_resume_score_and_export(sentiloc: Sentiloc, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data, run = emotion_folder(tmp_path / "data"), tmp_path / "run"
    options = ("--task", "cten", "--recipe", "paper", "--epochs", 2, "--width", 8)
    code, out, err = sentiloc("train", data, "-o", run, *options)
    assert code == 0, err
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["network"]["segments"] == 10
    (run / "best.pt").unlink()
    assert sentiloc("train", data, "-o", run, *options, "--resume")[:2] == (0, out)
    assert sentiloc("evaluate", run, "--split", "test")[0] == 0
    assert sentiloc("export", run, tmp_path / "models" / "ten")[0] == 0
    assert load_package("ten", tmp_path / "models").spec.segments == 10
    other = ("--task", "cten", "--recipe", "quick", "--epochs", 1, "--width", 8, "--segments", 4)
    code, _, err = sentiloc("train", data, "-o", tmp_path / "four", *other)
    assert code == 0, err
    assert "needs" not in err
    code, _, err = sentiloc("train", data, "-o", tmp_path / "no", *other[:-1], 1)
    assert code == 2


def test_a_run_of_an_older_version_resumes(sentiloc: Sentiloc, tmp_path: Path) -> None:
    """Its configuration lacks the fields that were added since."""
    (tmp_path / "data").mkdir()
    data, run = emotion_folder(tmp_path / "data"), tmp_path / "run"
    options = ("--task", "cten", "--recipe", "quick", "--epochs", 1, "--width", 8)
    assert sentiloc("train", data, "-o", run, *options)[0] == 0
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    del config["network"]["segments"]
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert sentiloc("train", data, "-o", run, *options, "--resume")[0] == 0


def test_a_run_is_not_scored_on_features_that_it_does_not_read(sentiloc: Sentiloc, tmp_path: Path) -> None:
    """Features of another encoder may have the same shape."""
    (tmp_path / "data").mkdir()
    data, run, other = emotion_folder(tmp_path / "data"), tmp_path / "run", tmp_path / "other"
    options = ("--task", "cten", "--recipe", "quick", "--epochs", 1, "--width", 8)
    assert sentiloc("train", data, "-o", run, *options)[0] == 0
    shutil.copytree(data, other)
    assert sentiloc("evaluate", run, "--data", other)[0] == 0
    assert SPEC.face is not None
    (other / "spec.json").unlink()
    write_spec(other, replace(SPEC, face=replace(SPEC.face, encoder="another")))
    code, _, err = sentiloc("evaluate", run, "--data", other)
    assert (code, "spec.json: features of own" in err) == (1, True), err
    code, _, err = sentiloc("evaluate", run, "--split", "val")
    assert (code, "split_val.txt: missing or empty" in err) == (1, True), err


def test_features_of_an_emotion_package_train_sentiment(sentiloc: Sentiloc, tmp_path: Path) -> None:
    """`extract --spec` takes packages of any task, whose features are the same."""
    data = emotion_folder(tmp_path)
    write_spec(data, emotion_spec(SPEC, ("anger", "fear", "joy"), "cten-own", "1", 10))
    (data / "point_label.csv").write_text("video_id,point,class_index\nv0,100,1\n", encoding="utf-8")
    options = ("--recipe", "quick", "--epochs", 1, "--width", 16, "--val-fraction", 0, *QUICKLY_EXPORTED)
    code, _, err = sentiloc("train", data, "-o", tmp_path / "run", *options)
    assert code == 0, err
    assert sentiloc("export", tmp_path / "run", tmp_path / "models" / "own")[0] == 0
    spec = load_package("own", tmp_path / "models").spec
    assert (spec.task, spec.classes, spec.segments) == ("sentiment", ("negative", "positive"), None)
    (data / "spec.json").unlink()
    write_spec(data, replace(SPEC, snippet_frames=8))
    code, _, err = sentiloc("train", data, "-o", tmp_path / "no", *options)
    assert (code, "spec.json: snippets of 8 frames; FSENet's have 16" in err) == (1, True), err


def test_one_modality_trains_scores_and_exports_by_itself(sentiloc: Sentiloc, tmp_path: Path) -> None:
    """Table 2's upper rows: the sound of the test split may be anything."""
    (tmp_path / "data").mkdir()
    data, run = emotion_folder(tmp_path / "data"), tmp_path / "run"
    options = ("--task", "cten", "--recipe", "quick", "--epochs", 2, "--width", 8)
    code, _, err = sentiloc("train", data, "-o", run, *options, "--modalities", "v")
    assert code == 0, err
    first = sentiloc("evaluate", run, "--split", "test")
    assert first[0] == 0, first
    for path in (data / "features" / "test" / "logmfcc").glob("*.npy"):
        np.save(path, 50 + np.load(path))
    assert sentiloc("evaluate", run, "--split", "test") == first
    assert sentiloc("export", run, tmp_path / "models" / "pictures")[0] == 0
    assert load_package("pictures", tmp_path / "models").spec.task == "emotion"
    for wrong, said in (
        (("--modalities", "F"), "CTEN reads A and V"),
        (("--modalities", "A", "--inter"), "needs both modalities"),
    ):
        code, _, err = sentiloc("train", data, "-o", tmp_path / "no", *options, *wrong)
        assert (code, said in err) == (2, True)


def test_expressions_from_a_folder_to_a_checkpoint(sentiloc: Sentiloc, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data, run = flow_folder(tmp_path / "data"), tmp_path / "run"
    options = ("--task", "gim", "--recipe", "quick", "--epochs", 3, "--width", 8, "--overlap", "higher")
    code, out, err = sentiloc("train", data, "-o", run, *options)
    assert code == 0, err
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["labels"]["overlap"] == "higher"
    assert "F1 overall" in out
    assert load_gim(run / "best.pt").config.inputs == 2 * FLOW.dim
    assert (run / "left_out" / "subject-01" / "last.pt").exists()
    (run / "best.pt").unlink()
    code, again, err = sentiloc("train", data, "-o", run, *options, "--resume")
    assert code == 0, err
    assert again == out
    assert (run / "best.pt").exists()


def test_folders_of_a_benchmark_label_extracted_features(sentiloc: Sentiloc, tmp_path: Path) -> None:
    source, data, rng = tmp_path / "CAER", tmp_path / "data", np.random.default_rng(0)
    write_spec(data, SPEC)
    for split, emotion, index in [
        (split, emotion, index)
        for split in ("train", "validation", "test")
        for emotion in ("Happy", "Fear")
        for index in range(2)
    ]:
        (source / split / emotion).mkdir(parents=True, exist_ok=True)
        (source / split / emotion / f"000{index}.avi").touch()
        if (split, index) != ("test", 1):
            write_video(data, "all", f"{split}_{emotion}_000{index}", rng, 8)
    (source / "train" / "Neutral").mkdir()
    (source / "train" / "Neutral" / "0000.avi").touch()
    write_video(data, "all", "train_Neutral_0000", rng, 8)
    code, _, err = sentiloc("labels", "caer", source, data)
    assert code == 0
    assert "2 annotated videos are not in" in err
    assert (data / "split_test.txt").read_text(encoding="utf-8").split() == [
        "test_Fear_0000",
        "test_Happy_0000",
    ]
    assert "neutral" not in (data / "emotions.csv").read_text(encoding="utf-8")
    options = ("--task", "cten", "--recipe", "quick", "--epochs", 1, "--width", 8)
    code, out, err = sentiloc("train", data, "-o", tmp_path / "run", *options)
    assert code == 0, err
    assert "accuracy" in out
    code, _, err = sentiloc("labels", "casme2", source / "no.csv", data)
    assert code == 2
    assert "there is no" in err


def test_errors_name_the_fault_of_a_folder(sentiloc: Sentiloc, tmp_path: Path) -> None:
    data = emotion_folder(tmp_path)
    (data / "emotions.csv").write_text("video_id,label\nv0,joy\nv1,fear\n", encoding="utf-8")
    code, _, err = sentiloc("train", data, "-o", tmp_path / "run", "--task", "cten", "--recipe", "quick")
    assert code == 1
    assert "v2 has no emotion" in err
    code, _, err = sentiloc("train", data, "-o", tmp_path / "run", "--task", "gim")
    assert code == 1
    assert "no flow stream" in err
