"""Draws docs/pictures/speed.svg from bench/results/{pipeline,pipeline_i3d,memory}.json.

python -m bench.plots
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "sentiloc"
from matplotlib import pyplot as plt  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "speed.svg"


def read(name: str) -> dict[str, Any]:
    """One command's results, or none where it has not run."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": [], "recipe": []}
    return found


def bars() -> list[tuple[str, float, str]]:
    """Label, processor seconds per minute of video, colour."""
    found: list[tuple[str, float, str]] = []
    for report in (read("pipeline"), read("pipeline_i3d")):
        lengths = {(row["spec"], row["case"]): row["video_seconds"] / 60 for row in report["rows"]}
        for row in report["rows"]:
            minutes = row["video_seconds"] / 60
            if row.get("precision", "float32") == "float32":
                found.append((f"bare decode, {row['case']}", row["bare"]["cpu"] / minutes, "0.7"))
            device = " ".join([row["device"].split(" (")[0], row.get("precision", "float32")])
            device = device.removesuffix(" float32")
            found.append((f"{row['spec']} on {device}, {row['case']}", row["cpu"] / minutes, "tab:blue"))
        for row in report["recipe"]:
            cpu = row["cpu"] / lengths[row["spec"], row["case"]]
            found.append((f"published recipe, {row['spec']}, {row['case']}", cpu, "tab:red"))
    return found


def main() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(3, 2), layout="constrained")
    labels, values, colours = zip(*bars()[::-1], strict=True)
    drawn = left.barh(labels, values, color=colours)
    left.bar_label(drawn, fmt="%.0f", padding=3)
    left.set_xscale("log")
    left.set_xlabel("processor seconds per minute of video")
    rows = read("memory")["rows"]
    right.plot([row["minutes"] for row in rows], [row["peak_mib"] for row in rows], "o-")
    right.set_ylim(0, 1.3 * max(row["peak_mib"] for row in rows))
    right.set_xlabel("minutes of video")
    right.set_ylabel("peak memory of the whole service, MiB")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
