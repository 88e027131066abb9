"""docs/benchmarks.md names results that exist, and its tables state the figures of the stored results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/benchmarks.md"
FOLDERS = ("bench/results", "experiments/results", "tests/proofs/results")

LONG_VIDEOS = {
    "720p, one minute (table above)": ("pipeline", "h264 720p 60 s"),
    "720p, ten minutes (busy)": ("pipeline_10min", "h264 720p 600 s"),
    "720p, one hour (busy)": ("pipeline_hour", "h264 720p 3600 s"),
    "720p, two hours": ("pipeline_2h", "h264 720p 7200 s"),
    "1080p, one minute (table above)": ("pipeline", "h264 1080p 60 s"),
    "1080p, ten minutes (busy)": ("pipeline_10min", "h264 1080p 600 s"),
}
NETWORKS = {
    "FSENet, ONNX Runtime, T = 390": "FSENet, ONNX, T=390",
    "transformer of 91 M parameters, PyTorch, T = 390": "transformer 91M, PyTorch, T=390",
    "FSENet, T = 1,100": "FSENet, ONNX, T=1100",
    "FSENet, T = 11,000 (two hours)": "FSENet, ONNX, T=11000",
}


def stored(folder: str, name: str) -> Any:
    return json.loads((ROOT / folder / "results" / f"{name}.json").read_text(encoding="utf-8"))


def rows() -> Iterator[list[str]]:
    """The cells of each row of each table, without bold marks."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip().replace("**", "") for cell in line.strip().strip("|").split("|")]


def row(*first: str) -> list[str]:
    """The cells after the given first ones, of the only row that begins with them."""
    found = [cells[len(first) :] for cells in rows() if tuple(cells[: len(first)]) == first]
    assert len(found) == 1, (first, found)
    return found[0]


def equals(cell: str, value: float) -> bool:
    """Whether a cell is a value, rounded to the cell's digits."""
    digits = len(cell.partition(".")[2])
    return abs(float(cell.replace(",", "")) - value) <= 0.5001 * 0.1**digits


def test_every_results_file_that_the_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = {
        Path(max(pair)).name
        for pair in re.findall(r"`([\w./-]+\.json)`|(?<=bench/)(results/[\w-]+\.json)", text)
    }
    kept = {file.name for folder in FOLDERS for file in (ROOT / folder).glob("*.json")}
    assert len(named) > 30
    assert named <= kept, named - kept
    assert {file.name for file in (ROOT / "bench/results").glob("pipeline*.json")} <= named


@pytest.mark.parametrize("label", LONG_VIDEOS)
def test_the_cost_of_long_videos_is_the_measured_one(label: str) -> None:
    name, case = LONG_VIDEOS[label]
    (job,) = (job for job in stored("bench", name)["rows"] if job["case"] == case)
    cpu, per_minute, to_bare, peak = row(label)
    assert equals(cpu, job["cpu"])
    assert equals(per_minute, 60 * job["cpu"] / job["video_seconds"])
    assert equals(to_bare, job["to_bare_cpu"])
    assert equals(peak.removesuffix(" MiB"), job["peak_mib"])


@pytest.mark.parametrize("label", NETWORKS)
def test_the_times_of_the_network_are_the_measured_ones(label: str) -> None:
    measured = stored("bench", "localizer")["rows"][NETWORKS[label]]
    wall, cpu = row(label)
    assert equals(wall, measured["wall"]) and equals(cpu, measured["cpu"])


def test_the_start_and_the_warm_model_are_the_measured_ones() -> None:
    measured = stored("bench", "start_cold")
    wall, cpu = row("`sentiloc localize` on a two-second clip")
    assert equals(wall, measured["cold_start"]["localize"]["wall"])
    assert equals(cpu, measured["cold_start"]["localize"]["cpu"])
    warm = re.search(r"A warm model needs ([\d.]+) CPU s", PAGE.read_text(encoding="utf-8"))
    assert warm and equals(warm[1], measured["warm_job"]["cpu"])


@pytest.mark.parametrize("name", ["real_world", "real_world_fsenet-i3d"])
def test_the_scores_of_real_clips_are_the_measured_ones(name: str) -> None:
    present = {cells[0] for cells in rows()}
    measured = [entry for entry in stored("experiments", name)["rows"] if entry["system"] in present]
    assert len({entry["system"] for entry in measured}) >= 3
    for entry in measured:
        clips, long = entry["wild"], entry["untrimmed"]
        labels = (entry["system"], entry["half"])
        first, second = (cells[2:] for cells in rows() if tuple(cells[:2]) == labels)
        shares = ("neutral_marked", "with_sound", "nobody", "talking", "false_faces")
        assert [equals(cell, clips[key]) for cell, key in zip(first[:5], shares, strict=True)] == [True] * 5
        assert first[5] == "{right} / {wrong} / {nothing}".format(**clips)
        accuracy, recall = first[6].split(" / ")
        assert equals(accuracy, clips["accuracy"]) and equals(recall, clips["mean_recall"])
        assert first[7] == "{sure_labels_right} of {sure_labels}".format(**clips)
        figures = (long["average_map"], long["time_right"], long["time_right_neutral"])
        assert all(map(equals, second[:3], figures))
        assert second[3] == "{acted_right} / {acted_wrong} / {acted_nothing}".format(**entry)
        assert equals(second[4], entry["heads_marked"])


def test_every_row_of_the_simulated_ablations_is_shown() -> None:
    runs = stored("experiments", "simulated_tsl300")["runs"]
    assert f"{len(runs)} runs" in PAGE.read_text(encoding="utf-8")
    for name in {key.partition("/")[0] for key in runs}:
        ours = [run for key, run in runs.items() if key.partition("/")[0] == name]
        shown = name.replace("_", " ")
        (found,) = (cells for cells in rows() if cells[0] == shown and len(cells) == 4 and "±" in cells[2])
        for cell, key in zip(found[1:3], ("average_mAP", "serving_rule_average_mAP"), strict=True):
            values = [100 * run[key] for run in ours]
            centre, spread = cell.split(" ± ")
            assert equals(centre, mean(values)) and equals(spread, stdev(values)), name
