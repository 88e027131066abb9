"""Wrong files or options end `sentiloc train` with one line that names the file and the key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiloc.cli.training.train_options import read_option_file
from sentiloc.model.data.feature_store import load_array, write_spec
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.spec import expression_spec
from tests.cli.extracted import QUICKLY_EXPORTED, SPEC, Sentiloc, write_video
from tests.cli.test_train_systems import FLOW, emotion_folder, flow_folder

Change = Callable[[Path], object]
QUICK = ("--recipe", "quick", "--epochs", 1, "--width", 16)
SYSTEM_QUICK = {"cten": QUICK, "gim": ("--recipe", "quick", "--epochs", 3, "--width", 16)}
VIDEOS, SNIPPETS = ("a", "b", "c", "d"), 20


def published_folder(folder: Path) -> Path:
    """Four videos of 20 snippets at 30 fps in the published layout: I3D and faces, points and segments."""
    rng = np.random.default_rng(0)
    for stream, width in (("rgb", 1024), ("img", 256)):
        (folder / "features/train" / stream).mkdir(parents=True)
        for name in VIDEOS:
            np.save(
                folder / f"features/train/{stream}/{name}.npy",
                rng.standard_normal((SNIPPETS, width), np.float32),
            )
    (folder / "split_train.txt").write_text("\n".join(VIDEOS) + "\n", encoding="utf-8")
    write_json(folder / "fps_dict.json", dict.fromkeys(VIDEOS, 30.0))
    write_json(folder / "len_duration_dict.json", dict.fromkeys(VIDEOS, SNIPPETS * 16 / 30))
    rows = [{"segment": ["2.0", "6.0"], "label": "p"}]
    write_json(folder / "videosenti_gt.json", {"database": {name: {"annotations": rows} for name in VIDEOS}})
    points = ["video_id,point,class_index", *(f"{name},100,1" for name in VIDEOS)]
    (folder / "point_label.csv").write_text("\n".join(points) + "\n", encoding="utf-8")
    return folder


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def edit(name: str, change: Callable[[Any], None]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        change(content)
        write_json(folder / name, content)

    return apply


def put(name: str, key: str, value: object) -> Change:
    return edit(name, lambda content: content.update({key: value}))


def segment(value: dict[str, object]) -> Change:
    return edit("videosenti_gt.json", lambda c: c["database"]["b"].update({"annotations": [value]}))


def text(name: str, content: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return apply


def points(*rows: str) -> Change:
    return text("point_label.csv", "\n".join(("video_id,point,class_index", *rows)) + "\n")


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def array(name: str, value: object) -> Change:
    return lambda folder: np.save(folder / "features/train" / name, np.asarray(value, np.float32))


def coded(name: str, encoding: str, more: str = "") -> Change:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(((folder / name).read_text(encoding="utf-8") + more).encode(encoding))

    return apply


def typed(name: str, kind: type) -> Change:
    return lambda folder: np.save(folder / "features/train" / name, np.ones((20, 1024)).astype(kind))


def filled(name: str, value: float) -> Change:
    return lambda folder: np.save(folder / "features/train" / name, np.full((20, 1024), value))


def as_folder(name: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def header(name: str, shape: str) -> Change:
    """A file that states a shape, but has 100 bytes."""
    content = stated(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")
    return lambda folder: (folder / "features/train" / name).write_bytes(content)


def stated(text: str) -> bytes:
    """An array's file with this header and 100 bytes."""
    filled = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(filled).to_bytes(2, "little") + filled + b"x" * 100


