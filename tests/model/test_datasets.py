"""Reading features and labels: the published layout in its variants, the extracted one, and every problem
by name.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from sentiloc.model.data.feature_store import (
    has_features,
    read_features,
    read_spec,
    write_features,
    write_spec,
)
from sentiloc.model.data.items import PointLabel, SegmentLabel
from sentiloc.model.data.text import read_json
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.datasets import Problems, folder_config, load_items, read_annotations
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec, VisualStream
from tests.support.shared_files import data_folder

NAMES = ("a", "b")
SNIPPETS = {"a": 20, "b": 13}


def save(folder: Path, stream: str, name: str, array: np.ndarray) -> Path:
    path = folder / "features/train" / stream / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Two videos at 30 fps: I3D and 256-d face per snippet, raw log-mel rows in dB."""
    rng = np.random.default_rng(0)
    for name, time in SNIPPETS.items():
        save(tmp_path, "rgb", name, rng.standard_normal((time, 1024), np.float32))
        save(tmp_path, "img", name, rng.standard_normal((time, 256), np.float32))
        save(tmp_path, "logmfcc", name, rng.uniform(-80, 10, (32 * time + 5, 60)).astype(np.float32))
    (tmp_path / "split_train.txt").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "fps_dict.json").write_text(json.dumps(dict.fromkeys(NAMES, 30.0)), encoding="utf-8")
    segment = {"segment": ["2.0", "4.5"], "label": "p"}
    database = {name: {"subset": "train", "annotations": [segment]} for name in NAMES}
    (tmp_path / "videosenti_gt.json").write_text(json.dumps({"database": database}), encoding="utf-8")
    write_points(tmp_path, ("p,1,60,130,a,100", "n,0,200,210,b,207"))
    return tmp_path


def write_points(folder: Path, rows: tuple[str, ...]) -> None:
    path = folder / "point_gaussian/point_labels.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "\n".join(("class,class_index,start_frame,stop_frame,video_id,point", *rows)) + "\n", encoding="utf-8"
    )


