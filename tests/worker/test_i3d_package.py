"""fsenet-i3d: without I3D's weights a clear error names the command; with them pictures count as evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import ModelPackage, extractor_id, load_package, shipped_models_dir
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.weights import KINETICS_I3D, cached_weights, i3d_weights
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline
from sentiloc.worker.runtime.onnx_session import create_session
from tests.support.media import make_clip

TIME = 40


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return load_package("fsenet-i3d")


@pytest.fixture(scope="module")
def localizer(package: ModelPackage) -> Localizer:
    return Localizer(package, create_session(package.network, "cpu", 1))


def features(**present: bool) -> SnippetFeatures:
    """Random content of three streams, present or not."""
    rng = np.random.default_rng(0)
    return SnippetFeatures(
        visual=rng.gamma(1.0, 0.25, (TIME, 1024)).astype(np.float32),
        audio=rng.normal(0.3, 0.1, (TIME, 32, 60)).astype(np.float32),
        face=rng.normal(0, 1, (TIME, 256)).astype(np.float32),
        **{f"{name}_present": np.full(TIME, present.get(name, True)) for name in ("visual", "audio", "face")},
    )


def test_the_package_is_small_and_names_its_training(package: ModelPackage) -> None:
    assert package.spec.visual is not None and package.spec.visual.extractor == KINETICS_I3D
    assert package.spec.face is not None
    assert package.spec.face.encoder == extractor_id(shipped_models_dir() / "expression")
    assert sum(file.stat().st_size for file in package.folder.iterdir()) < 25_000_000


def test_without_weights_the_error_names_the_command(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path))
    with pytest.raises(SentilocError, match="sentiloc weights pull i3d-kinetics") as caught:
        load_sentiment_pipeline(package, RuntimeConfig(threads=1))
    assert caught.value.code == ErrorCode.WEIGHTS_MISSING


@pytest.mark.parametrize("stream", ["visual", "audio", "face"])
def test_each_stream_counts_and_an_absent_one_may_hold_anything(localizer: Localizer, stream: str) -> None:
    whole, without = localizer.score(features()).scores, localizer.score(features(**{stream: False})).scores
    assert np.abs(whole - without).max() > 1e-3
    spoilt = features(**{stream: False})
    getattr(spoilt, stream)[:] = 3.0
    assert np.allclose(localizer.score(spoilt).scores, without, atol=1e-5)


def test_absent_streams_give_no_segments(localizer: Localizer) -> None:
    scores = localizer.score(features(visual=False, audio=False, face=False)).scores
    assert scores[:, 2].min() > 0.5 > scores[:, :2].max()


@pytest.mark.skipif(
    cached_weights(i3d_weights(KINETICS_I3D)) is None, reason="the weights i3d-kinetics are not pulled"
)
def test_the_picture_of_a_video_is_evidence_beside_its_sound(package: ModelPackage, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    make_clip(video, audio="aac", beeps=((0.2, 1.8),))
    result = load_sentiment_pipeline(package, RuntimeConfig(threads=1)).localize(video, lambda *_: None)
    assert {"visual", "audio"} <= set(result.curve.without)