def to_itself(name: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return apply


GT = "videosenti_gt.json"
WRONG: list[tuple[str, Change, tuple[object, ...], tuple[str, ...]]] = [
    ("first stream", remove("features/train/rgb/a.npy"), (), ("rgb/a.npy: missing",)),
    ("other stream", remove("features/train/img/c.npy"), (), ("img/c.npy: missing",)),
    (
        "full, no truth",
        remove(GT),
        ("--supervision", "full", "--val-fraction", 0),
        ("/gt.json: missing; full supervision", "a and 3"),
    ),
    (
        "full, one video",
        edit(GT, lambda c: c["database"].pop("d")),
        ("--supervision", "full"),
        (GT, "segments of d"),
    ),
    (
        "doubled rate",
        put("fps_dict.json", "b", 60.0),
        (),
        ("fps_dict.json: b: 60 frames", "len_duration_dict.json"),
    ),
    ("rate 0", put("fps_dict.json", "b", 0), (), ("fps_dict.json: b: 0 is not between",)),
    ("rate text", put("fps_dict.json", "b", "fast"), (), ("fps_dict.json: b: 'fast'",)),
    ("rate 1e9", put("fps_dict.json", "b", 1e9), (), ("fps_dict.json: b:",)),
    ("no rate", edit("fps_dict.json", lambda c: c.pop("c")), (), ("fps_dict.json: no frame rate of c",)),
    ("duration", put("len_duration_dict.json", "b", 99.0), (), ("len_duration_dict.json says 99.0 s",)),
    ("far point", points("a,100,1", "b,99999999,1"), (), ("point_label.csv: line 3: point 99999999 of b",)),
    ("point before", points("a,-5,1"), (), ("point_label.csv: line 2: point -5",)),
    ("point text", points("a,x,1"), (), ("point_label.csv: line 2: point 'x'",)),
    ("class", points("a,100,7"), (), ("point_label.csv: line 2: class_index 7",)),
    (
        "columns",
        text("point_label.csv", "video,frame\na,1\n"),
        (),
        ("point_label.csv: has no column video_id",),
    ),
    (
        "no points",
        remove("point_label.csv"),
        (),
        ("point_label.csv: missing; no point of any video in split_train.txt",),
    ),
    ("reversed", segment({"segment": [6, 2], "label": "p"}), (), (f"{GT}: b: segment from 6 to 2 s",)),
    ("negative time", segment({"segment": [-3, 2], "label": "p"}), (), (f"{GT}: b: segment from -3",)),
    (
        "past the end",
        segment({"segment": [2, 500], "label": "p"}),
        (),
        (f"{GT}: b: segment to 500 s ends after",),
    ),
    ("label", segment({"segment": [2, 5], "label": "happy"}), (), (f"{GT}: b: label 'happy'",)),
    ("no label", segment({"segment": [2, 5]}), (), (f"{GT}: b: needs 'label'",)),
    ("no JSON", text(GT, "{"), (), (GT, "not JSON")),
    ("empty split", text("split_train.txt", ""), (), ("split_train.txt: missing or empty",)),
    ("twice", text("split_train.txt", "a\nb\na\n"), (), ("split_train.txt: names a more than once",)),
    ("both splits", text("split_test.txt", "b\n"), (), ("split_train.txt: b is in split_test.txt as well",)),
    (
        "not finite",
        array("rgb/b.npy", np.full((20, 1024), np.nan)),
        (),
        ("rgb/b.npy: contains values that are not",),
    ),
    (
        "other length",
        array("img/b.npy", np.zeros((9, 256))),
        (),
        ("img/b.npy: 9 snippets where others have 20",),
    ),
    ("other width", array("img/b.npy", np.zeros((20, 99))), (), ("img/b.npy: shape (20, 99)",)),
    ("torn", text("features/train/rgb/b.npy", "xx"), (), ("rgb/b.npy: not a readable .npy file",)),
    ("no such stream", lambda _: None, ("--modalities", "A"), ("no features for --modalities A",)),
    ("nothing to choose by", remove(GT), (), ("/gt.json: missing; no segment of ", "held out to choose")),
    ("width", lambda _: None, ("--width", 7), ("not a network: width 7",)),
    ("UTF-16", coded("split_train.txt", "utf-16"), (), ("split_train.txt: line 1: not UTF-8 text",)),
    ("Latin-1", coded("point_label.csv", "latin-1", "é"), (), ("point_label.csv: line 6: not UTF-8",)),
    ("complex", typed("rgb/b.npy", np.complex64), (), ("rgb/b.npy: contains complex64; needs real numbers",)),
    ("strings", typed("rgb/b.npy", np.str_), (), ("rgb/b.npy: contains <U", "needs real numbers")),
    ("beyond float32", filled("rgb/b.npy", 1e300), (), ("rgb/b.npy: contains values that are not finite",)),
    ("empty array", array("rgb/b.npy", np.zeros((0, 1024))), (), ("rgb/b.npy: shape (0, 1024)",)),
    (
        "three times",
        segment({"segment": [1, 2, 3], "label": "p"}),
        (),
        (f"{GT}: b: segment [1, 2, 3]; needs",),
    ),
    ("null video", edit(GT, lambda c: c["database"].update(b=None)), (), (f"{GT}: b: needs 'annotations'",)),
    ("list of rates", text("fps_dict.json", "[25]"), (), ("fps_dict.json: not a JSON object with a number",)),
    ("a folder", as_folder("point_label.csv"), (), ("point_label.csv: Is a directory",)),
    ("too large", filled("rgb/b.npy", 1e38), (), ("rgb/b.npy: contains the value 1e+38", "at most 65504")),
    ("size of petabytes", header("rgb/b.npy", "(900000000000, 1024)"), (), ("rgb/b.npy: not a readable",)),
    (
        "rate twice",
        text("fps_dict.json", '{"a": 30, "b": 30, "c": 30, "d": 30, "b": 25}'),
        (),
        ("fps_dict.json: 'b' is there more than once",),
    ),
    ("true as rate", put("fps_dict.json", "b", True), (), ("fps_dict.json: b: True is not between",)),
    ("nested", text(GT, '{"database":' + "[" * 200_000), (), (f"{GT}: not JSON: nested too deeply",)),
    ("no times", segment({"segment": [None, 5], "label": "p"}), (), (f"{GT}: b: segment [None, 5]; needs",)),
    ("own link", to_itself("point_label.csv"), (), ("point_label.csv: Too many levels of symbolic links",)),
    (
        "a path",
        text("split_train.txt", "a\n../b\n"),
        (),
        ("split_train.txt: line 2: '../b' is not the name",),
    ),
    ("NUL", text("split_train.txt", "a\nb\0\n"), (), ("split_train.txt: line 2: 'b\\x00' is not the name",)),
    (
        "long name",
        text("split_train.txt", "a\n" + "b" * 300),
        (),
        ("split_train.txt: line 2: 'bbb", "too long"),
    ),
    ("underscore", points("a,1_0,1"), (), ("point_label.csv: line 2: point '1_0' is not a whole number",)),
]

DAMAGED: list[bytes] = [
    b"PK\x03\x04",
    b"PK\x03\x04" + bytes(50),
    stated("{'descr"),
    stated("\t\n  x\n y"),
    stated("{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }"),
    stated("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }"),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_array_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(SentilocError, match=r"a\.npy: not a readable \.npy file") as caught:
        load_array(tmp_path / "a.npy")
    assert caught.value.code is ErrorCode.INVALID_DATA


@pytest.mark.parametrize(
    "value", ["!!timestamp x", "!!int ''", "!!bool x", "!!set [1]", "!!python/name:os.system"]
)
def test_a_value_that_does_not_fit_its_tag_is_not_yaml(tmp_path: Path, value: str) -> None:
    (tmp_path / "own.yaml").write_text(f"epochs: {value}\n", encoding="utf-8")
    with pytest.raises(SentilocError, match=r"own\.yaml: not YAML: "):
        read_option_file(tmp_path / "own.yaml")


def test_a_file_cannot_send_commands_to_the_terminal(tmp_path: Path, sentiloc: Sentiloc) -> None:
    write_json(tmp_path / "gt.json", {"database": {"\x1b[2J": {"annotations": 3}}})
    given = ("--ground-truth", tmp_path / "gt.json", "--predictions", tmp_path / "gt.json")
    code, _, errors = sentiloc("evaluate", *given)
    assert (code, errors) == (1, "sentiloc: gt.json: \\x1b[2J has no list of segments\n")


@pytest.mark.parametrize(
    ("change", "options", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_file_ends_with_its_name_and_key(
    tmp_path: Path, sentiloc: Sentiloc, change: Change, options: tuple[object, ...], said: tuple[str, ...]
) -> None:
    folder = published_folder(tmp_path / "data")
    change(folder)
    code, _, errors = sentiloc(
        "train", folder, "-o", tmp_path / "run", *QUICK, "--val-fraction", 0.25, *options
    )
    assert code == 1
    assert all(part in errors for part in said), errors
    assert "Traceback" not in errors
    assert "Error" not in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert not (tmp_path / "run").exists()


EXTRACTED: list[tuple[Change, str]] = [
    (text("extracted.json", "[]"), "extracted.json: not what extraction wrote"),
    (text("extracted.json", '{"v": 3}'), "extracted.json: not what extraction wrote"),
    (
        array("present/v.npy", np.full((24, 3), np.nan)),
        "present/v.npy: contains other values than true and false",
    ),
    (array("present/v.npy", np.ones((24, 2))), "present/v.npy: shape (24, 2), expected (T, 3)"),
    (array("logmfcc/v.npy", np.full((24, 8, 6), 1e30)), "logmfcc/v.npy: contains the value 1e+30"),
    (text("spec.json", "[" * 200_000), "spec.json: not JSON: nested too deeply"),
]


@pytest.mark.parametrize(("change", "said"), EXTRACTED)
def test_damaged_files_of_an_extraction_are_named(
    tmp_path: Path, sentiloc: Sentiloc, change: Change, said: str
) -> None:
    write_spec(tmp_path, SPEC)
    write_video(tmp_path, "train", "v", np.random.default_rng(0), 24)
    (tmp_path / "point_label.csv").write_text("video_id,point,class_index\nv,100,1\n")
    change(tmp_path)
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", *QUICK, "--val-fraction", 0)
    assert (code, said in errors, len(errors.splitlines())) == (1, True, 1), errors


def test_a_loss_that_is_not_finite_names_the_videos_of_its_step(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder = published_folder(tmp_path / "data")
    options = (*QUICK, "--val-fraction", 0, "--epochs", 3, "--learning-rate", 1e30)
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run", *options)
    assert code == 1
    found = re.search(r"the loss is nan in epoch 1, step 0 \((.*) and 1 more\); ", errors)
    assert found, errors
    assert {*found[1].split(", ")} < {*VIDEOS}


def test_rates_that_extraction_did_not_write_are_found(tmp_path: Path, sentiloc: Sentiloc) -> None:
    write_spec(tmp_path, SPEC)
    write_video(tmp_path, "train", "v", np.random.default_rng(0), 24)
    put("fps_dict.json", "v", 50.0)(tmp_path)
    (tmp_path / "point_label.csv").write_text("video_id,point,class_index\nv,100,1\n", encoding="utf-8")
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", *QUICK, "--val-fraction", 0)
    assert code == 1
    assert "fps_dict.json: v: 50, but it was extracted at 25" in errors


def test_a_run_on_other_data_is_not_resumed(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    options = (*QUICK, "--val-fraction", 0.25)
    code, _, errors = sentiloc("train", folder, "-o", run, *options)
    assert code == 0, errors
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["data"]["folder"] == str(folder)
    assert set(config["data"]["files"]) >= {"split_train.txt", "fps_dict.json", GT, "point_label.csv"}
    assert {"python", "torch", "sentiloc"} <= set(config["versions"])
    assert config["commit"]
    code, _, errors = sentiloc("train", folder, "-o", run, *options, "--resume")
    assert code == 0, errors
    (folder / "split_train.txt").write_text("a\nb\nc\n", encoding="utf-8")
    code, _, errors = sentiloc("train", folder, "-o", run, *options, "--resume")
    assert code == 1
    assert "config.json: the run was begun on other data; changed since: split_train.txt, features" in errors
    (folder / "split_train.txt").write_text("\n".join(VIDEOS) + "\n", encoding="utf-8")
    code, _, errors = sentiloc("train", folder, "-o", run, *options, "--lambda1", 0.5, "--resume")
    assert code == 1
    assert "config.json: loss differs" in errors


SYSTEMS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("cten", "emotions.csv", "video_id,label\nv0,joy\nv0,fear\nv2,fear\n", ("emotions.csv: line 3: v0",)),
    ("cten", "emotions.csv", "video,emotion\nv0,joy\n", ("emotions.csv", "video_id")),
    ("cten", "emotions.csv", "video_id,label\nv0,joy\nv2,joy\n", ("emotions.csv: needs at least two",)),
    ("cten", "emotion_segments.csv", "video_id,start,end\nv0,4,1\n", ("emotion_segments.csv: line 2",)),
    ("cten", "emotion_segments.csv", "video_id,start,end\nv0,1,99\n", ("emotion_segments.csv: v0", "after")),
    (
        "cten",
        "emotion_segments.csv",
        "video_id,start,end\nV0.mp4,1,2\n",
        ("'V0.mp4' is no video, but nearly 'v0'",),
    ),
    ("gim", "points.csv", "video_id,subject,frame,class\nv0,s0,9999,macro\n", ("points.csv", "v0", "9999")),
    ("gim", "points.csv", "video_id,subject,frame,class\nv0,s0,20,huge\n", ("points.csv: line 2", "huge")),
    (
        "cten",
        "emotions.csv",
        "video_id,label\nv0\nv2,joy\n",
        ("emotions.csv: line 2: needs video_id and label",),
    ),
    ("cten", "split_val.txt", "v99\n", ("emotions.csv: v99 has no emotion",)),
    (
        "gim",
        "points.csv",
        "video_id,subject,frame,class\nv0,s0,20.5,macro\n",
        ("line 2: frame '20.5' is not",),
    ),
    (
        "gim",
        "points.csv",
        "video_id,subject,frame,class\n../v0,s0,20,macro\n",
        ("line 2: '../v0' is not the",),
    ),
    ("cten", "split_val.txt", "v1\nv1\n", ("split_val.txt: names v1 more than once",)),
    ("gim", "points.csv", "video_id,subject\nv0,s0\n", ("points.csv: has no column frame, class",)),
    ("gim", "points.csv", "video_id,subject,frame,class\nv0\n", ("points.csv: line 2: needs video_id and",)),
    ("gim", "points.csv", "video_id,subject,frame,class\nv9,s0,20,macro\n", ("flow/v9.npy: missing",)),
    (
        "gim",
        "expressions.csv",
        "video_id,onset,apex,offset,class\nv0,30,20,10,macro\n",
        ("expressions.csv", "v0"),
    ),
]


SYSTEMS += [
    ("cten", "split_train.txt", "", ("split_train.txt: missing or empty",)),
    ("cten", "split_test.txt", "v1\nv2\n", ("split_train.txt: v2 is in split_test.txt as well",)),
    (
        "gim",
        "points.csv",
        "video_id,subject,frame,class\nv0,s0,20,macro\nv0,s1,50,micro\n",
        ("points.csv: line 3: v0 is of s1, but of s0 before",),
    ),
    (
        "gim",
        "expressions.csv",
        "video_id,onset,apex,offset,class\nv00,10,20,30,macro\n",
        ("expressions.csv: v00: not in points.csv",),
    ),
]


@pytest.mark.parametrize(("task", "name", "content", "said"), SYSTEMS)
def test_wrong_files_of_the_other_systems(
    tmp_path: Path, sentiloc: Sentiloc, task: str, name: str, content: str, said: tuple[str, ...]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (emotion_folder if task == "cten" else flow_folder)(folder)
    (folder / name).write_text(content, encoding="utf-8")
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run", "--task", task, *SYSTEM_QUICK[task])
    assert code == 1
    assert all(part in errors for part in said), errors
    assert "Error" not in errors


EMPTY = [
    array(f"{stream}/v0.npy", np.zeros((0, *shape)))
    for stream, shape in (("img", (4,)), ("logmfcc", (8, 6)), ("present", (3,)))
]


def emptied(folder: Path) -> None:
    for change in EMPTY:
        change(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (array("img/v0.npy", np.zeros((12, 5))), "img/v0.npy: face of v0 has shape (12, 5), needs (T, 4)"),
        (array("logmfcc/v0.npy", np.zeros((12, 4, 6))), "audio of v0 has shape (12, 4, 6), needs (T, 8, 6)"),
        (array("logmfcc/v0.npy", np.zeros((12, 6, 8))), "audio of v0 has shape (12, 6, 8), needs (T, 8, 6)"),
        (remove("features/train/logmfcc/v0.npy"), "audio of v0 is missing, needs (T, 8, 6)"),
        (array("img/v0.npy", np.zeros(())), "img/v0.npy: contains one number, not a row for each snippet"),
        (emptied, "present/v0.npy: has no snippet; a video has at least one"),
    ],
    ids=["width", "frames", "turned", "missing", "one number", "empty"],
)
@pytest.mark.parametrize("task", ["cten", "fsenet"])
def test_extracted_features_of_a_wrong_shape_are_named(
    tmp_path: Path, sentiloc: Sentiloc, task: str, change: Change, said: str
) -> None:
    emotion_folder(tmp_path)
    (tmp_path / "point_label.csv").write_text("video_id,point,class_index\nv0,100,1\n", encoding="utf-8")
    change(tmp_path)
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--task", task, *QUICK)
    assert (code, said in errors, "Error" in errors) == (1, True, False), errors


def test_flow_without_a_frame_is_named(tmp_path: Path, sentiloc: Sentiloc) -> None:
    flow_folder(tmp_path)
    (tmp_path / "points.csv").open("a", encoding="utf-8").write("v3,s1,,\n")
    np.save(tmp_path / "flow" / "v3.npy", np.zeros((0, FLOW.dim), np.float32))
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--task", "gim")
    assert (code, "flow/v3.npy: (0, 8), needs (T, 8) with T of at least 1" in errors) == (1, True), errors


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path, sentiloc: Sentiloc) -> None:
    """Spreadsheets write one before "CSV UTF-8"."""
    folder = published_folder(tmp_path / "data")
    for name in ("point_label.csv", "split_train.txt", "fps_dict.json", GT):
        coded(name, "utf-8-sig")(folder)
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run", *QUICK, "--val-fraction", 0.25)
    assert code == 0, errors


@pytest.mark.parametrize("task", ["cten", "gim"])
def test_features_that_are_not_finite_are_named(tmp_path: Path, sentiloc: Sentiloc, task: str) -> None:
    (emotion_folder if task == "cten" else flow_folder)(tmp_path)
    path = tmp_path / ("features/train/logmfcc/v0.npy" if task == "cten" else "flow/v0.npy")
    np.save(path, np.full_like(np.load(path), np.nan))
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--task", task, *SYSTEM_QUICK[task])
    assert (code, errors) == (1, f"sentiloc: {path}: contains values that are not finite\n")


def test_wrong_runs_and_outputs_are_named(tmp_path: Path, sentiloc: Sentiloc) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    options = (*QUICK, "--val-fraction", 0.25, *QUICKLY_EXPORTED)
    assert sentiloc("train", folder, "-o", run, *options)[0] == 0
    emotions = tmp_path / "emotions"
    emotions.mkdir()
    emotion_folder(emotions)
    assert sentiloc("train", emotions, "-o", tmp_path / "cten", "--task", "cten", *QUICK)[0] == 0
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (tmp_path / "damaged.pt").write_bytes(b"xx")
    flow = tmp_path / "flow"
    flow.mkdir()
    flow_folder(flow)
    wrong: list[tuple[tuple[object, ...], str]] = [
        (("train", folder, "-o", tmp_path / "file", *options), "/file: File exists"),
        (("train", flow, "-o", tmp_path / "no", *options), "flow/spec.json: the folder contains the flow of"),
        (
            ("train", folder, "-o", tmp_path / "no", *options, "--from", tmp_path / "cten"),
            "cten/best.pt: a network of the task emotion, not an FSENet",
        ),
        (("evaluate", tmp_path / "damaged.pt"), "damaged.pt: not a checkpoint, or damaged"),
        (("export", folder / GT, tmp_path / "package"), f"{GT}: not a checkpoint, or damaged"),
        (("export", run, tmp_path / "file"), "/file: File exists"),
        (("extract", folder / GT, "-o", folder), "data: contains features of unknown origin"),
        (("labels", "ekman-6", tmp_path / "damaged.pt", folder), "damaged.pt: line 1: no video and one of"),
    ]
    for words, said in wrong:
        code, _, errors = sentiloc(*words)
        assert (code, said in errors, "Error" in errors) == (1, True, False), (words, errors)
    (run / "best.pt").unlink()
    code, _, errors = sentiloc("export", run, tmp_path / "package")
    assert (code, "best.pt: missing; last.pt, the last epoch, is used" in errors) == (0, True), errors


def test_flow_is_needed(tmp_path: Path, sentiloc: Sentiloc) -> None:
    write_spec(tmp_path, replace(expression_spec("flow", "1"), flow=FLOW))
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--task", "gim")
    assert code == 1
    assert "points.csv: missing" in errors
