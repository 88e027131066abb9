"""From videos or published features to a job that is done, by commands alone: FSENet, CTEN and GIM."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from docs.tools.drawn_clip import draw_clip
from tests.cli.extracted import QUICKLY_EXPORTED
from tests.service.running import RunningService
from tests.support.preloaded import Commands, preloaded_commands
from tests.support.services import sentiloc_command, sentiloc_environment

SECONDS = 8.0
TRAIN, TEST = ("one", "two", "three", "four"), ("five", "six")
QUICK = ("--recipe", "quick", "--seed", "1", "--deterministic")


class Way:
    """The way of one system: its commands, in a folder."""

    def __init__(self, commands: Commands, videos: Path, work: Path, models: Path) -> None:
        self._commands, self.videos, self.work, self._models = commands, videos, work, models

    def run(self, *arguments: object) -> str:
        return self._commands.run(*map(str, arguments))

    def extract(self, names: Iterable[str], *arguments: object) -> None:
        self.run("extract", *(self.videos / f"{name}.mp4" for name in names), *arguments)

    def finish(self, run_folder: Path, name: str) -> None:
        """Evaluate on the test split and export."""
        self.run("evaluate", run_folder, "--split", "test")
        assert json.loads((run_folder / "evaluation" / "test" / "metrics.json").read_text(encoding="utf-8"))
        package = self._models / name
        said = self.run("export", run_folder, package)
        assert "differs from PyTorch" in said
        calibration = json.loads((package / "calibration.json").read_text(encoding="utf-8"))
        assert calibration["calibrated"] is (calibration["method"] != "identity")


def write_rows(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def write_labels(data: Path, names: Iterable[str], fps: float) -> None:
    """A point in each video and its segment, of both classes in turn."""
    rows, database = [], {}
    for number, name in enumerate(names):
        rows.append((name, round(3.0 * fps), number % 2))
        annotation = {"segment": ["2.0", "5.0"], "label": "np"[number % 2]}
        database[name] = {"subset": "train" if name in TRAIN else "test", "annotations": [annotation]}
    write_rows(data / "point_label.csv", "video_id,point,class_index", rows)
    (data / "gt.json").write_text(json.dumps({"database": database}), encoding="utf-8")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in (*TRAIN, *TEST):
        draw_clip(folder / f"{name}.mp4", SECONDS)
    return folder


def published(data: Path) -> None:
    """The benchmark's layout with made features of sound and faces."""
    rng, snippets = np.random.default_rng(0), 24
    for split, names in (("train", TRAIN), ("test", TEST)):
        for stream, shape in (("logmfcc", (snippets * 32, 60)), ("img", (snippets, 256))):
            folder = data / "features" / split / stream
            folder.mkdir(parents=True)
            for name in names:
                array = rng.standard_normal(shape, np.float32)
                np.save(folder / f"{name}.npy", array * 10 - 30 if stream == "logmfcc" else array)
        (data / f"split_{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (data / "fps_dict.json").write_text(json.dumps(dict.fromkeys((*TRAIN, *TEST), 30.0)), encoding="utf-8")
    (data / "len_duration_dict.json").write_text(
        json.dumps(dict.fromkeys((*TRAIN, *TEST), snippets * 16 / 30)), encoding="utf-8"
    )
    write_labels(data, (*TRAIN, *TEST), 30.0)


def fsenet(way: Way) -> None:
    """Own videos with points, then the published layout under each supervision."""
    data = way.work / "own"
    way.extract(TRAIN, "-o", data, "--split", "train")
    way.extract(TEST, "-o", data, "--split", "test")
    write_labels(data, (*TRAIN, *TEST), 25.0)
    options = (*QUICK, "--epochs", 2, "--width", 16, "--val-fraction", 0.5)
    way.run("train", data, "-o", way.work / "run-own", *options)
    way.finish(way.work / "run-own", "own")
    (way.work / "published").mkdir()
    published(way.work / "published")
    # The network with all its parts is `own`; the way is the same without them.
    short = (*options, *QUICKLY_EXPORTED)
    for supervision in ("point", "video", "full"):
        name = f"published-{supervision}"
        way.run("train", way.work / "published", "-o", way.work / name, *short, "--supervision", supervision)
        way.finish(way.work / name, name)


def cten(way: Way) -> None:
    data = way.work / "emotions"
    way.extract(TRAIN, "-o", data, "--split", "train")
    way.extract(TEST, "-o", data, "--split", "test")
    labels = [(name, ("joy", "fear")[number % 2]) for number, name in enumerate((*TRAIN, *TEST))]
    write_rows(data / "emotions.csv", "video_id,label", labels)
    write_rows(data / "emotion_segments.csv", "video_id,start,end", [(name, 2, 5) for name, _ in labels])
    options = (*QUICK, "--epochs", 2, "--width", 8, "--val-fraction", 0.5)
    way.run("train", data, "-o", way.work / "run-cten", "--task", "cten", *options)
    way.finish(way.work / "run-cten", "emotions")


def gim(way: Way) -> None:
    data, names = way.work / "faces", TRAIN[:2]
    way.extract(names, "-o", data, "--spec", "flow")
    points = [(name, f"s{number}", 75, ("macro", "micro")[number]) for number, name in enumerate(names)]
    write_rows(data / "points.csv", "video_id,subject,frame,class", points)
    truth = [(name, 60, 75, 90, ("macro", "micro")[number]) for number, name in enumerate(names)]
    write_rows(data / "expressions.csv", "video_id,onset,apex,offset,class", truth)
    options = (*QUICK, "--epochs", 3, "--width", 8)
    way.run("train", data, "-o", way.work / "run-gim", "--task", "gim", *options)
    way.finish(way.work / "run-gim", "expressions")


@pytest.mark.timeout(3600)
def test_from_a_folder_to_a_job_that_is_done(videos: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with preloaded_commands() as commands:
        for system in (fsenet, cten, gim):
            system(Way(commands, videos, tmp_path, models))
    names = sorted(path.name for path in models.iterdir())
    assert names == ["emotions", "expressions", "own", "published-full", "published-point", "published-video"]
    clip = videos / "six.mp4"
    service = RunningService(tmp_path, models_dir=models, model="own")
    try:
        service.start()
        for name in names:
            with clip.open("rb") as file:
                sent = service.client.post(
                    "/localize",
                    files={"video": (clip.name, file, "video/mp4")},
                    data={"options": json.dumps({"model": name, "threshold": 0.0})},
                )
            assert sent.status_code == 202, sent.text
            job = service.wait_ended(sent.json()["id"])
            assert job["state"] == "succeeded", job
            result = service.client.get(f"/jobs/{job['id']}/result").json()
            assert result["model"]["name"] == name
            assert isinstance(result["calibration"]["calibrated"], bool)
    finally:
        service.stop()
    environment = sentiloc_environment(models_dir=models, model="own")
    for command in (["localize", str(clip), "--model", "own"], ["doctor"]):
        done = subprocess.run(
            sentiloc_command(*command), env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
