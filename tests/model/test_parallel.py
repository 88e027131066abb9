"""Several processes train as one does: the same weights from the same global batches, one log, one checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sentiloc.model.training.checkpoint import load_checkpoint
from sentiloc.model.training.parallel import from_first, own_rows, share, stacked, total
from tests.model.parallel_runs import BATCHES, SYSTEMS

ROOT = Path(__file__).parents[2]


def launch(folder: Path, processes: int) -> Path:
    """Run `parallel_runs` in several real processes."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    done = subprocess.run(
        [*command, "-m", "tests.model.parallel_runs", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("done\n") == 1, "the first process alone says something"
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return launch(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return launch(tmp_path_factory.mktemp("two"), 2)


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("supervision", "videos"), BATCHES)
def test_two_processes_have_the_gradients_of_one(one: Path, two: Path, supervision: str, videos: int) -> None:
    alone, together = (torch.load(folder / f"{supervision}-{videos}.gradients") for folder in (one, two))
    assert alone.keys() == together.keys()
    largest = max(float(x.abs().max()) for x in alone.values())
    for name in alone:
        torch.testing.assert_close(together[name], alone[name], rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_end_with_the_weights_of_one(one: Path, two: Path, system: str) -> None:
    alone, together = (log(folder / system) for folder in (one, two))
    assert [row.keys() for row in alone] == [row.keys() for row in together]
    for mine, theirs in zip(alone, together, strict=True):
        assert theirs == pytest.approx(mine, rel=1e-3, abs=1e-3)
    for file in (path.name for path in (one / system).glob("*.pt")):
        first, second = (load_checkpoint(folder / system / file)["weights"] for folder in (one, two))
        for name in first:
            # Adam's first steps have the size of the learning rate, 1e-3, even if a gradient is only rounding noise.
            torch.testing.assert_close(second[name], first[name], rtol=0, atol=0.01)


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_that_were_stopped_go_on_to_the_same_bits(two: Path, system: str) -> None:
    whole, resumed = (
        load_checkpoint(two / name / "last.pt")["weights"] for name in (system, f"{system}-resumed")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert log(two / system) == log(two / f"{system}-resumed")


def test_one_process_alone_keeps_everything() -> None:
    x = torch.arange(3.0)
    assert own_rows(5) == range(5)
    assert (share(5), from_first("x")) == (1.0, "x")
    assert torch.equal(total(x), x)
    assert torch.equal(stacked(x), x[None])
