"""Training: it learns, selects on held-out videos, reads only points in point supervision, and survives kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.starter.fit import RECIPE as STARTER
from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.errors import SentilocError
from sentiloc.model.fsenet.batching import collate, epoch_batches
from sentiloc.model.fsenet.checkpoint import load_fsenet
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.recipes import RECIPES, pick_precision
from sentiloc.model.fsenet.scoring import evaluate_items, score_items
from sentiloc.model.fsenet.train import split_items, train
from sentiloc.model.training.checkpoint import load_checkpoint
from tests.model.resumable_runs import train as train_long
from tests.model.tiny_items import TINY_TRAINING, tiny_items
from tests.support.services import PATIENCE

ROOT = Path(__file__).parents[2]


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(path)["weights"]
    return found


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_paper_recipe_has_the_papers_values() -> None:
    recipe = RECIPES["paper"]
    assert (recipe.learning_rate, recipe.weight_decay) == (1e-5, 5e-4)
    assert (recipe.batch_size, recipe.epochs, recipe.network.width) == (16, 600, 512)
    loss = recipe.loss
    assert (loss.lambda1, loss.lambda2, loss.w, loss.beta, loss.tau) == (1.0, 0.05, 7, 0.6, 0.95)
    assert (loss.gamma, loss.k, loss.distance, loss.pseudo_label) == (2.0, 8, "cosine", "full")


def test_the_printed_recipe_is_the_paper_to_the_letter_and_has_its_hyper_parameters() -> None:
    printed, paper = RECIPES["printed"], RECIPES["paper"]
    assert (printed.network.attention, printed.network.position, printed.optimizer) == (
        "plain",
        "none",
        "adam",
    )
    loss = printed.loss
    assert (loss.contrast, loss.prototypes, loss.negatives, loss.temperature) == (
        "own",
        "video",
        "class",
        1.0,
    )
    assert (loss.unit_length, loss.disjoint, loss.add_inside, loss.inside) == (False, False, True, "sum")
    assert (loss.resolve(), loss.focal) == (("paper", "mean"), "usual")
    for name in ("learning_rate", "weight_decay", "batch_size", "epochs", "schedule", "clip"):
        assert getattr(printed, name) == getattr(paper, name)
    for name in ("lambda1", "lambda2", "w", "beta", "tau", "gamma", "k", "distance", "pseudo_label"):
        assert getattr(loss, name) == getattr(paper.loss, name)


def test_every_recipe_has_all_parts() -> None:
    for recipe in RECIPES.values():
        network = recipe.network
        assert (network.stage1, network.stage2, network.gsp, recipe.loss.sc) == (True, True, True, True)
    assert RECIPES["default"] == RECIPES["paper"]
    assert STARTER.loss.sc, "what ships was trained with PSSC, and is built the same again"


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_two_runs_of_a_recipe_with_one_seed_end_in_equal_checkpoints(tmp_path: Path, recipe: str) -> None:
    config = RECIPES[recipe]
    tiny = replace(
        TINY_TRAINING.network,
        attention=config.network.attention,
        position=config.network.position,
        stage2=config.network.stage2,
    )
    config = replace(config, network=tiny, epochs=3, batch_size=4, learning_rate=1e-3, validate_every=1)
    items = tiny_items(10, seed=2)
    torch.use_deterministic_algorithms(True)
    try:
        for name in ("a", "b"):
            train(config, items[:7], items[7:], run_dir=tmp_path / name, device="cpu")
    finally:
        torch.use_deterministic_algorithms(False)
    for file in ("last.pt", "best.pt"):
        assert same(weights(tmp_path / "a" / file), weights(tmp_path / "b" / file))
    assert (tmp_path / "a/log.jsonl").read_text(encoding="utf-8") == (tmp_path / "b/log.jsonl").read_text(
        encoding="utf-8"
    )


def test_training_learns_and_held_out_videos_select_the_best_epoch(tmp_path: Path) -> None:
    items = tiny_items(24, seed=1)
    kept, held_out = split_items(items, 0.25, seed=0)
    config = replace(TINY_TRAINING, epochs=12, validate_every=3, learning_rate=3e-3)
    result = train(config, kept, held_out, run_dir=tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    measured = {record["epoch"]: record["mAP"] for record in log if "mAP" in record}
    assert log[-1]["total"] < log[0]["total"]
    assert sorted(measured) == [2, 5, 8, 11]
    assert result.best_map == max(measured.values()) == measured[result.best_epoch]
    assert evaluate_items(load_fsenet(tmp_path / "run/best.pt"), held_out).average_map == result.best_map
    assert result.best_map > 0.3
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"config.json", "best.pt", "last.pt"}
    assert list((tmp_path / "run/tensorboard").glob("events*"))


def test_two_runs_of_one_seed_are_the_same_and_another_seed_differs(tmp_path: Path) -> None:
    items = tiny_items(8, seed=2)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(replace(TINY_TRAINING, seed=seed), items, [], run_dir=tmp_path / name)
    assert same(weights(tmp_path / "a/last.pt"), weights(tmp_path / "b/last.pt"))
    assert not same(weights(tmp_path / "a/last.pt"), weights(tmp_path / "c/last.pt"))


RUNNER = """
import sys
from pathlib import Path
from tests.model.resumable_runs import train
left = int(sys.argv[2])
def progress(step, steps, losses):
    global left
    print(step, flush=True)
    left -= 1
    if not left:
        sys.stdin.read()
