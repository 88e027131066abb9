"""The frame rate comes from time stamps, whatever the header states."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.results.warnings import WarningCode
from sentiloc.model.timebase import LEGAL_RATES
from sentiloc.worker.timeline.rate import FrameRate, RateMeter
from tests.support.media import make_clip
from tests.worker.test_decode import decode_all


def measured(times: list[float], tick: float = 0.001, stated: tuple[float | None, ...] = ()) -> FrameRate:
    meter = RateMeter([None if rate is None else Fraction(rate) for rate in stated], tick)
    for time in times:
        meter.add(round(time / tick) * tick if tick else time)
    return meter.read()


@pytest.mark.parametrize("rate", LEGAL_RATES)
@pytest.mark.parametrize("tick", [0.001, 1 / 90_000])
def test_constant_rates_are_found_from_rounded_stamps(rate: Fraction, tick: float) -> None:
    found = measured([float(i / rate) for i in range(1000)], tick)
    assert (found.timebase, found.is_variable) == (rate, False)
    assert list(found.warnings()) == []


@pytest.mark.parametrize("rate", LEGAL_RATES)
def test_dropped_frames_do_not_lower_the_rate(rate: Fraction) -> None:
    rng = np.random.default_rng(1)
    times = [float(i / rate) for i in range(3000) if rng.random() > 0.01]
    average = Fraction(len(times) / times[-1])
    found = measured(times, 0.001, (float(average),))
    assert (found.timebase, found.is_variable) == (rate, True)
    assert found.fps == pytest.approx(float(rate), rel=1e-4)


def test_packets_may_come_in_decoding_order() -> None:
    times = [i / 25 for i in range(200)]
    order = [j for i in range(0, 200, 4) for j in (i + 3, i + 1, i, i + 2)]
    assert measured([times[i] for i in order]).timebase == 25


def test_a_short_clip_follows_its_header_if_stamps_do_not_suffice() -> None:
    times = [i * 1001 / 24000 for i in range(30)]
    assert measured(times, 0.001, (24000 / 1001,)).timebase == Fraction(24000, 1001)
    assert measured(times, 0.001, (24.0,)).timebase == 24


@pytest.mark.parametrize("stated", [1000.0, 26.0, 24.5])
def test_a_refuted_header_is_reported(stated: float) -> None:
    found = measured([i / 25 for i in range(100)], 0.001, (stated,))
    assert (found.fps, found.stated) == (25.0, stated)
    assert [warning.code for warning in found.warnings()] == [WarningCode.NONSTANDARD_RATE]


@pytest.mark.parametrize("missing", [(40,), (40, 41, 60), (72, 74)])
def test_a_few_missing_pictures_of_a_short_video_are_no_variable_rate(missing: tuple[int, ...]) -> None:
    """A file that breaks off lacks some of its last pictures, because others were stored first."""
    found = measured([i / 25 for i in range(76) if i not in missing])
    assert (found.fps, found.is_variable) == (25.0, False)


@pytest.mark.parametrize("pause", [1.0, 2.4, 9.0])
def test_a_gap_lies_between_the_end_of_a_picture_and_the_next_one(pause: float) -> None:
    """From a second, and from eight and a half pictures; a gap begins when its picture should have ended."""
    times = [3.0 + i / 25 for i in range(50)]
    found = measured([*times, *(times[-1] + pause + i / 25 for i in range(50))], 1 / 90_000, (25.0,))
    gaps = [] if pause <= 1 else [(times[-1] + 1 / 25, times[-1] + pause)]
    assert [list(gap) for gap in found.gaps] == [pytest.approx(gap, abs=1e-3) for gap in gaps]
    assert (found.fps, found.is_variable, found.stated) == (25.0, False, None)


def test_slow_pictures_are_no_gaps() -> None:
    found = measured([*(i / 2 for i in range(40)), *(19.5 + 4.0 + i / 2 for i in range(40))])
    assert (found.fps, found.gaps) == (2.0, ())


def test_a_few_pictures_of_different_lengths_are_a_variable_rate() -> None:
    assert measured([0.0, 0.1, 0.6, 1.6]).is_variable


def test_jitter_is_a_variable_rate_with_a_usual_one() -> None:
    rng = np.random.default_rng(2)
    found = measured(np.cumsum(rng.uniform(0.024, 0.056, 700)).tolist(), 0.001, (None, 1000.0))
    assert found.is_variable
    assert 24.5 < found.fps < 25.5
    (warning,) = found.warnings()
    assert warning.code == WarningCode.VARIABLE_RATE
    assert re.fullmatch(
        r"The frame rate varies \(mostly [\d.]+\); exports count frames at 25\.", warning.detail
    )


@pytest.mark.parametrize(("usual", "slow"), [(30.0, 17.5), (30.0, 24.0), (24.0, 15.0), (60.0, 47.0)])
def test_a_phone_that_slows_down_in_the_dark_keeps_its_usual_rate(usual: float, slow: float) -> None:
    rng = np.random.default_rng(3)
    steps = np.concatenate([np.full(500, 1 / usual), np.full(200, 1 / slow), np.full(200, 1 / usual)])
    times = np.cumsum(steps) + rng.normal(0, 0.0001, len(steps))
    found = measured(times.tolist(), 1 / 90_000)
    assert (float(found.timebase), found.is_variable) == (usual, True)
    assert found.fps == pytest.approx(usual, rel=1e-3)


@pytest.mark.parametrize("bad", [0.9, 5.0])
def test_a_few_broken_stamps_do_not_change_the_rate(bad: float) -> None:
    times = [i / 25 + (bad if i in (100, 301) else 0) for i in range(840)]
    found = measured(times, 1 / 90_000, (25.0,))
    assert found.fps == 25.0


@pytest.mark.parametrize("rate", [25, 30, 60])
def test_jitter_on_both_sides_cancels_out(rate: int) -> None:
    rng = np.random.default_rng(4)
    times = np.arange(2000) / rate + rng.uniform(0, 0.25 / rate, 2000)
    assert measured(times.tolist(), 0.001, (1000.0,)).timebase == rate


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 0.5]])
def test_too_few_stamps_leave_the_header_or_the_usual(times: list[float]) -> None:
    assert measured(times).fps == 25.0
    assert measured(times, 0.001, (1000.0, 30.0)).fps == 30.0


@pytest.mark.parametrize(
    ("fps", "timebase", "warned"),
    [
        (15.0, "30/1", True),
        (25.0, "25/1", False),
        (30_000 / 1001, "30000/1001", False),
        (120.0, "120/1", False),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_the_result_names_rate_and_timebase(
    tmp_path: Path, suffix: str, fps: float, timebase: str, warned: bool
) -> None:
    path = tmp_path / f"clip{suffix}"
    make_clip(path, seconds=4, fps=fps, size=(64, 48))
    end = decode_all(path).end
    assert (end.timebase, end.variable_rate) == (timebase, False)
    assert end.fps == pytest.approx(fps, rel=1e-3)
    assert [warning.code for warning in end.warnings] == ["nonstandard_rate"] * warned


def test_a_timecode_states_drop_frame(tmp_path: Path) -> None:
    for timecode, dropped in (("01:00:00;00", True), ("01:00:00:00", False)):
        path = tmp_path / "clip.mov"
        make_clip(path, seconds=0.5, fps=30_000 / 1001, metadata=(("timecode", timecode),))
        info = decode_all(path).info
        assert (info.start_timecode, info.drop_frame) == (timecode, dropped)
