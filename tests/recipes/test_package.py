"""The shipped starter is consistent: graph, spec, calibration and extractors belong together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import (
    ModelPackage,
    extractor_id,
    load_package,
    shipped_models_dir,
    write_calibration,
)
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.runtime.onnx_session import create_session

TIME = 60


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return load_package("fsenet-starter")


@pytest.fixture(scope="module")
def localizer(package: ModelPackage) -> Localizer:
    return Localizer(package, create_session(package.network, "cpu", 1))


def features(*, face: bool, sound: bool) -> SnippetFeatures:
    """Random content, present or not."""
    rng = np.random.default_rng(0)
    return SnippetFeatures(
        visual=None,
        audio=rng.normal(0.3, 0.1, (TIME, 32, 60)).astype(np.float32),
        face=rng.normal(0, 1, (TIME, 256)).astype(np.float32),
        visual_present=np.zeros(TIME, bool),
        audio_present=np.full(TIME, sound),
        face_present=np.full(TIME, face),
    )


def test_the_package_names_the_extractors_that_are_shipped(package: ModelPackage) -> None:
    assert package.spec.visual is None and package.spec.face is not None
    assert package.spec.face.encoder == extractor_id(shipped_models_dir() / "expression")


def test_the_card_states_terms_and_limits(package: ModelPackage) -> None:
    card = (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("non-commercial", "FER+", "RAVDESS", "Limits", "reliability.png", "timeline.png"):
        assert word in card
    for picture in ("reliability.png", "timeline.png"):
        assert (package.folder / picture).stat().st_size < 200_000


def test_confidence_rises_with_the_score(package: ModelPackage) -> None:
    sure = package.calibration.probabilities(np.linspace(0, 1, 101))
    assert (np.diff(sure) >= 0).all() and sure[0] < 0.3 < 0.6 < sure[-1]


def test_confidence_does_not_jump(package: ModelPackage) -> None:
    sure = package.calibration.probabilities(np.linspace(0, 1, 1001))
    assert np.diff(sure).max() < 0.015


def test_sound_alone_is_less_sure_than_sound_with_a_face(package: ModelPackage) -> None:
    scores = np.array([0.15, 0.3, 0.45])
    seen, unseen = (package.calibration.probabilities(scores, np.full(3, share)) for share in (0.0, 1.0))
    assert (unseen < seen).all() and (unseen > seen - 0.1).all()


def test_a_shown_segment_is_more_likely_right_than_wrong(package: ModelPackage) -> None:
    assert package.spec.confidence_threshold >= 0.5


def test_releases_before_the_evidence_file_read_the_calibration(package: ModelPackage) -> None:
    raw = json.loads((package.folder / "calibration.json").read_text(encoding="utf-8"))
    assert set(raw) == {"method", "knots", "slope", "intercept", "calibrated"}
    assert (package.folder / "evidence.json").exists()


def copied(package: ModelPackage, models: Path) -> Path:
    """A copy of the package, as "x" in `models`."""
    unused = shutil.ignore_patterns("*.png", "*.md")
    return Path(shutil.copytree(package.folder, models / "x", ignore=unused))


TOO_LARGE = '{"without_face": 1' + "0" * 400 + "}"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"without_face": "low"}', '{"without_face": NaN}', TOO_LARGE],
    ids=["empty", "list", "no number", "text", "not a number", "too large"],
)
def test_an_evidence_file_without_a_number_is_refused(
    tmp_path: Path, package: ModelPackage, text: str
) -> None:
    (copied(package, tmp_path) / "evidence.json").write_text(text, encoding="utf-8")
    with pytest.raises(SentilocError) as caught:
        load_package("x", tmp_path)
    assert caught.value.code is ErrorCode.SPEC_MISMATCH


NESTED = "[" * 100_000


@pytest.mark.parametrize("name", ["calibration.json", "evidence.json", "spec.json"])
@pytest.mark.parametrize("damage", ["bytes", "folder", "own link", "nested"])
def test_a_damaged_file_of_a_package_is_named(
    tmp_path: Path, package: ModelPackage, name: str, damage: str
) -> None:
    path = copied(package, tmp_path) / name
    path.unlink(missing_ok=True)
    if damage == "folder":
        path.mkdir()
    elif damage == "own link":
        path.symlink_to(path)
    else:
        path.write_bytes(b"\xff" if damage == "bytes" else NESTED.encode())
    with pytest.raises(SentilocError, match=name):
        load_package("x", tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", ["sentiment"]),
        ("task", None),
        ("classes", "np"),
        ("classes", []),
        ("classes", ["n", "n"]),
        ("classes", [1, 2]),
        ("name", 5),
        ("frame_rate", "25"),
        ("frame_rate", 0),
        ("frame_rate", float("nan")),
        pytest.param("frame_rate", 10**400, id="frame_rate-beyond a float"),
        ("snippet_frames", 16.5),
        ("snippet_frames", True),
        ("confidence_threshold", 1.5),
        ("face", {"dim": "256"}),
        ("face", {"dim": -1}),
        ("audio", "log-mel"),
        ("segments", 0),
    ],
)
def test_a_spec_with_an_impossible_value_is_refused(
    tmp_path: Path, package: ModelPackage, key: str, value: object
) -> None:
    path = copied(package, tmp_path) / "spec.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, key: value}), encoding="utf-8")
    with pytest.raises(SentilocError) as caught:
        load_package("x", tmp_path)
    assert caught.value.code is ErrorCode.SPEC_MISMATCH
    assert "spec.json: not a model spec" in caught.value.detail


def test_a_calibration_is_written_and_read_with_its_evidence(tmp_path: Path, package: ModelPackage) -> None:
    folder = copied(package, tmp_path)
    for shift in (-0.7, 0.0):
        written = replace(package.calibration, without_face=shift)
        write_calibration(written, folder)
        assert load_package("x", tmp_path).calibration == written


def test_absent_face_and_sound_give_no_segments(localizer: Localizer) -> None:
    scores = localizer.score(features(face=False, sound=False)).scores
    assert scores[:, 2].min() > 0.5 > scores[:, :2].max()


def test_values_of_an_absent_stream_change_nothing(localizer: Localizer) -> None:
    silent = features(face=True, sound=False)
    assert silent.audio is not None
    silent.audio[:] = 7.0
    other = localizer.score(features(face=True, sound=False))
    assert np.allclose(localizer.score(silent).scores, other.scores, atol=1e-5)