train("fsenet", Path(sys.argv[1]), resume=True, progress=progress)
"""


def start(run: Path, steps: int) -> subprocess.Popen[str]:
    """Train until it has done so many steps: then it stands still."""
    command = [sys.executable, "-c", RUNNER, str(run), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_run_killed_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    train_long("fsenet", tmp_path / "whole")
    killed = 0
    for _ in range(2):
        # On a busy machine it would otherwise reach its end before it is killed.
        process = start(tmp_path / "killed", 12)
        assert process.stdout is not None
        assert process.stdin is not None
        steps = 0
        for line in process.stdout:
            steps += line.strip().isdigit()
            if steps == 7:
                time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                break
        killed += process.wait(timeout=PATIENCE) == -signal.SIGKILL
        process.stdin.close()
        process.stdout.close()
    assert killed == 2
    last: list[int] = []
    train_long("fsenet", tmp_path / "killed", resume=True, progress=lambda step, *_: last.append(step))
    assert last[0] > 8, "the resumed run began at the start"
    for name in ("last.pt", "best.pt"):
        assert same(weights(tmp_path / "whole" / name), weights(tmp_path / "killed" / name))
    logs = [(tmp_path / run / "log.jsonl").read_text(encoding="utf-8") for run in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_a_run_killed_before_its_first_checkpoint_logs_every_epoch_once(tmp_path: Path) -> None:
    config = replace(TINY_TRAINING, epochs=3, checkpoint_seconds=3600.0)
    items = tiny_items(4, seed=0)

    def stop(step: int, steps: int, _losses: dict[str, float]) -> None:
        if step == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, items, [], run_dir=tmp_path, progress=stop)
    assert not (tmp_path / "last.pt").exists()
    train(config, items, [], run_dir=tmp_path, resume=True)
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]


def test_a_folder_with_a_run_is_neither_overwritten_nor_resumed_as_another(tmp_path: Path) -> None:
    items = tiny_items(4, seed=5)
    train(TINY_TRAINING, items, [], run_dir=tmp_path)
    with pytest.raises(SentilocError, match="resume"):
        train(TINY_TRAINING, items, [], run_dir=tmp_path)
    with pytest.raises(SentilocError, match="differs"):
        train(replace(TINY_TRAINING, seed=9), items, [], run_dir=tmp_path, resume=True)


def test_point_supervision_reads_points_and_not_segments() -> None:
    items = tiny_items(6, seed=6)
    moved = [replace(item, segments=(SegmentLabel(0.0, 0.1, 0),)) for item in items]
    shifted = [
        replace(item, points=tuple(point._replace(snippet=point.snippet - 1) for point in item.points))
        for item in items
    ]
    reference = train(TINY_TRAINING, items, []).network.state_dict()
    assert same(reference, train(TINY_TRAINING, moved, []).network.state_dict())
    assert not same(reference, train(TINY_TRAINING, shifted, []).network.state_dict())


def test_video_supervision_reads_neither_places() -> None:
    config = replace(TINY_TRAINING, loss=LossConfig(supervision="video"))
    items = tiny_items(6, seed=6)
    shifted = [
        replace(item, points=tuple(point._replace(snippet=0) for point in item.points)) for item in items
    ]
    first, second = (train(config, data, []).network.state_dict() for data in (items, shifted))
    assert same(first, second)


def test_full_supervision_reads_segments_and_not_points() -> None:
    config = replace(TINY_TRAINING, loss=LossConfig(supervision="full"))
    items = tiny_items(6, seed=6)
    first, second = (
        train(config, data, []).network.state_dict()
        for data in (items, [replace(item, points=()) for item in items])
    )
    assert same(first, second)


@pytest.mark.parametrize(
    "options", [{"gsp": False}, {"stage1": False, "stage2": False}, {"audio_shape": None}]
)
def test_ablated_networks_train(options: dict[str, object]) -> None:
    network = replace(TINY_TRAINING.network, **options)  # type: ignore[arg-type]
    config = replace(TINY_TRAINING, network=network, stream_dropout=0.3, epochs=1)
    assert np.isfinite(train(config, tiny_items(4, seed=7), []).losses["total"])


def test_bf16_trains_to_finite_weights() -> None:
    result = train(replace(TINY_TRAINING, precision="bf16"), tiny_items(4, seed=7), [])
    assert all(torch.isfinite(weight).all() for weight in result.network.state_dict().values())
    assert pick_precision("auto", torch.device("cpu")) in ("fp32", "bf16")


def test_a_loss_that_is_not_finite_stops_training() -> None:
    item = tiny_items(1, seed=8)[0]
    assert item.features.visual is not None
    item.features.visual[0] = np.nan
    with pytest.raises(SentilocError, match="loss is nan"):
        train(TINY_TRAINING, [item], [])


def test_an_empty_training_set_is_an_error() -> None:
    with pytest.raises(SentilocError, match="no training videos"):
        train(TINY_TRAINING, [], [])


def test_scores_do_not_depend_on_the_other_videos_of_a_batch() -> None:
    items = tiny_items(5, seed=9)
    network = train(TINY_TRAINING, items, []).network
    alone = score_items(network, items)
    batch = collate(items, network.config, "point")
    with torch.inference_mode():
        together = network(**batch.inputs()).scores
    for row, item in zip(together, items, strict=True):
        assert np.allclose(row[: len(item.features)].numpy(), alone[item.name].scores, atol=1e-5)


def test_every_item_is_in_one_batch_of_an_epoch_and_buckets_share_lengths() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 50).tolist()
    for bucket in (True, False):
        batches = epoch_batches(lengths, 8, seed=3, epoch=2, bucket=bucket)
        assert sorted(index for batch in batches for index in batch) == list(range(50))
        assert batches == epoch_batches(lengths, 8, seed=3, epoch=2, bucket=bucket)
        assert batches != epoch_batches(lengths, 8, seed=3, epoch=3, bucket=bucket)
    padding = {
        bucket: sum(
            max(lengths[i] for i in batch) * len(batch)
            for batch in epoch_batches(lengths, 8, seed=3, epoch=2, bucket=bucket)
        )
        for bucket in (True, False)
    }
    assert padding[True] < 0.9 * padding[False]


def test_held_out_videos_are_the_same_for_a_seed_and_disjoint() -> None:
    items: list[Item] = tiny_items(20, seed=1)
    kept, held = split_items(items, 0.25, seed=3)
    again = split_items(items[::-1], 0.25, seed=3)
    assert [item.name for item in held] == [item.name for item in again[1]]
    assert len(held) == 5
    assert {item.name for item in kept}.isdisjoint(item.name for item in held)


def test_stream_dropout_never_hides_all_that_a_video_has() -> None:
    batch = collate(tiny_items(6, seed=1), TINY_TRAINING.network, "point")
    hidden = batch.without_streams(0.9, torch.Generator().manual_seed(0))
    for row in range(6):
        assert any(bool(mask[row].any()) for mask in hidden.present.values())
    assert sum(int(mask.sum()) for mask in hidden.present.values()) < sum(
        int(mask.sum()) for mask in batch.present.values()
    )


def test_ignored_snippets_do_not_train() -> None:
    config = replace(TINY_TRAINING, loss=LossConfig(supervision="full"))
    items = tiny_items(4, seed=6)
    ignored = [replace(item, ignored=item.segment_array()[:, 2] == 1) for item in items]
    moved = [replace(item, ignored=np.zeros(len(item.features), bool)) for item in items]
    first, second, third = (train(config, data, []).network.state_dict() for data in (items, moved, ignored))
    assert same(first, second)
    assert not same(first, third)


def test_a_compiled_network_trains_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is captured unchanged; only the generation of machine code, which takes minutes, is skipped."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    ends = []
    for compiled in (False, True):
        # A compiled network draws its dropout by PyTorch's own operation.
        network = replace(TINY_TRAINING.network, dropout=0.0)
        config = replace(TINY_TRAINING, network=network, epochs=1, compile=compiled, precision="fp32")
        ends.append(train(config, tiny_items(6, 0), [], device="cpu").network.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=1e-4, rtol=1e-3)
