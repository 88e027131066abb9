"""A folder as written by `sentiloc extract`, with random features of a tiny spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sentiloc.model.data.feature_store import write_features
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec

SPEC = ModelSpec(
    name="own", version="1", visual=None, audio=AudioStream(frames=8, mels=6), face=FaceStream(dim=4)
)
QUICKLY_EXPORTED = ("--no-stage1", "--no-stage2", "--no-gsp")
"""Options of a training whose network is exported, for tests that are not of the network: an export takes longer the
more parts there are."""
Sentiloc = Callable[..., tuple[int, str, str]]


def write_video(folder: Path, split: str, name: str, rng: np.random.Generator, snippets: int) -> None:
    """Write features of one video with `snippets` snippets at 25 frames a second."""
    present = np.ones(snippets, bool)
    features = SnippetFeatures(
        visual=None,
        audio=rng.standard_normal((snippets, 8, 6), np.float32),
        face=rng.standard_normal((snippets, 4), np.float32),
        visual_present=~present,
        audio_present=present,
        face_present=present,
    )
    write_features(folder, split, name, features, fps=25.0, duration=0.64 * snippets)
