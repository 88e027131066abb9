"""The effect of a precision, measured in the real pipeline on videos that were not used for calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sentiloc.app.settings import get_settings
from sentiloc.cli.weights.compare_precision import describe
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.result import SegmentOptions
from sentiloc.model.segments import Segment
from sentiloc.worker.config import RuntimeConfig, runtime_config
from sentiloc.worker.decoder.decode import DecodeLimits
from sentiloc.worker.extraction.extract import Extractor
from sentiloc.worker.features.visual import VisualExtractor
from sentiloc.worker.pipelines.sentiment import SentimentPipeline
from sentiloc.worker.precision.effect import feature_effect
from sentiloc.worker.precision.precision import compare, load_both, pair_segments, segment_effect
from sentiloc.worker.precision.quantize import quantize, sample_snippets
from sentiloc.worker.runtime.onnx_session import create_session, is_installed
from tests.cli.conftest import sentiloc
from tests.cli.extracted import Sentiloc
from tests.support.media import make_clip
from tests.worker.tiny_networks import SPEC, write_package, write_visual

__all__ = ["sentiloc"]
SHOW_ALL = SegmentOptions(threshold=0.0)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package, its visual network in float32 and in 8 bits, calibrated on one of two clips."""
    folder = tmp_path_factory.mktemp("precision")
    write_package(folder / "models")
    (folder / "cache").mkdir()
    network = write_visual(folder / "cache" / "i3d-rgb.onnx")
    make_clip(folder / "seen.mp4", seconds=5.0)
    make_clip(folder / "unseen.mp4", seconds=4.0, size=(160, 96))
    snippets = sample_snippets([folder / "seen.mp4"], DecodeLimits(threads=1))
    quantize(network, folder / "cache" / "i3d-rgb-int8.onnx", snippets, [folder / "seen.mp4"])
    return folder


