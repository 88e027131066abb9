"""A stored result is read back completely, and cut again without running a network."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.cut import GivenSegment, cut_segments, given_segments, recut
from sentiloc.model.results.result import ModelIdentity, Result, SegmentOptions, make_curve, parse_result
from sentiloc.model.results.time_range import within
from sentiloc.model.segments import FloatArray, FrameScores, VideoInfo

STEP = 0.64
MAPS = ("timings", "without", "series", "probabilities")
SNIPPETS = 100


def frame_scores(positive: FloatArray, negative: FloatArray) -> FrameScores:
    sentiment = np.maximum(positive, negative)
    scores = np.stack([negative, positive, 1 - sentiment], axis=1).astype(np.float32)
    return FrameScores(scores=scores, saliency=sentiment.astype(np.float32))


def bumps(level: float) -> FrameScores:
    """Positive in snippets 10-29 at `level`, negative in 60-79 at 0.8."""
    positive, negative = np.full((2, SNIPPETS), 0.05, np.float32)
    positive[10:30], negative[60:80] = level, 0.8
    return frame_scores(positive, negative)


@pytest.fixture
def result() -> Result:
    options = SegmentOptions(threshold=0.3)
    without = {"face": bumps(0.1), "audio": bumps(0.7)}
    curve = make_curve(bumps(0.9), STEP, (True,) * SNIPPETS, without)
    return Result(
        video=VideoInfo(duration=64.0, fps=25.0, width=640, height=360, has_audio=True),
        faces_seen=SNIPPETS,
        segments=cut_segments(curve, 64.0, Calibration(), options),
        curve=curve,
        model=ModelIdentity(name="m", version="1", spec_hash="0" * 16, device="cpu"),
        timings={"localizing": 0.1},
        options=options,
        calibration=Calibration(),
    )


def test_segments_follow_the_curve(result: Result) -> None:
    assert [segment.label for segment in result.segments] == ["positive", "negative"]
    assert abs(result.segments[0].start - 6.4) < STEP
    assert abs(result.segments[0].end - 19.2) < STEP


def test_evidence_is_the_loss_without_a_stream(result: Result) -> None:
    positive, negative = (segment.evidence for segment in result.segments)
    assert positive is not None
    assert negative is not None
    assert positive.face > 0.7
    assert positive.visual == 0
    assert positive.face + positive.audio == pytest.approx(1)
    assert negative.face == negative.audio == 0.5


def test_a_stored_result_reads_back_equal(result: Result) -> None:
    text = json.dumps(result.to_dict())
    assert json.dumps(parse_result(json.loads(text)).to_dict()) == text


def test_fields_of_a_later_version_are_left_out(result: Result) -> None:
    """During an upgrade, an older API reads results of newer workers."""
    stored = json.loads(json.dumps(result.to_dict()))
    assert json.loads(json.dumps(parse_result(with_later_fields(stored)).to_dict())) == stored


def with_later_fields(raw: Any) -> Any:
    """A stored result with one more field in every object whose fields are fixed."""
    if isinstance(raw, list):
        return [with_later_fields(one) for one in raw]
    if not isinstance(raw, dict):
        return raw
    kept = {name: value if name in MAPS else with_later_fields(value) for name, value in raw.items()}
    return {**kept, "of_a_later_version": 1}


def test_cutting_again_with_the_same_options_gives_the_same_segments(result: Result) -> None:
    stored = parse_result(json.loads(json.dumps(result.to_dict())))
    again = cut_segments(stored.curve, stored.video.duration, stored.calibration, stored.options)
    assert again == result.segments


def test_other_options_give_other_segments(result: Result) -> None:
    assert recut(result, replace(result.options, threshold=0.99)).segments == ()
    only = recut(result, replace(result.options, labels=("negative",)))
    assert [segment.label for segment in only.segments] == ["negative"]
    assert recut(result, replace(result.options, min_length=30.0)).segments == ()


def test_segments_drawn_by_hand_are_sorted_certain_and_have_peaks_and_evidence(result: Result) -> None:
    drawn = (
        GivenSegment(start=40.0, end=64.04, label="negative"),
        GivenSegment(start=3.2, end=9.6, label="positive"),
    )
    given = given_segments(result.curve, 64.0, drawn)
    assert [(row.start, row.end, row.label) for row in given] == [
        (3.2, 9.6, "positive"),
        (40.0, 64.0, "negative"),
    ]
    assert {(row.confidence, row.source) for row in given} == {(1.0, "person")}
    assert all(row.start <= row.peak <= row.end and row.evidence is not None for row in given)


def test_segments_behind_the_video_s_end_are_left_out(result: Result) -> None:
    behind = [GivenSegment(start=start, end=70.0, label="positive") for start in (64.0, 65.0)]
    assert given_segments(result.curve, 64.0, behind) == ()


def test_unchanged_segments_remain_the_model_s(result: Result) -> None:
    rounded = [
        GivenSegment(start=round(row.start, 3), end=round(row.end, 3), label=row.label)
        for row in result.segments
    ]
    given = given_segments(result.curve, 64.0, rounded, result.segments)
    assert [(row.peak, row.evidence, row.confidence, row.source) for row in given] == [
        (row.peak, row.evidence, row.confidence, "model") for row in result.segments
    ]


def test_a_changed_edge_or_label_makes_a_segment_a_person_s(result: Result) -> None:
    first = result.segments[0]
    moved = GivenSegment(start=first.start, end=first.end - 0.5, label=first.label)
    other = "negative" if first.label == "positive" else "positive"
    turned = GivenSegment(start=first.start, end=first.end, label=other)
    delayed = GivenSegment(start=first.start + 0.004, end=first.end, label=first.label)
    for changed in (moved, turned, delayed):
        (given,) = given_segments(result.curve, 64.0, [changed], result.segments)
        assert given.source == "person"


def test_a_stated_confidence_is_the_model_s(result: Result) -> None:
    """Segments that were cut by other options are not among the stored ones; the client states their confidence."""
    (given,) = given_segments(
        result.curve, 64.0, [GivenSegment(start=1.0, end=5.0, label="positive", confidence=0.61)]
    )
    assert (given.confidence, given.source) == (0.61, "model")


@pytest.mark.parametrize("broken", [{}, {"video": {}}, {"video": {"faces_seen": 1}, "segments": []}])
def test_anything_else_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(SentilocError) as caught:
        parse_result(broken)
    assert caught.value.code is ErrorCode.INVALID_DATA


def test_a_part_has_its_segments_in_the_video_s_time(result: Result) -> None:
    positive, _ = result.segments
    assert within(result, 0.0, 32.0).segments == (positive,)
    assert [segment.label for segment in within(result, 32.0, None).segments] == ["negative"]
    (part,) = within(result, 12.8, 32.0).segments
    assert part.start == pytest.approx(12.8, abs=STEP)
    assert part.end == positive.end
    assert within(result, 20.5, 30.0).segments == ()
    assert within(result, 100.0, 200.0).segments == ()
    assert within(result, 0.0, None) == result


def test_a_part_stays_a_part_when_it_is_cut_again(result: Result) -> None:
    part = within(result, 32.0, None)
    assert isinstance(part, Result)
    again = recut(part, replace(part.options, threshold=0.0, min_length=0.0))
    assert all(segment.start >= 32.0 for segment in again.segments)
    assert len(part.curve.positive) == SNIPPETS
    assert parse_result(json.loads(json.dumps(part.to_dict()))).segments == part.segments
