"""FSENet without some of its parts: extracted, trained, exported, and used on a video."""

from __future__ import annotations

import json
from pathlib import Path

from sentiloc import Curve, load_model
from tests.cli.extracted import Sentiloc
from tests.support.media import make_clip

NAMES = ("a", "b", "c", "d")
PARTS = ("stage1", "stage2", "gsp")


def labelled_features(tmp_path: Path, sentiloc: Sentiloc) -> Path:
    """What `sentiloc extract` makes of four clips, with a point and a segment each."""
    videos, data = tmp_path / "videos", tmp_path / "data"
    videos.mkdir()
    for number, name in enumerate(NAMES):
        make_clip(videos / f"{name}.mp4", seconds=4.0, audio="aac", beeps=((number * 0.5, 2.0),))
    assert sentiloc("extract", videos, "-o", data)[0] == 0
    rows = [{"segment": ["0.5", "3.0"], "label": "p"}]
    (data / "gt.json").write_text(
        json.dumps({"database": {name: {"annotations": rows} for name in NAMES}}), encoding="utf-8"
    )
    points = ["video_id,point,class_index", *(f"{name},40,1" for name in NAMES)]
    (data / "point_label.csv").write_text("\n".join(points) + "\n", encoding="utf-8")
    return data


def test_a_network_without_parts_is_exported_and_used(tmp_path: Path, sentiloc: Sentiloc) -> None:
    data = labelled_features(tmp_path, sentiloc)
    for without in (("stage1",), ("stage2", "gsp")):
        run, package = tmp_path / f"run-{len(without)}-{without[0]}", tmp_path / "models" / without[-1]
        switches = [f"--no-{part}" if part in without else f"--{part}" for part in PARTS]
        options = ("--recipe", "quick", "--epochs", 1, "--width", 16, "--val-fraction", 0.25, *switches)
        code, _, errors = sentiloc("train", data, "-o", run, *options)
        assert code == 0, errors
        network = json.loads((run / "config.json").read_text(encoding="utf-8"))["network"]
        assert {part: network[part] for part in PARTS} == {part: part not in without for part in PARTS}
        code, _, errors = sentiloc("export", run, package)
        assert code == 0, errors
        curve = load_model(package).localize(tmp_path / "videos" / "a.mp4").curve
        assert isinstance(curve, Curve)
        assert all(0 <= value <= 1 for value in (*curve.negative, *curve.positive))
        assert len(curve.positive) >= 6
