"""Flow of moving pictures, annotation tables, hand-computed F1, and training with points alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sentiloc.model.errors import SentilocError
from sentiloc.model.gim.annotations import LAYOUTS, draw_points, read_expressions
from sentiloc.model.gim.datasets import load_expression_items
from sentiloc.model.gim.evaluation import evaluate_items
from sentiloc.model.gim.flow import block_flow, stack_flows
from sentiloc.model.gim.folder_labels import write_labels
from sentiloc.model.gim.items import Expression, ExpressionItem
from sentiloc.model.gim.labels import MACRO, MICRO, Point, PseudoLabels
from sentiloc.model.gim.network import GIM, GIMConfig
from sentiloc.model.gim.spotting import (
    DEFAULT_RULE,
    Counts,
    SpottedExpression,
    count_matches,
    interval_iou,
    spot,
    video_counts,
)
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig, _Run, apex_errors, train_gim
from sentiloc.model.spec import FlowStream


def picture() -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 60, (96, 96))
    return cv2.GaussianBlur(noise, (0, 0), 2.0)


def moved(image: np.ndarray, x: float, y: float, rows: slice, columns: slice) -> np.ndarray:
    """The picture with one block displaced by (x, y) pixels and the whole by (2, -1), as a head moves."""
    height, width = image.shape
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    shift = np.zeros((2, height, width), np.float32)
    shift[:, rows, columns] = np.array([x, y], np.float32)[:, None, None]
    shift = np.stack([cv2.GaussianBlur(part, (0, 0), 2.0) for part in shift])
    warped = cv2.remap(
        image.astype(np.float32),
        grid_x - shift[0] - 2,
        grid_y - shift[1] + 1,
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_REFLECT,
    )
    return np.clip(warped, 0, 255).astype(np.uint8)


def test_a_block_that_moves_is_seen_and_the_heads_motion_is_not() -> None:
    image = picture()
    before = np.clip(image, 0, 255).astype(np.uint8)
    after = moved(image, 1.5, 0.0, slice(32, 64), slice(32, 64))
    flow = block_flow(before, after, 3).reshape(3, 3, 2)
    assert flow[1, 1] == pytest.approx([1.5, 0.0], abs=0.4)
    assert np.abs(flow[[0, 0, 2, 2], [0, 2, 0, 2]]).max() < 0.4


def test_flow_is_relative_to_the_previous_frame() -> None:
    image = picture()
    still = np.clip(image, 0, 255).astype(np.uint8)
    smiling = moved(image, 0.0, 1.5, slice(64, 96), slice(32, 64))
    faces = [still, still, smiling, smiling]
    first = np.zeros(18, np.float32)
    flow = np.stack([first, *(block_flow(*pair, 3) for pair in pairwise(faces))])
    strength = np.abs(flow).max(axis=1)
    assert strength[2] > 1.0 > 5 * max(strength[1], strength[3])
    stacked = stack_flows(flow, 1)
    assert np.array_equal(stacked[1, 18:], flow[2])
    assert not stacked[-1, 18:].any()


def test_longer_flow_is_the_sum_of_the_short_on_the_way() -> None:
    displacement = np.array([0.0, 1.0, 3.0, 6.0, 6.0], np.float32)
    flow = np.diff(displacement, prepend=0.0).astype(np.float32)[:, None]
    stacked = stack_flows(flow, 1, 2)
    assert np.array_equal(stacked[:, :2], stack_flows(flow, 1))
    assert stacked[:, 2].tolist() == [0.0, 1.0, 3.0, 5.0, 3.0]
    assert stacked[:, 3].tolist() == [3.0, 5.0, 3.0, 0.0, 0.0]
    assert not stack_flows(flow[:2], 3, 2)[:, [1, 3]].any()


def test_annotation_tables_are_read_thinned_and_completed(tmp_path: Path) -> None:
    samm = tmp_path / "samm.csv"
    samm.write_text(
        "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units\n"
        "6,006_1,1,700,749,840,140,Macro,4\n6,006_1,1,70,84,140,70,Micro - 1/2,12\n",
        encoding="utf-8",
    )
    videos = read_expressions(samm, LAYOUTS["samm-lv"])
    assert [(v.subject, v.name) for v in videos] == [("6", "006_1")]
    assert videos[0].expressions == (Expression(10, 12, 20, MICRO), Expression(100, 107, 120, MACRO))
    assert LAYOUTS["samm-lv"].thinned_rate == pytest.approx(200 / 7)
    casme = tmp_path / "casme.csv"
    casme.write_text(
        "Subject,Video code,onset,apex,offset,type\ns1,anger1,10,20,0,macro-expression\n", encoding="utf-8"
    )
    assert read_expressions(casme, LAYOUTS["casme2"])[0].expressions == (Expression(10, 20, 30, MACRO),)
    casme3 = tmp_path / "casme3.csv"
    casme3.write_text("Subject,Filename,Onset,Apex,Offset\nspNO.1,a,10,0,20\n", encoding="utf-8")
    assert read_expressions(casme3, LAYOUTS["casme3"])[0].expressions == (Expression(10, 15, 20, MICRO),)
    casme.write_text("Subject,Video code,onset,apex,offset,type\ns1,anger1,10,5,30,macro\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="line 2"):
        read_expressions(casme, LAYOUTS["casme2"])


def test_tables_are_read_in_the_form_that_they_are_published_in(tmp_path: Path) -> None:
    samm = tmp_path / "samm.csv"
    samm.write_text(
        "SAMM Long Videos,,,,,,,,,\n,,,,,,,,,\n"
        "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes\n"
        '6,006_1_2,1,700,749,840,141,Macro,"4,7",\n6,006_1_1,1,70,84,140,71,Micro - 1/2,12,\n,,,,,,,,,\n',
        encoding="utf-8",
    )
    (video,) = read_expressions(samm, LAYOUTS["samm-lv"], 30.0)
    assert (video.file, video.subject) == ("006_1", "6")
    assert video.expressions == (Expression(10, 12, 21, MICRO), Expression(105, 112, 126, MACRO))
    casme = tmp_path / "casme2.csv"
    casme.write_text(
        "1,anger1_1,557,572,608,4+10,negative,macro-expression,anger\n"
        "1,anger1_2,2854,2862,2871,4,negative,micro-expression,anger\n",
        encoding="utf-8",
    )
    (video,) = read_expressions(casme, LAYOUTS["casme2"])
    assert (video.file, video.name) == ("1_anger1", "anger1")
    assert video.expressions == (Expression(557, 572, 608, MACRO), Expression(2854, 2862, 2871, MICRO))
    samm.write_text("Subject,Filename\n6,006_1\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="no column onset"):
        read_expressions(samm, LAYOUTS["samm-lv"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("6,006_1,3.5,4,5,Macro", "onset '3.5' is not a number of a frame"),
        ("6,006_1,inf,4,5,Macro", "onset 'inf'"),
        ("6,006_1,3,1e400,5,Macro", "apex '1e400'"),
        ("6,006_1,3,1_0,5,Macro", "apex '1_0'"),
        ("6,006_1,,4,5,Macro", "no value for onset"),
        ("6,006_1,3,4,5,macro or micro", "not one of macro and micro"),
        ("6,006_1,3,4,5,Macro,1,2", "8 cells, but 6 columns"),
        ('6,006_1,3,4,5,"Macro', "unexpected end of data"),
    ],
)
def test_what_a_table_cannot_mean_is_refused(tmp_path: Path, row: str, message: str) -> None:
    samm = tmp_path / "samm.csv"
    samm.write_text(
        f"Subject,Filename,Onset,Apex,Offset,Type\n6,006_1,3.0,4,5,Macro\n{row}\n", encoding="utf-8"
    )
    with pytest.raises(SentilocError, match="line 3") as raised:
        read_expressions(samm, LAYOUTS["samm-lv"])
    assert message in raised.value.detail


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Subject,Filename,Onset,Apex,Offset,Type,Onset Frame", "column onset"),
        ("Subject;Filename;Onset;Apex;Offset;Type", "separated by ';'"),
    ],
)
def test_columns_of_a_sheet_are_unambiguous(tmp_path: Path, header: str, message: str) -> None:
    samm = tmp_path / "samm.csv"
    samm.write_text(f"{header}\n6,006_1,3,4,5,Macro,9\n", encoding="utf-8")
    with pytest.raises(SentilocError, match=message):
        read_expressions(samm, LAYOUTS["samm-lv"])


def test_a_table_labels_the_flow_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "flow").mkdir()
    for name, length in (("1_anger1", 700), ("1_calm1", 90), ("2_joy1", 300)):
        np.save(tmp_path / "flow" / f"{name}.npy", np.zeros((length, 8), np.float32))
    table = tmp_path / "casme2.csv"
    rows = ["1,anger1_1,557,572,608,4,negative,macro-expression", "2,joy1_1,290,296,310,12,positive,macro"]
    table.write_text("\n".join([*rows, "3,joy1_1,1,2,3,12,positive,micro"]) + "\n", encoding="utf-8")
    assert write_labels(tmp_path, read_expressions(table, LAYOUTS["casme2"]), seed=0) == ["3_joy1"]
    items = load_expression_items(tmp_path, FlowStream(grid=2))
    assert [(item.name, item.subject, len(item.points)) for item in items] == [
        ("1_anger1", "1", 1),
        ("1_calm1", "1", 0),
        ("2_joy1", "2", 1),
    ]
    assert items[2].expressions == (Expression(290, 296, 299, MACRO),)
    table.write_text("1,calm1_1,100,110,120,4,negative,macro-expression\n", encoding="utf-8")
    with pytest.raises(SentilocError, match="frame 100 of 90"):
        write_labels(tmp_path, read_expressions(table, LAYOUTS["casme2"]), seed=0)


def test_points_lie_in_their_expressions_and_repeat() -> None:
    expressions = [Expression(10, 20, 30, MACRO), Expression(50, 51, 53, MICRO)]
    points = draw_points(expressions, seed=3)
    assert points == draw_points(expressions, seed=3)
    for point, expression in zip(points, expressions, strict=True):
        assert expression.onset <= point.frame <= expression.offset
        assert point.class_index == expression.class_index


def test_an_apex_is_compared_with_that_of_its_own_expression() -> None:
    """Files of points and of expressions may have different orders, and expressions without a point."""
    truth = (Expression(0, 3, 6, MACRO), Expression(10, 14, 18, MICRO), Expression(20, 25, 30, MACRO))
    points = (Point(24, MACRO), Point(13, MICRO), Point(19, MICRO))
    item = ExpressionItem(
        name="v", subject="s", flow=np.zeros((40, 2), np.float32), points=points, expressions=truth
    )
    nothing = torch.zeros(40, 2)
    labels = PseudoLabels(
        labels=nothing, expression=nothing > 0, neutral=nothing[:, 0] > 0, apexes=[27, 14, 19]
    )
    assert apex_errors(item, labels) == [2.0, 0.0]


def test_class_wise_labels_train_with_the_means_of_all_videos() -> None:
    """They are made anew in each epoch of the third stage, by the network as the epoch finds it."""
    items = planted_expressions(PlantedExpressions(grid=2, frames=(120, 140)), 1, 2)
    items.append(replace(items[0], name="neutral", points=(), expressions=()))
    config = GIMTrainConfig(network=GIMConfig(inputs=items[0].flow.shape[1], width=8))
    config = replace(config, labels=replace(config.labels, stages=(1, 1, 2), strategy="class-wise"))
    run = _Run(config, GIM(config.network), items)
    run.epoch(1)
    assert run.class_means == {}
    with torch.no_grad():
        features = [run.network.eval()(torch.from_numpy(item.flow)[None]).features[0] for item in items]
    for kind in (MACRO, MICRO):
        own = [(i, p.frame) for i, item in enumerate(items) for p in item.points if p.class_index == kind]
        wanted = torch.stack([features[index][frame] for index, frame in own]).mean(0)
        if kind == MACRO:
            assert np.isfinite(run.epoch(2)["total"])
        assert torch.allclose(run.class_means[kind], wanted, atol=1e-6)


def test_f1_counts_each_expression_once_and_by_class() -> None:
    assert interval_iou(0, 9, 5, 14) == pytest.approx(5 / 15)
    assert interval_iou(3, 3, 3, 3) == 1.0
    counts = count_matches([(0, 9, 0.5), (0, 9, 0.9), (40, 49, 0.8)], [(0, 9), (100, 110)])
    assert counts == Counts(1, 3, 2)
    assert counts.f1 == pytest.approx(2 / 5)
    found = [SpottedExpression(0, 5, 9, MACRO, 0.9), SpottedExpression(20, 22, 25, MICRO, 0.9)]
    rows = video_counts(found, [(0, 9, MICRO), (20, 25, MICRO)])
    assert (rows["macro"], rows["micro"], rows["overall"]) == (
        Counts(0, 1, 0),
        Counts(1, 1, 2),
        Counts(1, 2, 2),
    )


def test_of_a_plateau_the_middle_is_the_apex() -> None:
    intensity = np.zeros(60)
    intensity[20:31] = 1.0
    assert [row.apex for row in spot(intensity, np.ones((60, 2)) * (0.9, 0.1))] == [25]


def test_nms_is_class_wise_by_default() -> None:
    frames = np.arange(80.0)
    intensity = 0.5 * np.exp(-((frames - 40) ** 2) / 200) + 0.5 * np.exp(-((frames - 40) ** 2) / 8)
    actions = np.stack([np.full(80, 0.6), np.full(80, 0.7)], axis=1)
    found = spot(intensity, actions)
    assert [row.class_index for row in found] == [MACRO, MICRO]
    assert len(spot(intensity, actions, replace(DEFAULT_RULE, class_wise=False))) == 1


def test_bursts_of_intensity_become_expressions_of_their_class() -> None:
    frames = np.arange(200.0)
    intensity = 0.9 * np.exp(-((frames - 60) ** 2) / 128) + 0.7 * np.exp(-((frames - 140) ** 2) / 18)
    actions = np.stack([1.0 * (frames < 100), 1.0 * (frames >= 100)], axis=1)
    found = spot(intensity, actions)
    assert [(row.apex, row.class_index) for row in found] == [(60, MACRO), (140, MICRO)]


def test_expressions_are_learned_from_points_alone() -> None:
    world = PlantedExpressions(grid=4, blinks=1.0, jerks=0.0)
    items = planted_expressions(world, 2, 5)
    config = GIMTrainConfig(network=GIMConfig(inputs=items[0].flow.shape[1], width=16)).quick()
    config = replace(config, labels=replace(config.labels, stages=(1, 3, 10)), learning_rate=3e-3)
    result = train_gim(config, items[:7])
    assert result.losses[-1] < result.losses[0]
    assert evaluate_items(result.network, items[7:])["overall"].f1 >= 0.5
