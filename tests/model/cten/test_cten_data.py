"""Inputs, folders and splits of the benchmarks, hand-computed detection, and training with one label per video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.cten.benchmarks import (
    BENCHMARKS,
    make_split,
    read_class_folders,
    read_folder_splits,
    read_label_list,
    read_segments,
)
from sentiloc.model.cten.detect import EmotionScores, EmotionSpan, detection_map, emotion_spans, span_class
from sentiloc.model.cten.inputs import modality_dims, segment_inputs, segment_slices
from sentiloc.model.cten.items import EmotionItem, drawn
from sentiloc.model.cten.network import CTENConfig
from sentiloc.model.cten.synthetic import PlantedEmotions, planted_emotions
from sentiloc.model.cten.training import CTENTrainConfig, accuracy, detection, train_cten
from sentiloc.model.errors import SentilocError
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec, VisualStream


def test_streams_become_two_modalities_of_bounded_length() -> None:
    spec = ModelSpec(
        name="a", version="1", visual=None, audio=AudioStream(frames=2, mels=3), face=FaceStream(dim=4)
    )
    present = np.array([True, True, False, True, True])
    features = SnippetFeatures(
        visual=None,
        audio=np.arange(30, dtype=np.float32).reshape(5, 2, 3),
        face=np.ones((5, 4), np.float32),
        visual_present=~present,
        audio_present=present,
        face_present=present,
    )
    inputs = segment_inputs(features, spec, most=3)
    assert modality_dims(spec) == (4, 6)
    assert inputs.snippets == 2
    assert inputs.visual[:, 0].tolist() == [1.0, 0.5, 1.0]
    assert inputs.audio[0].tolist() == [4.5, 5.5, 6.5, 1.5, 1.5, 1.5]
    resnets = ModelSpec(
        name="b",
        version="1",
        visual=VisualStream(extractor="resnet3d-101", dim=2048),
        audio=AudioStream(frames=1, mels=2048),
        face=None,
    )
    assert modality_dims(resnets) == (2048, 2048)
    with pytest.raises(SentilocError):
        modality_dims(replace(spec, audio=None))


@pytest.mark.parametrize("snippets", [1, 3, 7, 10, 11, 15, 24, 39])
def test_ten_equal_segments_hold_each_snippet_by_its_middle(snippets: int) -> None:
    """Section 4.2, by times: segment i is from i S / 10 to (i + 1) S / 10."""
    parts = segment_slices(snippets, 10)
    for index, part in enumerate(parts):
        low, high = index * snippets / 10, (index + 1) * snippets / 10
        inside = [n for n in range(snippets) if low <= n + 0.5 < high]
        assert list(range(snippets))[part] == (inside or [int((low + high) / 2)])
    if snippets >= 10:
        assert [n for part in parts for n in range(snippets)[part]] == list(range(snippets))


def test_a_picture_of_each_segment_is_drawn_and_its_sound_is_whole() -> None:
    spec = ModelSpec(
        name="a", version="1", visual=None, audio=AudioStream(frames=1, mels=1), face=FaceStream(dim=1)
    )
    column = np.arange(30, dtype=np.float32)[:, None]
    present = np.ones(30, bool)
    features = SnippetFeatures(
        visual=None,
        audio=column[:, None],
        face=column,
        visual_present=~present,
        audio_present=present,
        face_present=present,
    )
    inputs = segment_inputs(features, spec, segments=10)
    assert inputs.visual[:, 0].tolist() == inputs.audio[:, 0].tolist() == list(range(1, 30, 3))
    assert (inputs.snippets, inputs.choices is not None) == (3.0, True)
    item = EmotionItem(
        name="v",
        visual=inputs.visual,
        audio=inputs.audio,
        class_index=0,
        segment_seconds=1.92,
        choices=inputs.choices,
    )
    pictures = np.array([drawn(item, np.random.default_rng(seed)).visual[:, 0] for seed in range(40)])
    assert all(set(found) == {3 * i, 3 * i + 1, 3 * i + 2} for i, found in enumerate(pictures.T.tolist()))
    assert drawn(replace(item, choices=None), np.random.default_rng(0)).visual is item.visual
    network = CTENConfig(visual_dim=1, audio_dim=1, classes=2, width=4, segments=5)
    with pytest.raises(SentilocError, match="v: 10 segments, and the network takes 5"):
        train_cten(CTENTrainConfig(network=network), [item])


def test_class_folders_lists_and_splits(tmp_path: Path) -> None:
    for split, emotion, name in (
        ("train", "Happy", "a.avi"),
        ("test", "Sad", "b.avi"),
        ("validation", "Sad", "c.avi"),
    ):
        (tmp_path / split / emotion).mkdir(parents=True)
        (tmp_path / split / emotion / name).touch()
    labels = read_class_folders(tmp_path)
    assert labels == {"train/Happy/a": "joy", "test/Sad/b": "sadness", "validation/Sad/c": "sadness"}
    assert read_folder_splits(labels) == {
        "train": ["train/Happy/a"],
        "val": ["validation/Sad/c"],
        "test": ["test/Sad/b"],
    }
    listed = tmp_path / "list.txt"
    listed.write_text("joy/x.mp4 3\nfear/y.mp4,Fear\n", encoding="utf-8")
    assert read_label_list(listed, BENCHMARKS["ekman-6"].classes) == {"joy/x": "joy", "fear/y": "fear"}
    listed.write_text("joy/x.mp4 9\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="line 1"):
        read_label_list(listed, BENCHMARKS["ekman-6"].classes)
    listed.write_text("x.mp4 joy\nx.mp4 happy\nx.mp4 fear\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="line 3: x is fear, but joy before"):
        read_label_list(listed, BENCHMARKS["ekman-6"].classes)


def test_names_in_label_lists_may_contain_spaces_commas_and_dots(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text('ep 1.1 joy\nep 1.2.mp4\tfear\n"one, two.MP4",sad\n./three.mov, 0\n', encoding="utf-8")
    classes = BENCHMARKS["ekman-6"].classes
    assert read_label_list(listed, classes) == {
        "ep 1.1": "joy",
        "ep 1.2": "fear",
        "one, two": "sadness",
        "three": "anger",
    }
    for line in ("x.mp4 ²", "joy", "x.mp4;joy"):
        listed.write_text(line, encoding="utf-8")
        with pytest.raises(SentilocError, match="line 1"):
            read_label_list(listed, classes)


@pytest.mark.parametrize("row", ["a,1,inf", "a,1_0,2_0", ",1,2", "a,0,5,2,5", 'a,"0,5",2', 'a,0,"2'])
def test_segments_that_are_not_what_is_meant_are_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "emotion_segments.csv"
    path.write_text(f"video_id, start, end\nb , 1.5, 2\n,,\n{row}\n", encoding="utf-8-sig")
    with pytest.raises(SentilocError, match="line 4"):
        read_segments(path)
    path.write_text("video_id, start, end\r\nb , 1.5, 2\r\n,,\r\n", encoding="utf-8-sig")
    assert read_segments(path) == {"b": ((1.5, 2.0),)}


def test_columns_of_a_table_are_unambiguous(tmp_path: Path) -> None:
    path = tmp_path / "emotion_segments.csv"
    path.write_text("video_id,start,end,start\na,1,2,0\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="column start more than once"):
        read_segments(path)
    path.write_text("video_id;start;end\na;1;2\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="separated by ';': save it with commas"):
        read_segments(path)


def test_splits_have_the_benchmarks_shares_and_differ_by_run() -> None:
    labels = {f"v{i}": BENCHMARKS["videoemotion-8"].classes[i % 8] for i in range(240)}
    first, second = (make_split(labels, BENCHMARKS["videoemotion-8"], run) for run in (0, 1))
    assert (len(first["train"]), len(first["val"]), len(first["test"])) == (160, 0, 80)
    assert first == make_split(labels, BENCHMARKS["videoemotion-8"], 0) != second
    assert not {*first["train"]} & {*first["test"]}
    halves = make_split(labels, BENCHMARKS["ekman-6"], 0)
    assert len(halves["train"]) == len(halves["test"]) == 120


def test_a_stretch_is_found_and_named() -> None:
    attention = np.zeros((12, 2))
    attention[3:8] = 1.0
    segments = np.tile([0.8, 0.2], (12, 1))
    segments[3:8] = (0.1, 0.9)
    scores = EmotionScores(video=np.array([0.2, 0.8]), segments=segments, attention=attention)
    best = emotion_spans(scores)[0]
    assert (best.start, best.stop) == (2, 9), "smoothing takes in one segment on either side"
    assert span_class(scores, best) == 1


def test_detection_is_right_whatever_the_emotion() -> None:
    found = {"a": [EmotionSpan(0.9, 0, 4), EmotionSpan(0.5, 10, 12)], "b": [EmotionSpan(0.8, 5, 6)]}
    truth = {"a": [(0.0, 8.0)], "b": [(0.0, 2.0)]}
    figures = detection_map(found, truth, {"a": 1.0, "b": 1.0})
    assert figures == {0.1: 0.5, 0.2: 0.5, 0.3: 0.5, 0.4: 0.5, 0.5: 0.5}
    wide = detection_map({"a": [EmotionSpan(0.9, 0, 2)], "b": []}, truth, {"a": 1.0, "b": 1.0})
    assert (wide[0.2], wide[0.3]) == (0.5, 0.0)


def test_emotions_are_learned_from_one_label_per_video() -> None:
    world = PlantedEmotions(classes=3, visual_dim=24, audio_dim=16, ambiguous=0.2)
    network = CTENConfig(visual_dim=24, audio_dim=16, classes=3, width=16)
    config = replace(CTENTrainConfig(network=network).quick(), epochs=12, learning_rate=3e-3)
    result = train_cten(config, planted_emotions(world, 96, "train"))
    test = planted_emotions(world, 40, "test")
    assert result.losses[-1] < result.losses[0]
    assert accuracy(result.network, test) >= 0.7
    assert detection(result.network, test)[0.1] >= 0.5
