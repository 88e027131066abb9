"""Highlights: the choice among videos, and the cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sentiloc.model.highlights.choice import Spread
from sentiloc.model.highlights.handles import HandleOptions, find_pauses
from sentiloc.model.highlights.highlights import Highlight, HighlightOptions, find_highlights
from sentiloc.model.highlights.moments import (
    Footage,
    MomentOptions,
    _crossing,
    _strongest_window,
    find_moments,
)
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions
from sentiloc.model.results.sound import Sound
from sentiloc.model.segments import Segment, VideoInfo

STEP = 0.64
SOUND_STEP = 0.16


def segment(start: float, end: float, label: str = "positive", confidence: float = 0.8) -> Segment:
    return Segment(start=start, end=end, label=label, confidence=confidence, peak=(start + end) / 2)


def curve(duration: float, segments: Sequence[Segment], seed: int = 0) -> Curve:
    """Low noise, with a hill of the label's score over each segment."""
    count = int(np.ceil(duration / STEP))
    noise = np.random.default_rng(seed)
    rows = {label: noise.uniform(0.0, 0.15, count) for label in ("negative", "positive")}
    saliency = noise.uniform(0.0, 0.2, count)
    centres = (np.arange(count) + 0.5) * STEP
    for one in segments:
        reach = max(STEP, (one.end - one.start) / 2)
        hill = np.exp(-(((centres - one.peak) / reach) ** 2))
        rows[one.label] = np.maximum(rows[one.label], 0.9 * hill)
        saliency = np.maximum(saliency, 0.9 * hill)
    return Curve(
        step=STEP,
        negative=tuple(rows["negative"].tolist()),
        positive=tuple(rows["positive"].tolist()),
        non_sentiment=tuple((1 - saliency).tolist()),
        saliency=tuple(saliency.tolist()),
    )


def footage(
    name: str,
    segments: Sequence[Segment],
    *,
    duration: float = 120.0,
    shots: tuple[float, ...] = (),
    pauses: Sequence[tuple[float, float]] = (),
    seed: int | None = None,
) -> Footage:
    """A video of loud speech with `pauses`."""
    times = np.arange(0, duration, SOUND_STEP)
    loud = np.random.default_rng(len(name)).uniform(0.7, 1.0, len(times))
    for start, end in pauses:
        loud[(times >= start - 1e-6) & (times < end - 1e-6)] = 0.1
    result = Result(
        video=VideoInfo(duration=duration, fps=25, width=640, height=360, has_audio=True, timebase="25/1"),
        faces_seen=0,
        segments=tuple(segments),
        curve=curve(duration, segments, seed if seed is not None else sum(map(ord, name))),
        model=ModelIdentity(name="m", version="1", spec_hash="0", device="cpu"),
        timings={},
        options=SegmentOptions(threshold=0.5),
        calibration=Calibration(),
        sound=Sound(step=SOUND_STEP, loudness=tuple(loud.tolist())),
        shots=shots,
    )
    return Footage(id=name, name=f"{name}.mp4", result=result)


def best(videos: Sequence[Footage], count: int = 10, **options: object) -> tuple[Highlight, ...]:
    return find_highlights(videos, HighlightOptions(count=count, **options))  # type: ignore[arg-type]


