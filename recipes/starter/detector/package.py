"""The face detector's package folder: spec.json, which its users obey, and MODEL_CARD.md, which they read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any

NAME, VERSION = "sentiloc-face", "1.0.0"
LONG_SIDES = (320, 640)
CLOSE_SIDE = 1280
SMALLEST_FACE = 18
SECOND_LOOK_MAX_FACE = 128

_CARD = Template("""# $name $version

A face detector of $parameters parameters (ONNX, $kilobytes KiB). It finds where faces are; it does not know whose.

## Use
`detector.onnx` takes `image`, uint8 `(batch, height, width, 3)`, RGB, both sides multiples of 32, and gives
`detections`, float32 `(batch, cells, 5)`: score, x1, y1, x2, y2 in input pixels, before non-maximum suppression.
`spec.json` says how frames are fitted and which scores count. `worker/features/face_detection.py` does all of it.

## Trained on
- Face photos of the `faces/expressions` set (muxspace/facial_expressions, Apache-2.0) and of FER+ (labels MIT, images
  for research), pasted in many ways onto drawn backgrounds and onto cuts beside faces.
- Frames of `javanese_av` (2black0/video-emotion-recognition-javanese; no terms stated, taken as research use), as they
  are, with other faces in place of the actors' and with the face taken out.
- The two photographs without people that scikit-learn comes with (CC BY 2.0), as surroundings.
- The boxes of all of these come from YuNet (Wu, Peng and Yu 2023) as a teacher. None of its weights is used here.

Scrambled, smeared and partial faces, pasted in the same ways, are its counter-examples. One person in ten of the
photos, one in ten of the FER+ images (which name nobody) and two of seven actors were held out; the two photographs
are in both parts.

## Scores
On $scenes composed scenes of held-out people, at the threshold $threshold and IoU 0.5: recall $recall, precision
$precision. The threshold is the best F1 there. `python -m experiments.face_detector`
measures real clips, none of which was
used for training or for the threshold.

The recipe is `python -m recipes.starter.detector.train --data DIR --run DIR --package exported/face-detector`: one
core, $planned steps of $batch images, seed $seed. The shipped weights were stopped at step $steps of these, and the
scenes grew while they trained: people cut out of their frames came in at step 1400; letters, folds, scenery and the
higher limit on small faces at step 2000. A new run of the recipe starts with all of them, so it gives other weights.

## Not for
Recognizing people, counting crowds, or proving that nobody is there. Faces under about 20 pixels, in profile, upside
down or mostly covered are often missed. The material is mostly frontal, of adults, and from press photos; it was not
balanced by skin, age or gender, and no such balance was measured. Weights carry the research condition of the images.
""")


def write_package(
    folder: Path, scores: dict[str, Any], recipe: dict[str, Any], parameters: int, steps: int
) -> None:
    """Describe `folder`'s detector.onnx; `scores` as the training's evaluation gives them."""
    network = (folder / "detector.onnx").read_bytes()
    best = scores["best"]
    spec = {
        "name": NAME,
        "version": VERSION,
        "network": "detector.onnx",
        "sha256": hashlib.sha256(network).hexdigest(),
        "input": {
            "name": "image",
            "layout": "NHWC",
            "colour": "RGB",
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
    (folder / "spec.json").write_text(json.dumps(spec, indent=2) + "\n")
    card = _CARD.substitute(
        name=NAME,
        version=VERSION,
        parameters=f"{parameters:,}",
        kilobytes=len(network) // 1024,
        scenes=scores["scenes"],
        threshold=best["threshold"],
        recall=f"{best['recall']:.3f}",
        precision=f"{best['precision']:.3f}",
        steps=steps,
        planned=sum(recipe["cycles"]),
        batch=recipe["batch"],
        seed=recipe["seed"],
    )
    (folder / "MODEL_CARD.md").write_text(card)
