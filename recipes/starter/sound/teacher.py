"""Labels from a teacher: YAMNet's posteriors, grouped into our sound events.

YAMNet (521 classes of AudioSet, windows of 0.975 s at 16 kHz) only labels training sounds. It is not shipped.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sentiloc.model.extractors.logmel import HOP, SAMPLE_RATE
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.segments import FloatArray

# YAMNet's 0.975 s at 16 kHz.
WINDOW = 15_600
# One snippet: 32 frames of 20 ms.
STEP = HOP * 32

_GROUPS: dict[str, tuple[tuple[int, int], ...]] = {
    "speech": ((0, 5), (63, 63)),
    "singing": ((24, 32), (249, 250)),
    "laughter": ((13, 18),),
    "crying": ((19, 22),),
    "screaming": ((6, 11),),
    "applause": ((58, 58), (61, 62)),
    "music": ((132, 276),),
    "noise": ((35, 57), (67, 131), (277, 493), (495, 499), (507, 517)),
    "silence": ((494, 494),),
}
"""First and last YAMNet class of each event; classes outside (Inside, Echo, Radio) are not used."""
_GAIN = {"laughter": 2.0, "crying": 2.0, "screaming": 2.0, "singing": 2.0, "applause": 1.5}
"""YAMNet's posteriors of these are low: one half already means near certainty."""


class Teacher:
    """YAMNet as a function from samples to posteriors of our events."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / "yamnet.onnx", options)
        with (folder / "yamnet_class_map.csv").open(newline="", encoding="utf-8") as file:
            # The groups below are numbers; another version of the map would give wrong labels without an
            # error.
            if next(row for row in csv.reader(file) if row[0] == "494")[2] != "Silence":
                raise ValueError("the class map differs from the one that the event groups were made for")

    def listen(self, wave: FloatArray) -> FloatArray:
        """Posteriors (steps, events), one every 0.64 s, of samples (n,); step i is centred in its 0.64 s."""
        steps = max(1, -(-len(wave) // STEP))
        # So that each window is centred in its snippet.
        margin = (WINDOW - STEP) // 2
        padded = np.pad(wave, (margin, steps * STEP + WINDOW - len(wave)))
        rows = [self._run(padded[i * STEP : i * STEP + WINDOW]) for i in range(steps)]
        return np.stack(rows)

    def _run(self, window: FloatArray) -> FloatArray:
        scores = self._session.run(None, {"waveform": window.astype(np.float32)})[0][0]
        return np.array([_joined(scores, name) for name in EVENTS], np.float32)


def _joined(scores: NDArray[np.float32], name: str) -> float:
    best = max(float(scores[first : last + 1].max()) for first, last in _GROUPS[name])
    return min(1.0, best * _GAIN.get(name, 1.0))


def at_frames(posteriors: FloatArray, frames: int) -> FloatArray:
    """Posteriors (steps, events) of a recording, at each of its 20 ms frames (frames, events)."""
    seconds = (np.arange(frames) + 0.5) * HOP / SAMPLE_RATE
    centres = (np.arange(len(posteriors)) + 0.5) * STEP / SAMPLE_RATE
    columns = [np.interp(seconds, centres, column) for column in posteriors.T]
    return np.stack(columns, axis=1).astype(np.float32)