class TestMoments:
    def test_segments_and_turns_are_moments(self) -> None:
        video = footage("a", [segment(10, 14, "negative", 0.9), segment(16, 20, "positive", 0.7)])
        found = {one.kind: one for one in find_moments(video, MomentOptions())}
        assert set(found) == {"positive", "negative", "turning_point"}
        turn = found["turning_point"]
        assert 14 <= turn.peak <= 16
        assert turn.start >= 10
        assert turn.end <= 20
        assert turn.confidence == pytest.approx(0.63)

    def test_equal_labels_and_distant_segments_do_not_turn(self) -> None:
        video = footage("a", [segment(10, 14), segment(16, 20), segment(40, 44, "negative")])
        assert {one.kind for one in find_moments(video, MomentOptions())} == {"positive", "negative"}

    def test_a_long_segment_is_shortened_around_its_strongest_part(self) -> None:
        long = Segment(start=10, end=70, label="positive", confidence=0.8, peak=50)
        video = footage("a", [long])
        (found,) = find_moments(video, MomentOptions(max_seconds=8))
        assert found.end - found.start == pytest.approx(8)
        assert found.start <= 50 <= found.end

    @pytest.mark.parametrize(
        ("peak", "high", "start"),
        [(50, (44, 52), 44), (12, (5, 14), 10), (68, (66, 80), 62), (50, (20, 44), 42), (50, (52, 80), 50)],
    )
    def test_the_strongest_part_holds_the_peak_and_lies_in_the_segment(
        self, peak: float, high: tuple[int, int], start: float
    ) -> None:
        curve = np.zeros(100)
        curve[slice(*high)] = 0.8
        long = Segment(start=10, end=70, label="positive", confidence=0.8, peak=peak)
        assert _strongest_window(curve, 1.0, long, 8.0) == start

    def test_a_turn_leads_from_peak_to_peak_around_its_middle(self) -> None:
        before, after = segment(10, 14, "negative"), segment(16, 20)
        turn_only = MomentOptions(kinds=("turning_point",))
        (turn,) = find_moments(footage("a", [before, after]), turn_only)
        assert (turn.start, turn.end, turn.by_hand) == (12, 18, False)
        (short,) = find_moments(footage("a", [before, after]), replace(turn_only, max_seconds=2.0))
        assert (short.start, short.end) == (turn.peak - 1, turn.peak + 1)
        drawn = replace(after, confidence=1.0, source="person")
        assert [one.by_hand for one in find_moments(footage("a", [before, drawn]), turn_only)] == [True]

    @pytest.mark.parametrize(("overtakes", "turn"), [(13, 14.0), (15, 15.0), (18, 17.0), (19, 15.5)])
    def test_a_turn_is_where_the_second_label_overtakes_the_first_between_both(
        self, overtakes: int, turn: float
    ) -> None:
        before, after = segment(10, 14, "negative"), segment(17, 19)
        curves = {"negative": np.full(30, 0.5), "positive": np.where(np.arange(30) < overtakes, 0.2, 0.8)}
        assert _crossing(before, after, curves, 1.0) == turn

    def test_a_turning_point_shows_at_least_half_a_second_of_each_segment(self) -> None:
        touching = [replace(segment(10, 14, "negative"), peak=14), replace(segment(14, 18), peak=14)]
        (turn,) = find_moments(footage("a", touching), MomentOptions(kinds=("turning_point",)))
        assert (turn.start, turn.peak, turn.end) == (13.5, 14, 14.5)

    def test_kinds_filter(self) -> None:
        video = footage("a", [segment(10, 14, confidence=0.6), segment(30, 34, "negative", 0.9)])
        assert [one.kind for one in find_moments(video, MomentOptions(kinds=("positive",)))] == ["positive"]

    def test_another_confidence_cuts_the_curve_again(self) -> None:
        video = footage("a", [segment(10, 14, confidence=0.6)])
        hill = find_moments(video, MomentOptions(min_confidence=0.3))
        assert [one.kind for one in hill] == ["positive"]
        assert hill[0].start <= 12 <= hill[0].end
        assert hill[0].confidence != 0.6
        assert find_moments(video, MomentOptions(min_confidence=0.999)) == ()

    def test_unchanged_segments_are_not_cut_again(self) -> None:
        video = footage("a", [replace(segment(10, 14, confidence=1.0), source="person")])
        found = find_moments(video, MomentOptions(min_confidence=0.3))
        assert [(one.start, one.end, one.by_hand) for one in found] == [(10, 14, True)]


