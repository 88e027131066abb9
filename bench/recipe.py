"""The published recipe, written for comparison alone; the service does not use it.

    python -m bench.recipe VIDEO [--i3d]

ffmpeg dumps every frame to JPEG and the sound to MP3; librosa makes the spectrogram; I3D runs in PyTorch float32 on
snippets read back from the JPEGs (random weights: speed alone); every frame goes through a face detector and an
expression network in a Python loop; then FSENet in PyTorch. Prints seconds per stage as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.extractors.i3d import I3D
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.package import shipped_models_dir
from sentiloc.worker.features.face import FaceEncoder
from sentiloc.worker.features.face_choice import choose_face
from sentiloc.worker.features.face_detection import load_detector

SNIPPET = 16
Stages = dict[str, dict[str, float]]


@contextmanager
def stage(stages: Stages, name: str) -> Iterator[None]:
    """Add wall and processor seconds of the block, including its child processes."""
    wall, before = time.perf_counter(), os.times()
    yield
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    stages[name] = {"wall": time.perf_counter() - wall, "cpu": cpu}


def run(video: Path, with_i3d: bool, threads: int) -> Stages:
    """The whole recipe on one video."""
    torch.set_num_threads(threads)
    stages: Stages = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stage(stages, "frames to JPEG"):
            _ffmpeg("-i", str(video), "-r", "25", "-q:v", "2", str(folder / "%06d.jpg"))
        frames = sorted(folder.glob("*.jpg"))
        with stage(stages, "sound to MP3"):
            _ffmpeg("-i", str(video), "-vn", str(folder / "sound.mp3"))
        with stage(stages, "librosa"):
            samples, rate = librosa.load(folder / "sound.mp3", sr=16_000)
            mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=320, n_mels=60)
            librosa.power_to_db(mel)
        if with_i3d:
            with stage(stages, "I3D"):
                _i3d(frames)
        with stage(stages, "faces"):
            _faces(frames, threads)
        with stage(stages, "network"):
            _network(-(-len(frames) // SNIPPET), with_i3d)
    return stages


def _ffmpeg(*words: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words], check=True)


def _i3d(frames: list[Path]) -> None:
    network = I3D().eval()
    for start in range(0, len(frames), SNIPPET):
        pictures = [_small(path) for path in frames[start : start + SNIPPET]]
        pictures += [pictures[-1]] * (SNIPPET - len(pictures))
        clip = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            network(clip)


def _small(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    assert image is not None
    scale = 256 / min(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale)
    top, left = (small.shape[0] - 224) // 2, (small.shape[1] - 224) // 2
    return np.asarray(small[top : top + 224, left : left + 224, ::-1], np.uint8)


def _faces(frames: list[Path], threads: int) -> None:
    root = shipped_models_dir()
    detector = load_detector(root / "face-detector", threads=threads)
    encoder = FaceEncoder.from_package(root / "expression", threads=threads)
    previous = None
    for path in frames:
        image = cv2.imread(str(path))
        assert image is not None
        scale = min(1.0, 640 / max(image.shape[:2]))
        picture = np.asarray(cv2.resize(image, None, fx=scale, fy=scale)[:, :, ::-1], np.uint8)
        chosen = choose_face(detector.detect(picture), previous)
        if chosen is not None:
            previous = chosen[1:]
            x1, y1, x2, y2 = (float(value) for value in previous)
            encoder.encode([crop_face(picture, (x1, y1, x2, y2), encoder.margin, encoder.size)])


def _network(snippets: int, with_i3d: bool) -> None:
    config = FSENetConfig(visual_dim=1024 if with_i3d else None)
    shapes = config.stream_shapes
    streams = {name: torch.zeros(1, snippets, *shape) for name, shape in shapes.items()}
    masks = {f"{name}_present": torch.ones(1, snippets, dtype=torch.bool) for name in shapes}
    absent = {name: None for name in ("visual", "audio", "face") if name not in shapes}
    with torch.inference_mode():
        FSENet(config).eval()(**streams, **absent, **masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--i3d", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(json.dumps(run(options.video, options.i3d, options.threads)))


if __name__ == "__main__":
    main()
