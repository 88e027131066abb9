"""Broken time stamps are repaired as players do it, and the result states it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiloc.worker.decoder.decode import grab_frame
from sentiloc.worker.timeline.stamps import FrameOrder, PacketClock
from tests.support.media import make_clip, read_time
from tests.worker.decoding import LIMITS
from tests.worker.test_decode import Decoded, beep_edges, decode_all

TICK = Fraction(1, 1000)


class _Stream:
    def __init__(self, index: int) -> None:
        self.index = index


def packets(*stamps: tuple[int, float]) -> list[Any]:
    """Packets of (stream, seconds)."""
    streams = {index: _Stream(index) for index, _ in stamps}
    return [_packet(streams[index], seconds) for index, seconds in stamps]


class _packet:  # noqa: N801
    def __init__(self, stream: _Stream, seconds: float) -> None:
        self.stream, self.time_base, self.is_discard = stream, TICK, False
        self.pts = self.dts = round(seconds * 1000)


def mended(
    stamps: list[tuple[int, float]], ends: float | None = None
) -> tuple[list[float | None], PacketClock]:
    clock = PacketClock(ends)
    found = [packet.dts for packet in clock.repair(packets(*stamps))]
    return [None if ticks is None else ticks / 1000 for ticks in found], clock


def steady(first: float, count: int, stream: int = 0) -> list[tuple[int, float]]:
    return [(stream, first + i * 0.04) for i in range(count)]


def test_whole_clocks_are_left_alone() -> None:
    stamps = [*steady(5.0, 50), (0, 12.0), *steady(15.0, 50)]
    assert mended(stamps)[0] == pytest.approx([seconds for _, seconds in stamps])


@pytest.mark.parametrize("second", [0.0, 1.0, 6.9, 5000.0])
def test_a_restarting_or_jumping_clock_is_continued(second: float) -> None:
    found, clock = mended([*steady(5.0, 100), *steady(second, 100)])
    assert found == pytest.approx([5.0 + i * 0.04 for i in range(200)], abs=0.002)
    assert clock.breaks == pytest.approx([8.96])


def test_all_streams_move_together() -> None:
    first = [pair for i in range(100) for pair in ((0, i * 0.04), (1, i * 0.04 + 0.013))]
    second = [(stream, seconds + 700) for stream, seconds in first]
    found, clock = mended([*first, *second])
    pictures, sound = found[0::2], found[1::2]
    assert pictures == pytest.approx([i * 0.04 for i in range(200)], abs=0.002)
    assert [a - b for a, b in zip(sound, pictures, strict=True) if a and b] == pytest.approx(
        [0.013] * 199, abs=0.002
    )
    assert len(clock.breaks) == 1


def test_two_bad_stamps_in_a_row_are_ignored() -> None:
    found, clock = mended([*steady(0.0, 50), (0, 839.0), (0, 412.0), *steady(2.08, 50)])
    assert found[:50] == pytest.approx([i * 0.04 for i in range(50)], abs=0.002)
    assert found[52:] == pytest.approx([2.08 + i * 0.04 for i in range(50)], abs=0.002)
    assert clock.breaks == []


@pytest.mark.parametrize("bad", [839.0, 2.5, -4.0, 0.0])
def test_one_bad_stamp_is_ignored(bad: float) -> None:
    stamps = steady(1.0, 60)
    stamps[30] = (0, bad)
    found, clock = mended(stamps)
    assert found[:30] + found[31:] == pytest.approx([1.0 + i * 0.04 for i in range(60) if i != 30])
    assert (clock.breaks, len(clock.outliers)) == ([], 1)


def test_gaps_that_another_stream_fills_or_the_container_declares_stay() -> None:
    screen = [(0, 0.0), *steady(0.0, 1000, 1), (0, 40.0), *steady(40.0, 20, 1)]
    assert mended(screen)[0][1001] == 40.0
    assert mended([(0, 0.0), (0, 300.0), (0, 300.04)], ends=301.0)[0][1] == 300.0


def placed(stamps: list[float | None], *, goes_on: bool = True) -> list[float]:
    found: list[float] = []
    order: FrameOrder[int] = FrameOrder(lambda _, seconds: found.append(seconds), 0.04, goes_on=goes_on)
    for index, stamp in enumerate(stamps):
        order.push(index, stamp, None if goes_on else 0.04)
    order.finish()
    return found


@pytest.mark.parametrize("goes_on", [True, False])
def test_frames_without_a_stamp_follow_the_one_before(goes_on: bool) -> None:
    assert placed([0.0, None, 0.08, None], goes_on=goes_on) == pytest.approx([0.0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("bad", [900.0, -3.0])
def test_one_frame_out_of_order_stays_in_its_place(bad: float, goes_on: bool) -> None:
    stamps: list[float | None] = [i * 0.04 for i in range(40)]
    stamps[20] = bad
    assert placed(stamps, goes_on=goes_on) == pytest.approx([i * 0.04 for i in range(40)], abs=1e-9)


def test_pictures_go_on_after_a_step_back_and_sound_follows_its_stamps() -> None:
    stamps: list[float | None] = [*(i * 0.04 for i in range(50)), *(1.0 + i * 0.04 for i in range(50))]
    assert placed(stamps) == pytest.approx([i * 0.04 for i in range(100)])
    assert placed(stamps, goes_on=False)[50:] == pytest.approx([1.0 + i * 0.04 for i in range(50)])


BROKEN = ("joined", "joined far", "jump", "outlier")


def broken(folder: Path, kind: str, suffix: str) -> Path:
    """A clip of six seconds whose picture tells its time modulo three seconds, and a broken clock."""
    path = folder / f"{kind}{suffix}"
    parts = []
    for index in range(2):
        start = {"joined": 10.0, "joined far": 10.0 - 7 * index, "jump": 10.0 + 903 * index, "outlier": 0}[
            kind
        ]
        part = folder / f"{index}{suffix}"
        make_clip(
            part,
            seconds=3,
            start=10.0 + 3 * index if kind == "outlier" else start,
            audio="aac",
            beeps=((1.0, 1.5),),
            options=(("preset", "ultrafast"), ("g", "12"), ("bf", "0")),
        )
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    if kind == "outlier":
        _spoil_stamp(path, 40)
    return path


def _spoil_stamp(path: Path, number: int) -> None:
    """Move the PTS of one picture of a transport stream by ten minutes (ISO 13818-1, 2.4.3.7)."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(number):
        at = data.index(b"\x00\x00\x01\xe0", at + 1)
    head = at + 9
    stamp = 600 * 90_000
    for shift, place in ((30, 0), (22, 1), (15, 2), (7, 3), (0, 4)):
        mask = {0: 0x0E, 1: 0xFF, 2: 0xFE, 3: 0xFF, 4: 0xFE}[place]
        bits = (stamp >> shift << (1 if place in (0, 2, 4) else 0)) & mask
        data[head + place] = data[head + place] & ~mask & 0xFF | bits
    path.write_bytes(data)


@pytest.mark.parametrize("kind", BROKEN)
def test_files_with_a_broken_clock_are_decoded_whole(tmp_path: Path, kind: str) -> None:
    path = broken(tmp_path, kind, ".ts")
    decoded: Decoded = decode_all(path)
    assert decoded.end.frames == 150
    assert decoded.end.duration == pytest.approx(6.0, abs=0.1)
    wanted = [k / 25 % 3 for k in range(150)]
    wrong = [abs(a - b) > 0.085 for a, b in zip(decoded.times, wanted, strict=False)]
    assert np.mean(wrong) < 0.05
    assert beep_edges(decoded.sound) == pytest.approx([1.0, 1.5, 4.0, 4.5], abs=0.08)
    assert "mended_timestamps" in [warning.code for warning in decoded.end.warnings]
    assert read_time(grab_frame(path, 4.6, 128, LIMITS)) == pytest.approx(1.6, abs=0.085)
