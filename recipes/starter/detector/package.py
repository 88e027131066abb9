"""The face detector's package folder with spec.json, which defines its use. Its MODEL_CARD.md is written by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

NAME, VERSION = "sentiloc-face", "1.1.0"
# `width` and `stem` of the network that ships, which is distilled from a larger one.
SERVED_WIDTH, SERVED_STEM = 32, (8, 16)
# Pixels to which a frame's longer side is scaled: a first look, and a second one at small faces.
LONG_SIDES = (320, 640)
# The longer side of the rare search for the smallest faces.
CLOSE_SIDE = 1280
# Pixels at the side of that look.
SMALLEST_FACE = 18
# Pixels at the side of the second look. It counts no larger face, because the first look finds those.
SECOND_LOOK_MAX_FACE = 128


def write_package(folder: Path, scores: dict[str, Any], recipe: dict[str, Any], steps: int) -> None:
    """Write the spec of `folder`'s detector.onnx; `scores` are those of the training's evaluation."""
    network = (folder / "detector.onnx").read_bytes()
    best = scores["best"]
    spec = {
        "name": NAME,
        "version": VERSION,
        "network": "detector.onnx",
        "sha256": hashlib.sha256(network).hexdigest(),
        "input": {
            "name": "image",
            "layout": "NHW",
            "colour": "grey",
            "range": [0, 255],
            "multiple": 32,
            "long_sides": list(LONG_SIDES),
            "close_side": CLOSE_SIDE,
            "second_look_max_face": SECOND_LOOK_MAX_FACE,
        },
        "smallest_face": SMALLEST_FACE,
        "threshold": best["threshold"],
        "max_iou": scores["max_iou"],
        "held_out": best,
        "trained_steps": steps,
        "recipe": recipe,
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