class TestChoice:
    def test_the_most_certain_are_taken_and_shown_in_order_of_time(self) -> None:
        sure = (0.5, 0.9, 0.6, 0.95)
        video = footage("a", [segment(20 * i, 20 * i + 4, confidence=c) for i, c in enumerate(sure, 1)])
        found = best([video], 2, moments=MomentOptions(kinds=("positive",)))
        assert [one.moment.confidence for one in found] == [0.9, 0.95]
        assert [one.rank for one in found] == [2, 1]

    def test_they_are_spread_over_videos(self) -> None:
        rich = footage("rich", [segment(15 * i, 15 * i + 4, confidence=0.9) for i in range(1, 7)])
        poor = footage("poor", [segment(30, 34, confidence=0.75)])
        found = best([rich, poor], 3)
        assert {one.footage.id for one in found} == {"rich", "poor"}
        alone = best([rich, poor], 3, spread=Spread(same_video=1.0, nearby=0.0))
        assert {one.footage.id for one in alone} == {"rich"}

    def test_they_are_spread_over_time(self) -> None:
        close = [segment(20, 22, confidence=0.9), segment(24, 26, confidence=0.89)]
        video = footage("a", [*close, segment(100, 102, confidence=0.8)])
        assert [one.moment.start for one in best([video], 2)] == [20, 100]

    def test_the_nearest_chosen_moment_counts(self) -> None:
        sure = [segment(20, 22, confidence=0.9), segment(100, 102, confidence=0.85)]
        near, far = segment(24, 26, confidence=0.66), segment(60, 62, confidence=0.67)
        assert [one.moment.start for one in best([footage("a", [*sure, near, far])], 3)] == [20, 60, 100]

    def test_no_moment_is_taken_twice_even_if_moments_may_touch(self) -> None:
        turn = [segment(20, 24, "negative"), segment(25, 29), segment(60, 64)]
        found = best([footage("a", turn)], 10, spread=Spread(min_apart=0.0))
        assert len({one.moment for one in found}) == len(found)

    def test_a_turning_point_is_not_shown_beside_its_own_segments(self) -> None:
        video = footage("a", [segment(10, 14, "negative", 0.9), segment(15, 19, "positive", 0.8)])
        found = best([video], 10)
        spans = sorted((one.moment.start, one.moment.end) for one in found)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
        assert "turning_point" not in {one.moment.kind for one in found}

    @pytest.mark.parametrize("confidence", [0.75, 0.5])
    def test_turning_points_are_found_among_more_certain_segments(self, confidence: float) -> None:
        turn = [segment(200, 204, "negative", confidence), segment(205, 209, confidence=confidence)]
        sure = [segment(15 * i, 15 * i + 4, confidence=0.95) for i in range(1, 12)]
        found = best([footage("a", [*sure, *turn], duration=240.0)], 6)
        kinds = [one.moment.kind for one in found]
        assert kinds.count("turning_point") == 1
        assert min(found, key=lambda one: one.rank).moment.kind == "positive"
        # It replaces the two segments that it joins.
        assert [one.moment.kind for one in found if one.moment.end > 200] == ["turning_point"]

    def test_uncertain_turning_points_take_no_place(self) -> None:
        turn = [segment(200, 204, "negative", 0.4), segment(205, 209, confidence=0.4)]
        sure = [segment(15 * i, 15 * i + 4, confidence=0.95) for i in range(1, 7)]
        found = best([footage("a", [*sure, *turn], duration=240.0)], 6)
        assert "turning_point" not in {one.moment.kind for one in found}

    def test_turning_points_take_one_place_in_three_at_most(self) -> None:
        pairs = [(30 * i, label, s) for i in range(1, 7) for label, s in (("negative", 0), ("positive", 5))]
        video = footage(
            "a", [segment(at + s, at + s + 4, label, 0.9) for at, label, s in pairs], duration=240.0
        )
        spread = Spread(same_video=1.0, nearby=0.0)
        kinds = [one.moment.kind for one in best([video], 6, spread=spread)]
        assert kinds.count("turning_point") == 2
        assert len(kinds) == 6

    def test_a_copy_of_a_video_adds_nothing(self) -> None:
        segments = [segment(20, 24), segment(60, 64, confidence=0.7)]
        one, copy = footage("one", segments, seed=1), footage("two", segments, seed=1)
        copy = replace(copy, result=replace(copy.result, sound=one.result.sound))
        assert len(best([one, copy])) == 2
        other = footage("two", segments, seed=2)
        assert len(best([one, other])) == 4

    def test_no_videos_give_no_highlights(self) -> None:
        assert best([]) == ()
        assert best([footage("a", [])]) == ()


