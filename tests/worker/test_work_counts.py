"""The cost of a job in steps that can be counted: a guard that a busy machine cannot disturb.

Processor seconds differ from run to run, and with several threads so do instructions. The pictures that are decoded,
the runs of the networks and the processes that start do not. A change that raises a count by more than 5 % is either
intended and updates the expected count, or a mistake.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from docs.tools.drawn_clip import draw_clip
from sentiloc.model.weights import cached_weights
from sentiloc.worker.children.fork_server import ForkServer
from sentiloc.worker.config import RuntimeConfig, ThumbnailConfig
from sentiloc.worker.decoder.decode import grab_frame
from sentiloc.worker.decoder.request import DecodeRequest
from sentiloc.worker.decoder.selection import Samples
from sentiloc.worker.extraction.extraction import Part
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.pipelines.base import FeaturePipeline
from sentiloc.worker.pipelines.registry import load_pipeline
from sentiloc.worker.pipelines.thumbnails import keep_stills, make_thumbnails
from tests.worker.selecting import choices

SECONDS, SLACK = 8.0, 1.05
INPUTS = {"image": "looks of the face detector", "faces": "crops read", "audio": "windows of the network"}
EXPECTED = {
    "decoders started": 1,
    "looks of the face detector": 32,
    "crops read": 27,
    "runs of the expression net": 5,
    "windows of the network": 3,
    "runs of the network": 1,
}
DECODED_SHARE = 0.815
"""Of the pictures of the drawn clip: those that are sampled, or that others are predicted from."""


@pytest.fixture(scope="module", name="clip")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "drawn.mp4"
    draw_clip(path, SECONDS)
    return path


@pytest.fixture(scope="module", name="pipeline")
def _pipeline() -> FeaturePipeline:
    pipeline = load_pipeline("fsenet-starter", RuntimeConfig(threads=2))
    assert isinstance(pipeline, FeaturePipeline)
    return pipeline


@pytest.fixture(name="counts")
def _counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what really runs."""
    counts: Counter[str] = Counter()
    run, fork = ort.InferenceSession.run, ForkServer.fork

    def counted_run(self: Any, names: Any, feeds: dict[str, Any], *rest: Any) -> Any:
        counts["runs of the expression net"] += "faces" in feeds
        counts["runs of the network"] += "audio" in feeds
        for name, what in INPUTS.items():
            counts[what] += len(feeds.get(name, ()))
        return run(self, names, feeds, *rest)

    def counted_fork(self: ForkServer, task: dict[str, Any], fds: dict[str, int]) -> Any:
        counts["decoders started"] += 1
        return fork(self, task, fds)

    monkeypatch.setattr(ort.InferenceSession, "run", counted_run)
    monkeypatch.setattr(ForkServer, "fork", counted_fork)
    return counts


@pytest.mark.skipif(cached_weights("yunet") is not None, reason="another face detector is installed here")
def test_a_job_takes_no_more_steps_than_before(
    pipeline: FeaturePipeline, clip: Path, counts: Counter[str]
) -> None:
    found = []
    for _ in range(2):
        counts.clear()
        pipeline.localize(clip, lambda _stage, _done: None)
        found.append(dict(counts))
    assert found[0] == found[1]
    over = {name: (found[0][name], most) for name, most in EXPECTED.items() if found[0][name] > SLACK * most}
    assert over == {}
    # A count far below means that the expected one is out of date, so the test would no longer detect an increase.
    assert all(found[0][name] >= 0.5 * most for name, most in EXPECTED.items()), found[0]


def decoded(data: bytes | None) -> NDArray[np.int_]:
    """A JPEG as blue, green, red (height, width, 3)."""
    assert data is not None
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.int_)


@pytest.mark.skipif(cached_weights("yunet") is not None, reason="another face detector is installed here")
def test_one_look_at_faces_per_snippet_halves_the_looks(
    pipeline: FeaturePipeline, clip: Path, counts: Counter[str]
) -> None:
    once = load_pipeline("fsenet-starter", RuntimeConfig(threads=2, face_looks=1))
    assert isinstance(once, FeaturePipeline)
    once.localize(clip, lambda _stage, _done: None)
    assert counts["looks of the face detector"] <= 0.6 * EXPECTED["looks of the face detector"]
    assert once.extractor.request.face_samples == (8,)
    assert once.extractor.identity != pipeline.extractor.identity, "features are cached separately"


def test_thumbnails_need_no_second_decoder(
    pipeline: FeaturePipeline, clip: Path, counts: Counter[str], tmp_path: Path
) -> None:
    config, limits, peaks = ThumbnailConfig(), pipeline.extractor.limits, (0.96, 5.44)
    with keep_stills(config, tmp_path) as stills:
        pipeline.localize(clip, lambda _stage, _done: None, stills=stills)
        found = make_thumbnails(clip, peaks, config, limits, lambda: None, stills=stills)
    assert counts["decoders started"] == 1
    # The later of the two pictures that the networks look at is 0.16 s after the middle of a snippet.
    for data, peak in zip(found, peaks, strict=True):
        expected = grab_frame(clip, peak + 0.16, config.side_pixels, limits)
        picture = decoded(data)
        assert picture.shape == expected.shape
        assert np.abs(picture[:, :, ::-1] - expected).mean() < 3


def test_stills_of_a_part_have_the_video_s_times(
    pipeline: FeaturePipeline, clip: Path, tmp_path: Path
) -> None:
    part, step = Part(first=6, end=9), pipeline.package.spec.snippet_seconds
    with Stills(320, 80, tmp_path) as stills, Stills(320, 80, tmp_path) as of_all:
        pipeline.extractor.extract(clip, lambda _stage, _done: None, part, stills=stills)
        pipeline.extractor.extract(clip, lambda _stage, _done: None, stills=of_all)
        assert [place for place in range(12) if stills.jpeg_at((place + 0.5) * step)] == [6, 7, 8]
        for place in (6, 7, 8):
            one, whole = (decoded(found.jpeg_at((place + 0.5) * step)) for found in (stills, of_all))
            assert np.abs(one - whole).mean() < 2, "a decoder that begins later gives the same picture"


def test_a_draft_looks_once_at_each_keyframe(
    pipeline: FeaturePipeline, clip: Path, counts: Counter[str]
) -> None:
    pipeline.localize(clip, lambda _stage, _done: None, is_draft=True)
    assert counts["looks of the face detector"] <= 0.5 * EXPECTED["looks of the face detector"]


def test_a_job_decodes_no_more_pictures_than_before(pipeline: FeaturePipeline, clip: Path) -> None:
    decoded, pictures = _decoded(clip, pipeline.extractor.request)
    assert decoded <= SLACK * DECODED_SHARE * pictures


def _decoded(clip: Path, request: DecodeRequest) -> tuple[int, int]:
    """Pictures of a clip that are decoded for a request, and all of its pictures."""
    looks = Samples(
        rate=float(request.frame_rate or 0),
        length=request.snippet_frames,
        positions=request.face_samples,
        first=0,
        end=None,
    )
    chosen = [is_needed for _, is_needed in choices(clip, looks, keeps_cuts=request.find_shots)]
    return chosen.count(True), len(chosen)
