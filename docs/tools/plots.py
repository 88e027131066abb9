"""Draws docs/pictures/speed.svg from bench/results/pipeline*.json.

python -m docs.tools.plots
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "sentiloc"
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
PICTURE = ROOT / "docs" / "pictures" / "speed.svg"
BARE, OURS, RECIPE = "0.75", "tab:blue", "tab:red"
CODECS = {"h264": "H.264", "hevc": "HEVC"}
LENGTHS = {"10 s": "10 s", "60 s": "1 min", "600 s": "10 min", "3600 s": "1 h", "7200 s": "2 h"}
LONG = ("pipeline_2h", "pipeline_10min", "pipeline_hour", "pipeline")
Row = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    """One command's results."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def per_minute(row: Row, cpu: float) -> float:
    """Processor seconds for a minute of the row's video."""
    return cpu * 60 / float(row["video_seconds"])


def draw_sizes(axes: Axes) -> None:
    """Of a minute in each size and codec: decoding alone, and whole jobs."""
    rows = [row for row in read("pipeline")["rows"] if row["case"].endswith(" 60 s")]
    names = [f"{CODECS[codec]} {height}" for codec, height, *_ in (row["case"].split() for row in rows)]
    for shift, name, colour, values in (
        (-0.2, "bare decode", BARE, [per_minute(row, row["bare"]["cpu"]) for row in rows]),
        (0.2, "whole job, starter", OURS, [per_minute(row, row["cpu"]) for row in rows]),
    ):
        places = [place + shift for place in range(len(rows))]
        axes.bar_label(axes.barh(places, values, 0.4, color=colour, label=name), fmt="%.1f", padding=2)
    axes.set_yticks(range(len(rows)), names)
    axes.set_title("faces and voices")
    axes.legend(loc="upper right", frameon=False)


def draw_recipe(axes: Axes) -> None:
    """Ten seconds with I3D: the published recipe, and whole jobs in each precision."""
    report = read("pipeline_i3d")
    recipe = per_minute(report["rows"][0], report["recipe"][0]["cpu"])
    jobs = {f"I3D, {row['precision']}": per_minute(row, row["cpu"]) for row in report["rows"]}
    values = {"published recipe": recipe, **jobs}
    drawn = axes.barh(list(values), list(values.values()), 0.6, color=[RECIPE, *[OURS] * len(jobs)])
    axes.bar_label(drawn, fmt="%.0f", padding=2)
    axes.set_title("with I3D, H.264 720p")


def draw_lengths(axes: Axes) -> None:
    """A minute of H.264 720p in videos of each length."""
    rows = [row for name in LONG for row in read(name)["rows"]]
    known = {
        row["case"].removeprefix("h264 720p "): row for row in rows if row["case"].startswith("h264 720p")
    }
    values = [per_minute(known[length], known[length]["cpu"]) for length in LENGTHS]
    drawn = axes.barh(list(LENGTHS.values()), values, 0.6, color=OURS)
    axes.bar_label(drawn, fmt="%.1f", padding=2)
    axes.set_title("by length, H.264 720p")


def draw(picture: Path) -> None:
    """Draw all panels into the file `picture`."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), width_ratios=(5, 4, 3), layout="constrained")
    for axes, panel in zip(panels, (draw_sizes, draw_recipe, draw_lengths), strict=True):
        panel(axes)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("processor seconds for one minute of video", fontsize="medium")
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(PICTURE)