class TestCuts:
    def test_handles_have_the_requested_length_if_nothing_is_near(self) -> None:
        (found,) = best([footage("a", [segment(20, 24)])], handles=HandleOptions(handle=1.5, snap=0.5))
        assert (found.cut.start, found.cut.end) == (18.5, 25.5)
        assert (found.cut.start_snap, found.cut.end_snap) == ("none", "none")

    def test_cuts_move_into_pauses(self) -> None:
        video = footage("a", [segment(20, 24)], pauses=[(18.4, 19.2), (25.12, 25.92)])
        (found,) = best([video])
        assert found.cut.start_snap == found.cut.end_snap == "pause"
        assert 18.4 <= found.cut.start <= 19.2
        assert 25.12 <= found.cut.end <= 25.92

    def test_a_change_of_shot_is_preferred_and_hit_exactly(self) -> None:
        video = footage("a", [segment(20, 24)], shots=(19.4, 25.32), pauses=[(18.4, 19.2)])
        (found,) = best([video])
        assert (found.cut.start, found.cut.end) == (19.4, 25.32)
        assert found.cut.start_snap == found.cut.end_snap == "shot"

    def test_the_nearest_change_of_shot_is_hit(self) -> None:
        video = footage("a", [segment(20, 24)], shots=(18.6, 19.2, 24.9, 25.4))
        (found,) = best([video], handles=HandleOptions(handle=1.0, snap=0.5))
        assert (found.cut.start, found.cut.end) == (19.2, 24.9)

    def test_distant_cuts_move_nothing(self) -> None:
        video = footage("a", [segment(20, 24)], shots=(17.0, 28.0), pauses=[(15, 16)])
        (found,) = best([video])
        assert (found.cut.start_snap, found.cut.end_snap) == ("none", "none")

    def test_a_cut_never_enters_the_moment(self) -> None:
        video = footage("a", [segment(20, 24)], shots=(20.2, 23.8))
        (found,) = best([video], handles=HandleOptions(handle=0.0, snap=0.5))
        assert (found.cut.start, found.cut.end) == (20, 24)

    def test_the_video_s_edges_are_respected(self) -> None:
        (found,) = best([footage("a", [segment(0.4, 9.8)], duration=10.0)])
        assert (found.cut.start, found.cut.end) == (0.0, 10.0)
        assert found.cut.start_snap == found.cut.end_snap == "edge"

    def test_no_frame_is_shown_twice(self) -> None:
        video = footage("a", [segment(20, 23), segment(24.2, 27, "negative")])
        first, second = best([video], 2, moments=MomentOptions(kinds=("positive", "negative")))
        assert first.cut.end <= second.cut.start
        assert first.cut.end >= 23
        assert second.cut.start <= 24.2


def test_a_pause_is_quiet_beside_its_surroundings() -> None:
    loud = np.concatenate([np.full(60, 0.9), np.full(4, 0.2), np.full(60, 0.9), np.full(60, 0.2)])
    found = find_pauses(Sound(step=SOUND_STEP, loudness=tuple(loud.tolist())))
    assert (found[0].start, found[0].end) == pytest.approx((60 * 0.16, 64 * 0.16))
    # A long quiet part counts as a pause only near speech, because its own level is low.
    assert all(pause.end - pause.start < 6 for pause in found)


def test_a_pause_lasts_at_least_three_tenths_of_a_second() -> None:
    loud = np.full(125, 0.9)
    loud[[20, 40, 41, 60, 61, 62]] = 0.1
    found = find_pauses(Sound(step=SOUND_STEP, loudness=tuple(loud.tolist())))
    assert [(one.start, one.end) for one in found] == [(6.4, 6.72), (9.6, 10.08)]


def test_without_sound_there_are_no_pauses() -> None:
    assert find_pauses(None) == ()
    assert find_pauses(Sound(step=SOUND_STEP, loudness=())) == ()
