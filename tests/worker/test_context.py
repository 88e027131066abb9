"""A face is scored in its own context: the length of the music or silence around it does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sentiloc.model.package import load_package
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.pipelines.localizer import Localizer, nearness
from sentiloc.worker.runtime.onnx_session import create_session

FACES = 6
REACH = 8


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    package = load_package("fsenet-starter")
    return Localizer(package, create_session(package.network, "cpu", 1))


def surrounded(around: int, *, silent: bool = False) -> SnippetFeatures:
    """`FACES` snippets with a face between `around` snippets of sound (or silence) on each side.

    The content depends only on the distance from the first face.
    """
    total = 2 * around + FACES
    sounds = [np.random.default_rng(1000 + i - around).normal(0.3, 0.1, (32, 60)) for i in range(total)]
    face = np.random.default_rng(0).normal(0, 1, (FACES, 256))
    seen = np.zeros(total, np.bool_)
    seen[around : around + FACES] = True
    faces = np.zeros((total, 256), np.float32)
    faces[seen] = face
    return SnippetFeatures(
        visual=None,
        audio=np.array(sounds, np.float32),
        face=faces,
        visual_present=np.zeros(total, np.bool_),
        audio_present=seen.copy() if silent else np.ones(total, np.bool_),
        face_present=seen,
    )


@pytest.mark.parametrize("silent", [False, True], ids=["sound", "silence"])
def test_long_surroundings_do_not_change_a_face(localizer: Localizer, silent: bool) -> None:
    short, long = surrounded(40, silent=silent), surrounded(200, silent=silent)
    after_short, after_long = (localizer.score(one).scores[one.face_present] for one in (short, long))
    assert np.allclose(after_short, after_long, atol=1e-5)
    evidence = [localizer.score_with_evidence(one)[1] for one in (short, long)]
    for stream in ("audio", "face"):
        one, other = (
            found[stream].scores[video.face_present]
            for found, video in zip(evidence, (short, long), strict=True)
        )
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("around", [10, 60], ids=["in one run", "one after the other"])
def test_evidence_is_the_score_without_a_stream(localizer: Localizer, around: int) -> None:
    video = surrounded(around)
    scores, evidence = localizer.score_with_evidence(video)
    assert np.allclose(scores.scores, localizer.score(video).scores, atol=1e-6)
    silent = replace(video, audio_present=np.zeros(len(video), np.bool_))
    assert np.allclose(evidence["audio"].scores, localizer.score(silent).scores, atol=1e-6)
    assert np.allclose(evidence["audio"].saliency, localizer.score(silent).saliency, atol=1e-6)
    assert set(evidence) == {"audio", "face"}
    assert localizer.score_with_evidence(silent)[1] == {}, "without the only stream nothing is left"


def test_what_is_near_a_face_still_matters(localizer: Localizer) -> None:
    alone, short = surrounded(0), surrounded(REACH)
    bare, inside = (localizer.score(one).scores[one.face_present] for one in (alone, short))
    assert not np.allclose(bare, inside, atol=1e-3)


def test_scores_far_from_a_face_know_the_whole_window(localizer: Localizer) -> None:
    video = surrounded(60)
    nobody = SnippetFeatures(
        visual=None,
        audio=video.audio,
        face=video.face,
        visual_present=video.visual_present,
        audio_present=video.audio_present,
        face_present=np.zeros_like(video.face_present),
    )
    far = nearness(video.face_present, REACH) == 0
    with_face, without = (localizer.score(one).scores for one in (video, nobody))
    assert not np.allclose(with_face[far], without[far], atol=1e-4)


def test_nearness_falls_from_a_face_to_its_reach() -> None:
    faces = np.array([0, 0, 0, 0, 1, 0, 0, 1, 0, 0], np.bool_)
    expected = np.array([0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert np.allclose(nearness(faces, 2), expected)
    assert nearness(faces, None).tolist() == [0.0] * 10
    assert nearness(np.zeros(3, np.bool_), 2).tolist() == [0.0] * 3
    assert nearness(np.zeros(0, np.bool_), 2).tolist() == []


def test_pictures_keep_the_whole_window_as_context() -> None:
    package = load_package("fsenet-i3d")
    localizer = Localizer(package, create_session(package.network, "cpu", 1))
    assert localizer.reach is None
