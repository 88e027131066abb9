"""Sound that is resampled a quarter of a second at a time is the same as sound that is resampled frame by frame."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.worker.sound import soundtrack
from sentiloc.worker.sound.soundtrack import Soundtrack
from tests.support.media import make_clip

RATE = 16_000
Chunk = tuple[int, NDArray[np.float32]]


def listen(path: Path, *, gap: bool = False) -> NDArray[np.float32]:
    """The whole sound of a file; with `gap`, half a second in its middle is left out."""
    chunks: list[Chunk] = []
    track = Soundtrack(RATE, 60.0, lambda start, samples: chunks.append((start, samples)))
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            if not (gap and frame.time is not None and 2.0 < frame.time < 2.5):
                track.push(frame, 0.0)
    track.finish()
    heard = np.zeros(track.samples, np.float32)
    for start, samples in chunks:
        heard[start : start + len(samples)] = samples
    return heard


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("mkv", "libopus"), ("mkv", "pcm_s16le")])
@pytest.mark.parametrize("gap", [False, True], ids=["whole", "with a gap"])
def test_batches_change_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, codec: str, gap: bool
) -> None:
    path = tmp_path / f"clip.{container}"
    make_clip(path, seconds=4, audio=codec, beeps=((0.2, 1.7), (1.9, 3.6)))
    together = listen(path, gap=gap)
    monkeypatch.setattr(soundtrack, "_BATCH_SECONDS", 0.0)
    one_by_one = listen(path, gap=gap)
    assert together.any()
    assert np.array_equal(together, one_by_one)