@pytest.fixture(autouse=True)
def environment(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The cache and the packages of `work`."""
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(work / "cache"))
    monkeypatch.setenv("SENTILOC_MODELS_DIR", str(work / "models"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def both() -> tuple[SentimentPipeline, Extractor]:
    return load_both(runtime_config(get_settings()), SPEC.name, "float32")


def in_int8(extractor: Extractor, work: Path) -> Extractor:
    """The same with the 8-bit graph, which also runs on a plain processor, but slowly."""
    session = create_session(work / "cache" / "i3d-rgb-int8.onnx")
    return replace(extractor, visual=VisualExtractor(session))


def test_the_same_precision_changes_nothing(work: Path, both: tuple[SentimentPipeline, Extractor]) -> None:
    effect = compare(*both, [work / "unseen.mp4", work / "seen.mp4"], SHOW_ALL)
    assert (effect.videos, effect.snippets) == (2, 7 + 8)
    assert (effect.score_largest, effect.features.largest, effect.features.of_variation) == (0, 0, 0)
    found = effect.segments
    assert found.before == found.after == found.kept > 0
    assert (found.vanished, found.appeared, found.tiou, found.confidence_largest) == (0, 0, 1, 0)


def test_eight_bits_change_a_little(work: Path, both: tuple[SentimentPipeline, Extractor]) -> None:
    pipeline, exact = both
    effect = compare(pipeline, in_int8(exact, work), [work / "unseen.mp4"], SHOW_ALL)
    assert 0 < effect.features.mean <= effect.features.largest < 0.1
    assert 0 < effect.score_mean <= effect.score_largest < 0.1
    lines = describe(effect, "int8", 0.0)
    assert "float32 → int8, 1 videos, 7 snippets" in lines[0]
    assert f"{effect.score_largest:.4f}" in lines[2]
    assert json.loads(json.dumps(effect.to_dict()))["segments"]["vanished"] == effect.segments.vanished


def test_videos_that_set_the_ranges_are_no_judges(
    work: Path, both: tuple[SentimentPipeline, Extractor]
) -> None:
    pipeline, exact = both
    copy = work / "under another name.mp4"
    copy.write_bytes((work / "seen.mp4").read_bytes())
    with pytest.raises(SentilocError, match=copy.name) as caught:
        compare(pipeline, in_int8(exact, work), [work / "unseen.mp4", copy])
    assert caught.value.code == ErrorCode.INVALID_DATA


def test_errors_name_the_video(work: Path, both: tuple[SentimentPipeline, Extractor]) -> None:
    with pytest.raises(SentilocError, match=r"none\.mp4") as caught:
        compare(*both, [work / "none.mp4"])
    assert caught.value.code == ErrorCode.SOURCE_MISSING
    with pytest.raises(SentilocError, match="no video"):
        compare(*both, [])


def test_a_package_that_does_not_see_is_not_affected() -> None:
    with pytest.raises(SentilocError, match="fsenet-starter") as caught:
        load_both(RuntimeConfig(), "fsenet-starter", "int8")
    assert caught.value.code == ErrorCode.SPEC_MISMATCH


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path))
    with pytest.raises(SentilocError, match="sentiloc weights pull i3d") as caught:
        load_both(runtime_config(get_settings()), SPEC.name, "float32")
    assert caught.value.code == ErrorCode.WEIGHTS_MISSING


def test_the_command_refuses_unsupported_precisions(work: Path, sentiloc: Sentiloc) -> None:
    code, _, error = sentiloc("weights", "compare", work / "unseen.mp4", "--model", SPEC.name)
    assert code == 1
    assert "SENTILOC_DEVICE=cpu computes in float32" in error


def test_the_command(work: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_installed("openvino"):
        pytest.skip("8 bits run on OpenVINO, and this ONNX Runtime is another build")
    monkeypatch.setenv("SENTILOC_DEVICE", "openvino")
    get_settings.cache_clear()
    code, shown, _ = sentiloc("weights", "compare", work / "unseen.mp4", "--model", SPEC.name)
    assert code == 0
    assert shown.startswith("float32 → int8, 1 videos")
    code, _, error = sentiloc("weights", "compare", work / "seen.mp4", "--model", SPEC.name)
    assert code == 1
    assert "compare it on others" in error


def test_the_command_compares_a_stride(
    work: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("weights", "compare", work / "unseen.mp4", "--model", SPEC.name, "--precision", "float32")
    code, _, error = sentiloc(*words)
    assert code == 2
    assert "--visual-stride" in error
    code, _, error = sentiloc(*words[:-1], "int8", "--visual-by-shots")
    assert code == 2
    assert "--visual-stride" in error
    code, shown, _ = sentiloc(*words, "--visual-stride", "3", "--visual-by-shots")
    assert code == 0
    assert shown.startswith(
        "float32 → float32, one snippet of 3 and the first of each shot, 1 videos, 7 snip"
    )
    monkeypatch.setenv("SENTILOC_VISUAL_STRIDE", "3")
    get_settings.cache_clear()
    code, shown, _ = sentiloc(*words, "--json")
    found = json.loads(shown)
    assert (found["visual_stride"], found["visual_by_shots"]) == (3, False)
    assert found["features"]["largest"] > 0


def test_features_are_compared_by_their_differences_between_snippets() -> None:
    exact = np.array([[10.0, 1.0], [10.0, 3.0]], np.float32)
    effect = feature_effect(exact, exact + np.array([0.0, 0.5], np.float32))
    assert effect.largest == pytest.approx(0.05)
    assert effect.mean == pytest.approx(0.25 / 6)
    assert effect.cosine > 0.998
    assert effect.of_variation == pytest.approx(0.5)
    assert feature_effect(exact[:1], exact[:1]).of_variation is None


def test_segments_are_matched_by_time() -> None:
    before = [_segment(0, 10), _segment(20, 30), _segment(40, 50)]
    after = [_segment(1, 10, confidence=0.6), _segment(20, 30, "positive"), _segment(60, 70), _segment(9, 12)]
    assert list(pair_segments(before, after)) == [(before[1], after[1]), (before[0], after[0])]
    effect = segment_effect([(before, after), ([], []), ([before[0]], [])])
    assert (effect.before, effect.after, effect.kept, effect.relabelled) == (4, 4, 1, 1)
    assert (effect.vanished, effect.appeared) == (2, 2)
    assert effect.tiou == pytest.approx(0.9)
    assert effect.confidence_largest == effect.confidence_mean == pytest.approx(0.1)


def _segment(start: float, end: float, label: str = "negative", confidence: float = 0.7) -> Segment:
    return Segment(start=start, end=end, label=label, confidence=confidence, peak=start)


def test_a_signed_8_bit_network_of_an_older_version_is_refused(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_installed("openvino"):
        pytest.skip("8 bits run on OpenVINO, and this ONNX Runtime is another build")
    for name in ("i3d-rgb.onnx", "i3d-rgb-int8.onnx"):
        (tmp_path / name).write_bytes((work / "cache" / "i3d-rgb.onnx").read_bytes())
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path))
    with pytest.raises(SentilocError, match="make it again") as caught:
        load_both(RuntimeConfig(device="openvino", models_dir=get_settings().models_dir), SPEC.name, "int8")
    assert caught.value.code == ErrorCode.WEIGHTS_MISSING


def test_openvino_computes_the_8_bit_network_as_the_plain_processor_does(work: Path) -> None:
    if not is_installed("openvino"):
        pytest.skip("8 bits run on OpenVINO, and this ONNX Runtime is another build")
    rng = np.random.default_rng(0)
    snippets = [rng.integers(0, 256, (16, 224, 224, 3), dtype=np.uint8) for _ in range(2)]
    path = work / "cache" / "i3d-rgb-int8.onnx"
    served = VisualExtractor(create_session(path, "openvino", precision="int8")).extract(snippets)
    plain = VisualExtractor(create_session(path)).extract(snippets)
    assert feature_effect(plain, served).largest < 0.02
