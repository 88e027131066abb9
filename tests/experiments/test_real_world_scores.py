"""The scores of real-world clips are those that can be worked out by hand, and halves keep sources together."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.peers import Smoothing, answer_emotions, answer_negative, answer_nothing
from experiments.real_world_scores import Answer, score_clips, score_untrimmed
from recipes.starter.development import HALVES, LabelledClip, half_of
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.segments import Segment


def clip(
    file: str, sentiment: str, *, sure: bool = True, empty: bool = False, kind: str = ""
) -> LabelledClip:
    return LabelledClip(
        file=file,
        source=file,
        sentiment=sentiment,
        sure=sure,
        kind=kind,
        voice=kind == "news",
        quiet=False,
        empty=empty,
    )


def answer(*segments: tuple[str, float, float, float], faces: float = 0.0) -> Answer:
    """Ten snippets of a second; segments as label, start, end, confidence; the first `faces` seconds show a face."""
    return Answer(
        duration=10.0,
        step=1.0,
        segments=tuple(
            Segment(start=start, end=end, label=label, confidence=sure, peak=start)
            for label, start, end, sure in segments
        ),
        face_present=np.arange(10) < faces,
    )


CLIPS = [
    clip("calm", "neutral", kind="news"),
    clip("empty", "none", empty=True),
    clip("glad", "positive"),
    clip("sad", "negative"),
    clip("dull", "negative"),
    clip("unsure", "positive", sure=False),
]


def test_time_and_files_are_counted_as_by_hand() -> None:
    scores = score_clips(
        CLIPS,
        {
            "calm": answer(("negative", 0.0, 4.0, 0.95)),
            "empty": answer(faces=5),
            "glad": answer(("positive", 0.0, 6.0, 0.92), ("negative", 6.0, 9.0, 0.5)),
            "sad": answer(("positive", 1.0, 3.0, 0.6)),
            "dull": answer(),
            "unsure": answer(("negative", 0.0, 10.0, 0.99)),
        },
    )
    assert scores.neutral_marked == pytest.approx(20) and scores.nobody == 0
    assert scores.talking == pytest.approx(40) and scores.false_faces == pytest.approx(50)
    assert (scores.right, scores.wrong, scores.nothing) == (1, 1, 1)
    assert scores.accuracy == pytest.approx(100 * 2 / 5)
    assert scores.mean_recall == pytest.approx(100 * (1 + 0 + 1 / 2) / 3)
    assert (scores.sure_labels_right, scores.sure_labels) == (1, 2)


def test_the_two_trivial_baselines() -> None:
    nothing = score_clips(CLIPS, {c.file: answer_nothing(10.0, 1.0, 10) for c in CLIPS})
    assert nothing.neutral_marked == 0 and nothing.mean_recall == pytest.approx(100 / 3)
    negative = score_clips(CLIPS, {c.file: answer_negative(10.0, 1.0, 10) for c in CLIPS})
    assert negative.neutral_marked == pytest.approx(100) and (negative.right, negative.wrong) == (2, 1)


def test_untrimmed_videos_count_confident_segments_and_neutral_ones_separately() -> None:
    truth = {"ad": (10.0, [GroundTruthSegment("negative", 0.0, 5.0)]), "talk": (10.0, [])}
    found = {
        "ad": answer(("negative", 0.0, 5.0, 0.8), ("positive", 5.0, 7.0, 0.4)),
        "talk": answer(("negative", 0.0, 1.0, 0.9)),
    }
    scores = score_untrimmed(truth, found)
    assert scores.time_right == pytest.approx(100) and scores.time_right_neutral == pytest.approx(90)
    assert scores.average_map == pytest.approx(50), "the surer segment of the neutral video comes first"


def test_emotions_of_frames_become_segments() -> None:
    emotions = np.zeros((20, 7), np.float32)
    emotions[5:10, 3], emotions[10:15, 0] = 0.9, 0.8
    found = answer_emotions(emotions, 20.0, 1.0, Smoothing(snippets=1, threshold=0.5))
    assert [(s.label, s.start, s.end) for s in found.segments] == [
        ("negative", 10.0, 15.0),
        ("positive", 5.0, 10.0),
    ]
    assert found.face_present.sum() == 10


def test_a_source_is_in_one_half_for_good() -> None:
    halves = {name: half_of(name) for name in ("v-iashin/SpecVQGAN", "Zulko/moviepy")}
    assert halves == {"v-iashin/SpecVQGAN": "development", "Zulko/moviepy": "check"}
    assert {half_of(str(n)) for n in range(20)} == set(HALVES)
