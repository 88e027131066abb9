"""The evaluation of the starter on hand-computed cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recipes.starter.evaluate import (
    calibrate,
    evaluate,
    neutral_marked,
    outcomes,
    pick_threshold,
    time_shares,
)
from recipes.starter.faces.draft import SNIPPET
from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.segments import FrameScores, SnippetFeatures

TIME = 40


def make_item(name: str, segments: tuple[SegmentLabel, ...]) -> Item:
    nothing = np.zeros(TIME, bool)
    features = SnippetFeatures(
        visual=None,
        audio=None,
        face=None,
        visual_present=nothing,
        audio_present=nothing,
        face_present=nothing,
    )
    return Item(name=name, features=features, fps=25.0, segments=segments)


def with_faces(item: Item, name: str) -> Item:
    features = replace(item.features, face_present=np.ones(TIME, bool))
    return replace(item, name=name, features=features)


def scores_of(spans: list[tuple[int, int, int, float]]) -> FrameScores:
    """Scores of the given class and height for ranges of snippets."""
    scores = np.tile(np.array([0.02, 0.02, 0.98], np.float32), (TIME, 1))
    for first, stop, label, height in spans:
        scores[first:stop, label], scores[first:stop, 2] = height, 1 - height
    return FrameScores(scores=scores, saliency=1 - scores[:, 2])


def many(count: int, seed: int = 0) -> tuple[list[Item], dict[str, FrameScores]]:
    """Videos with one segment; a prediction of height h is right with probability h."""
    rng, items, scores = np.random.default_rng(seed), [], {}
    for number in range(count):
        height = float(rng.uniform(0.5, 0.95))
        label = int(rng.random() < height)
        items.append(make_item(f"v{number}", (SegmentLabel(10 * SNIPPET, 20 * SNIPPET, label),)))
        scores[f"v{number}"] = scores_of([(10, 20, 1, height)])
    return items, scores


def test_a_perfect_answer_is_perfect() -> None:
    item = make_item(
        "v", (SegmentLabel(10 * SNIPPET, 20 * SNIPPET, 1), SegmentLabel(25 * SNIPPET, 35 * SNIPPET, 0))
    )
    scores = {"v": scores_of([(10, 20, 1, 0.97), (25, 35, 0, 0.97)])}
    result = evaluate([item], scores, Calibration(), 0.5)
    assert result.proposals_map == result.shown_map == pytest.approx(1.0)
    assert result.time_right > 0.95 and result.neutral_marked < 0.06


def test_time_shares_count_tenths_of_seconds() -> None:
    truth = {"v": [GroundTruthSegment("positive", 0.0, 4.0)]}
    shown = {"v": [GroundTruthSegment("positive", 0.0, 2.0), GroundTruthSegment("negative", 8.0, 10.0)]}
    right, marked = time_shares(truth, shown, {"v": 10.0})  # type: ignore[arg-type]
    assert right == pytest.approx(0.6) and marked == pytest.approx(2 / 6)


def test_outcomes_know_right_from_wrong() -> None:
    items, scores = many(60)
    found = outcomes(items, scores)
    assert len(found) == 60 and set(found.owner) == set(range(60))
    labels = np.array([item.segments[0].class_index for item in items])
    assert np.array_equal(found.right[np.argsort(found.owner)], labels == 1)
    assert (found.unseen == 1).all()


def test_calibration_makes_probabilities_of_scores() -> None:
    items, scores = many(800)
    calibration, error = calibrate(items, scores, [], {})
    assert error < 0.07
    fresh_items, fresh_scores = many(800, seed=1)
    fresh = outcomes(fresh_items, fresh_scores)
    sure = calibration.probabilities(fresh.score, fresh.unseen)
    high = sure > np.median(sure)
    assert sure[high].mean() == pytest.approx(fresh.right[high].mean(), abs=0.06)


def test_sound_alone_is_less_sure_where_it_is_wrong_more_often() -> None:
    seen_items, seen = many(400)
    items, scores = many(400, seed=1)
    rng = np.random.default_rng(0)
    shown = [with_faces(item, f"s{number}") for number, item in enumerate(seen_items)]
    wrong = [
        replace(item, segments=(item.segments[0]._replace(class_index=int(rng.random() < 0.3)),))
        for item in items
    ]
    everything = {f"s{number}": seen[f"v{number}"] for number in range(400)} | scores
    calibration, _ = calibrate(shown + wrong, everything, [], {})
    assert calibration.without_face < -0.5
    alone = outcomes(wrong, scores)
    sure = calibration.probabilities(alone.score, alone.unseen)
    assert sure.mean() == pytest.approx(alone.right.mean(), abs=0.08)
    assert calibration.probabilities(alone.score).mean() > sure.mean() + 0.1


def test_the_threshold_keeps_neutral_time_free() -> None:
    calm = [make_item(f"n{i}", ()) for i in range(20)]
    loud = [make_item(f"v{i}", (SegmentLabel(10 * SNIPPET, 20 * SNIPPET, 1),)) for i in range(5)]
    scores = {item.name: scores_of([(5, 35, 0, 0.55)]) for item in calm}
    scores |= {item.name: scores_of([(10, 20, 1, 0.95)]) for item in loud}
    threshold = pick_threshold(calm + loud, scores, [], {}, Calibration(), most_marked={"n": 0.1, "v": 0.1})
    assert evaluate(calm + loud, scores, Calibration(), threshold).neutral_marked <= 0.1


def test_real_clips_are_not_marked_more_than_they_may_be() -> None:
    loud = [make_item(f"v{i}", (SegmentLabel(10 * SNIPPET, 20 * SNIPPET, 1),)) for i in range(5)]
    clips = [make_item(f"clips-{i}", ()) for i in range(4)]
    scores = {item.name: scores_of([(10, 20, 1, 0.95)]) for item in loud}
    clip_scores = {item.name: scores_of([(5, 35, 0, 0.7)]) for item in clips}
    threshold = pick_threshold(loud, scores, clips, clip_scores, Calibration(), most_marked={"clips": 0.05})
    assert neutral_marked(clips, clip_scores, Calibration(), threshold) <= 0.05


def test_clips_with_wrong_segments_lower_confidence() -> None:
    items, scores = many(200)
    clips = [make_item(f"clips-{i}", ()) for i in range(30)]
    clip_scores = {clip.name: scores_of([(10, 20, 1, 0.9)]) for clip in clips}
    alone, beside = calibrate(items, scores, [], {})[0], calibrate(items, scores, clips, clip_scores)[0]
    assert beside.apply(0.9) < alone.apply(0.9) - 0.05