def test_published_features_become_items(published: Path) -> None:
    config = folder_config(published, "train")
    assert (config.visual_dim, config.audio_shape, config.face_dim) == (1024, (32, 60), 256)
    first, second = load_items(published, "train", config)
    assert (len(first.features), len(second.features)) == (20, 13)
    assert first.points == (PointLabel(100 // 16, 1),)
    assert second.points == (PointLabel(207 // 16, 0),)
    assert first.segments == (SegmentLabel(2.0, 4.5, 1),)
    assert first.fps == 30.0
    raw = np.load(published / "features/train/logmfcc/a.npy")
    assert first.features.audio is not None
    assert np.allclose(first.features.audio[3], (raw[96:128] + 50) / 80)


def test_points_alone_decide_where_a_point_is(published: Path) -> None:
    config = folder_config(published, "train")
    before = load_items(published, "train", config)
    write_points(published, ("p,1,0,9999,a,100", "n,0,0,1,b,207"))
    assert [item.points for item in load_items(published, "train", config)] == [
        item.points for item in before
    ]
    write_points(published, ("p,1,60,130,a,116", "n,0,200,210,b,207"))
    assert [item.points for item in load_items(published, "train", config)] != [
        item.points for item in before
    ]


@pytest.mark.parametrize(("width", "face"), [(512, 1024), (768, 256)])
def test_frame_level_and_embedded_files_are_strided_by_16(published: Path, width: int, face: int) -> None:
    for name, time in SNIPPETS.items():
        frames = np.arange(16 * time + 7, dtype=np.float32)[:, None]
        save(published, "logmfcc", name, np.repeat(frames, width, axis=1))
        save(published, "img", name, np.repeat(frames, face, axis=1))
    config = folder_config(published, "train")
    assert (config.audio_shape, config.face_dim) == ((width,), face)
    first = load_items(published, "train", config)[0]
    assert first.features.audio is not None
    assert first.features.face is not None
    assert first.features.audio[:, 0].tolist() == [16.0 * step for step in range(20)]
    assert first.features.face[:, 0].tolist() == [16.0 * step for step in range(20)]


def test_all_frame_level_files_need_the_duration(published: Path) -> None:
    for name, time in SNIPPETS.items():
        for stream, width in (("rgb", 1024), ("logmfcc", 512), ("img", 256)):
            save(published, stream, name, np.zeros((16 * time, width), np.float32))
    durations = {name: 16 * time / 30 for name, time in SNIPPETS.items()}
    (published / "len_duration_dict.json").write_text(json.dumps(durations), encoding="utf-8")
    items = load_items(published, "train", folder_config(published, "train"))
    assert [len(item.features) for item in items] == [20, 13]


def test_a_stream_that_ends_early_is_absent_from_there(published: Path) -> None:
    save(published, "img", "a", np.ones((18, 256), np.float32))
    item = load_items(published, "train", folder_config(published, "train"))[0]
    assert item.features.face_present.tolist() == [True] * 18 + [False] * 2
    assert item.features.visual_present.all()


def test_every_problem_is_in_one_error_by_file_name(published: Path) -> None:
    config = folder_config(published, "train")
    save(published, "rgb", "a", np.zeros((20, 1000), np.float32))
    (published / "features/train/img/a.npy").unlink()
    save(published, "img", "b", np.zeros((40, 256), np.float32))
    with (published / "point_gaussian/point_labels.csv").open("a", encoding="utf-8") as file:
        file.write("p,7,0,0,a,3\n")
    with pytest.raises(SentilocError) as caught:
        load_items(published, "train", config)
    text = str(caught.value)
    assert caught.value.code == ErrorCode.INVALID_DATA
    for part in ("rgb/a.npy: shape (20, 1000)", "img/a.npy: missing", "img/b.npy: 40 snippets", "line 4"):
        assert part in text


@pytest.mark.parametrize(
    ("stream", "array", "message"),
    [
        ("rgb", np.full((20, 1024), np.nan, np.float32), "not finite"),
        ("logmfcc", np.full((20, 32, 60), -60, np.float32), "decibels"),
        ("img", np.zeros((0, 256), np.float32), "shape"),
    ],
)
def test_values_that_would_train_a_wrong_network_are_refused(
    published: Path, stream: str, array: np.ndarray, message: str
) -> None:
    config = folder_config(published, "train")
    save(published, stream, "a", array)
    with pytest.raises(SentilocError, match=message):
        load_items(published, "train", config)


@pytest.mark.parametrize("name", ["Clip.é", "clip.\N{LATIN SMALL LETTER E WITH ACUTE}.mp4", "clip.é"])
def test_labels_of_nearly_a_videos_name_are_refused(published: Path, name: str) -> None:
    """Otherwise the video would train as one without points."""
    config = folder_config(published, "train")
    for path in (published / "features/train").glob("*/b.npy"):
        path.rename(path.with_name("clip.é.npy"))
    (published / "split_train.txt").write_text("a\nclip.é\n", encoding="utf-8")
    rates = json.dumps({"a": 30.0, "clip.é": 30.0})
    (published / "fps_dict.json").write_text(rates, encoding="utf-8")
    write_points(published, ("p,1,60,130,a,100", f"n,0,200,210,{name},207"))
    if name == "clip.é":
        assert len(load_items(published, "train", config)[1].points) == 1
        return
    with pytest.raises(SentilocError, match=f"'{name}' is no video, but nearly 'clip.é'"):
        load_items(published, "train", config)
    # A video of its own is no mistake.
    (published / "split_test.txt").write_text(f"{name}\n", encoding="utf-8")
    assert not load_items(published, "train", config)[1].points


@pytest.mark.parametrize(
    "row", ["p,1,60,130,,100", "p,1,60,130,a,100,7", "p,1,60,130,a,1_0", 'p,1,60,130,"a,100']
)
def test_points_that_are_not_what_is_meant_are_refused(published: Path, row: str) -> None:
    config = folder_config(published, "train")
    write_points(published, ("p,1,60,130,a ,100", row))
    with pytest.raises(SentilocError, match="line 3"):
        load_items(published, "train", config)


def test_torn_files_and_missing_lists_are_named(published: Path) -> None:
    config = folder_config(published, "train")
    path = published / "features/train/rgb/b.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SentilocError, match=r"rgb/b\.npy: not a readable"):
        load_items(published, "train", config)
    (published / "fps_dict.json").unlink()
    with pytest.raises(SentilocError, match=r"fps_dict\.json: no frame rate of a"):
        load_items(published, "train", config)
    with pytest.raises(SentilocError, match=r"split_test\.txt"):
        load_items(published, "test", config)


def test_many_points_of_many_videos_take_no_time_for_each_pair(tmp_path: Path) -> None:
    (tmp_path / "point_gaussian").mkdir()
    rows = [f"v{number % 4000},{number // 4000},1\n" for number in range(40_000)]
    table = "video_id,point,class_index\n" + "".join(rows)
    (tmp_path / "point_gaussian" / "point_labels.csv").write_text(table, encoding="utf-8")
    began = process_time()
    found = read_annotations(tmp_path, None, Problems())
    # Looking for each video's points among all rows takes more than fifteen seconds.
    assert process_time() - began < 5.0
    assert len(found.points) == 4000
    assert found.points["v3"] == tuple((place, 1) for place in range(10))
    assert found.lines["v3"][:2] == (5, 4005)


def test_point_supervision_without_points_is_refused(published: Path) -> None:
    config = folder_config(published, "train")
    (published / "point_gaussian/point_labels.csv").unlink()
    assert len(load_items(published, "train", config)) == 2
    with pytest.raises(SentilocError, match="no point"):
        load_items(published, "train", config, supervision="point")


SPEC = ModelSpec(
    name="tiny",
    version="1",
    visual=None,
    audio=AudioStream(frames=8, mels=6),
    face=FaceStream(dim=4),
)


def extracted(time: int) -> SnippetFeatures:
    rng = np.random.default_rng(time)
    return SnippetFeatures(
        visual=None,
        audio=rng.standard_normal((time, 8, 6), np.float32),
        face=rng.standard_normal((time, 4), np.float32),
        visual_present=np.zeros(time, bool),
        audio_present=rng.random(time) > 0.3,
        face_present=rng.random(time) > 0.3,
    )


def test_extracted_features_come_back_as_they_were(tmp_path: Path) -> None:
    features = extracted(9)
    write_spec(tmp_path, SPEC)
    assert not has_features(tmp_path, "train", "clip.one")
    write_features(tmp_path, "train", "clip.one", features, fps=30.0, duration=5.9)
    write_features(tmp_path, "train", "two", extracted(4), fps=24.0, duration=2.6)
    assert has_features(tmp_path, "train", "clip.one")
    found = read_features(tmp_path, "train", "clip.one")
    assert found.visual is None
    for name in ("audio", "face", "visual_present", "audio_present", "face_present"):
        assert np.array_equal(getattr(found, name), getattr(features, name))
    assert read_spec(tmp_path) == SPEC
    assert (tmp_path / "split_train.txt").read_text(encoding="utf-8").split() == ["clip.one", "two"]
    assert not list(tmp_path.rglob("*.partial"))


def test_extracted_features_become_items_on_the_specs_clock(tmp_path: Path) -> None:
    write_spec(tmp_path, SPEC)
    write_features(tmp_path, "train", "clip", extracted(9), fps=50.0, duration=5.9)
    write_points(tmp_path, ("p,1,0,0,clip,64",))
    config = folder_config(tmp_path, "train", SPEC)
    item = load_items(tmp_path, "train", config, supervision="point")[0]
    assert item.fps == 25.0
    assert item.points == (PointLabel(2, 1),)


def test_features_of_another_spec_are_refused(tmp_path: Path) -> None:
    write_spec(tmp_path, SPEC)
    other = replace(SPEC, visual=VisualStream())
    with pytest.raises(SentilocError) as caught:
        write_spec(tmp_path, other)
    assert caught.value.code == ErrorCode.SPEC_MISMATCH
    with pytest.raises(SentilocError, match=r"spec\.json: features of tiny"):
        folder_config(tmp_path, "train", other)
    write_spec(tmp_path, replace(SPEC, confidence_threshold=0.7))


def test_extracted_features_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_spec(tmp_path, SPEC)
    write_features(tmp_path, "train", "clip", extracted(9), fps=25.0)
    np.save(tmp_path / "features/train/img/clip.npy", np.zeros((9, 5), np.float32))
    with pytest.raises(SentilocError, match="face of clip has shape"):
        load_items(tmp_path, "train", folder_config(tmp_path, "train"))
    np.save(tmp_path / "features/train/img/clip.npy", np.zeros((8, 4), np.float32))
    with pytest.raises(SentilocError, match="disagree on time"):
        load_items(tmp_path, "train", folder_config(tmp_path, "train"))


def test_the_real_tsl300_annotations_are_read_whole() -> None:
    problems = Problems()
    labels = read_annotations(data_folder("tsl300"), None, problems)
    assert not problems.found
    assert sum(len(points) for points in labels.points.values()) == 1227
    assert len(labels.points) == 200
    assert sum(len(segments) for segments in labels.segments.values()) == 1642
    assert len(labels.fps) == len(labels.durations) == 300


def test_a_repeated_key_among_very_many_is_found_at_once(tmp_path: Path) -> None:
    """A search of all keys for each key took minutes for a hundred thousand of them."""
    pairs = ",".join(f'"v{number}": []' for number in range(60_000))
    (tmp_path / "gt.json").write_text(f'{{{pairs},"v59999": []}}', encoding="utf-8")
    started = process_time()
    with pytest.raises(SentilocError, match=r"gt\.json: 'v59999' is there more than once"):
        read_json(tmp_path / "gt.json")
    assert process_time() - started < 5
