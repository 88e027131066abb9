"""A killed training of CTEN or GIM resumes and ends with the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sentiloc.model.errors import SentilocError
from sentiloc.model.gim.leave_one_out import leave_one_subject_out
from sentiloc.model.gim.synthetic import planted_expressions
from sentiloc.model.gim.training import train_gim
from sentiloc.model.training.checkpoint import load_checkpoint, save_atomic
from sentiloc.model.training.epochs import EpochRun
from sentiloc.model.training.run_folder import RunFolder
from tests.model.resumable_runs import FACES, GIM_RUN, train

ROOT = Path(__file__).parents[2]


def killed_at(folder: Path, system: str, step: int) -> None:
    command = [sys.executable, "-m", "tests.model.resumable_runs", str(folder), system, str(step)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(step)
        process.kill()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("system", "step"), [("cten", 11), ("gim", 4)])
def test_a_run_killed_and_resumed_ends_with_the_same_weights(tmp_path: Path, system: str, step: int) -> None:
    whole = train(system, tmp_path / "whole")
    killed_at(tmp_path / "killed", system, step)
    stopped = len(load_checkpoint(tmp_path / "killed/last.pt")["history"])
    assert stopped == 3, "the kill came in the fourth of six epochs"
    steps: list[int] = []
    resumed = train(system, tmp_path / "killed", resume=True, progress=lambda step, *_: steps.append(step))
    assert steps[0] == (10 if system == "cten" else 4), "it began at the start"
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    logs = [(tmp_path / run / "log.jsonl").read_text(encoding="utf-8") for run in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["epoch"] for line in logs[0].splitlines()] == [0, 1, 2, 3, 4, 5]


def test_a_run_killed_before_its_first_checkpoint_logs_every_epoch_once(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)

    def run(last: int) -> None:
        def epoch(number: int) -> dict[str, float]:
            if number > last:
                raise KeyboardInterrupt
            return {"total": 1.0}

        folder = RunFolder(tmp_path, {}, resume=True)
        EpochRun(network, torch.optim.SGD(network.parameters()), folder, 3600.0).run(3, epoch)

    with pytest.raises(KeyboardInterrupt):
        run(last=1)
    assert not (tmp_path / "last.pt").exists()
    run(last=2)
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2]


def test_a_resumed_run_replaces_its_files_as_a_whole(tmp_path: Path) -> None:
    folder, lines = RunFolder(tmp_path, {"width": 1}), ['{"epoch": 0}\n', '{"epoch": 1}\n']
    (tmp_path / "log.jsonl").write_text("".join(lines), encoding="utf-8")
    files = [tmp_path / name for name in ("log.jsonl", "config.json")]
    before = [(path.read_bytes(), path.open("rb"), path.stat().st_ino) for path in files]
    RunFolder(tmp_path, {"width": 1}, resume=True)
    folder.forget_after(1)
    # Whoever has an old file open reads it whole: nothing is written into it.
    for path, (content, file, inode) in zip(files, before, strict=True):
        with file:
            assert (file.read(), path.stat().st_ino != inode) == (content, True)
    assert files[0].read_bytes() == lines[0].encode()


KILLED = """
import os, signal, sys
from pathlib import Path
from sentiloc.model.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half a checkpoint")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_resumed_run_removes_what_a_kill_left_unfinished(tmp_path: Path) -> None:
    RunFolder(tmp_path, {}).close()
    left = set(tmp_path.iterdir())
    for age in (7200, 0):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "last.pt")], check=False)
        (partial,) = {*tmp_path.iterdir()} - left
        os.utime(partial, (time.time() - age,) * 2)
        left.add(partial)
    # Another program's files are not its own.
    other = tmp_path / ".backup.partial"
    other.touch()
    os.utime(other, (0, 0))
    RunFolder(tmp_path, {}, resume=True).close()
    # The newer one could be that of a process that is still writing.
    assert {*tmp_path.iterdir()} == {tmp_path / "config.json", partial, other}


HOLD = """
import sys, time
from pathlib import Path
from sentiloc.model.training.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]), {})
print("here", flush=True)
sys.stdin.read()
folder.close()
print("left", flush=True)
time.sleep(600)
"""


REFUSED = """
import sys
from pathlib import Path
from sentiloc.model.errors import SentilocError
from sentiloc.model.training.run_folder import RunFolder
try:
    RunFolder(Path(sys.argv[1]), {})
except SentilocError:
    print("refused", flush=True)
sys.stdin.read()
"""


def test_a_process_that_may_not_train_in_a_folder_does_not_keep_it(tmp_path: Path) -> None:
    RunFolder(tmp_path, {}).close()
    command, pipe = [sys.executable, "-c", REFUSED, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"refused\n"
        RunFolder(tmp_path, {}, resume=True).close()
        other.kill()


@pytest.mark.parametrize("is_killed", [True, False])
def test_two_processes_do_not_train_in_one_folder(tmp_path: Path, is_killed: bool) -> None:
    command, pipe = [sys.executable, "-c", HOLD, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"here\n"
        for resume in (False, True):
            with pytest.raises(SentilocError, match="another process trains in it"):
                RunFolder(tmp_path, {}, resume=resume)
        if is_killed:
            other.kill()
            other.wait()
        else:
            other.stdin.close()
            assert other.stdout.readline() == b"left\n"
        RunFolder(tmp_path, {}, resume=True).close()
        other.kill()


def test_two_processes_that_write_one_checkpoint_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, save = tmp_path / "last.pt", torch.save

    def save_late(content: object, file: Any) -> None:
        monkeypatch.setattr(torch, "save", save)
        save_atomic({"by": "another"}, path)
        assert load_checkpoint(path) == {"by": "another"}
        save(content, file)

    monkeypatch.setattr(torch, "save", save_late)
    save_atomic({"by": "this"}, path)
    assert load_checkpoint(path) == {"by": "this"}
    assert [one.name for one in tmp_path.iterdir()] == ["last.pt"]


def test_subjects_that_are_done_are_not_trained_again(tmp_path: Path) -> None:
    items = planted_expressions(FACES, 2, 2)
    steps: list[int] = []
    config = replace(GIM_RUN, labels=replace(GIM_RUN.labels, stages=(1, 1, 1)))

    def spot(run_dir: Path, *, resume: bool) -> object:
        steps.clear()
        counts, runs, _ = leave_one_subject_out(
            config, items, progress=lambda step, *_: steps.append(step), run_dir=run_dir, resume=resume
        )
        return counts, [run.losses for run in runs]

    whole = spot(tmp_path, resume=False)
    assert steps == [1, 2, 3, 1, 2, 3]
    (tmp_path / "subject-01" / "last.pt").unlink()
    assert spot(tmp_path, resume=True) == whole
    assert steps == [1, 2, 3]
    with pytest.raises(SentilocError, match="resume it"):
        spot(tmp_path, resume=False)
    with pytest.raises(SentilocError, match="differs"):
        train_gim(replace(config, seed=1), items, run_dir=tmp_path / "subject-00", resume=True)
