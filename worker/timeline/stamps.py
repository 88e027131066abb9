"""Repairs broken time stamps as players do: after a restart or jump the time continues, and a single bad value is
ignored.

This happens in two places. `PacketClock` handles packets in file order, where all streams share one clock: a break
moves every stream by the same amount, so that sound stays in sync. `FrameOrder` handles the decoded frames of one
stream, which come in display order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

from av.packet import Packet

T = TypeVar("T")

STEADY_SECONDS = 0.25
"""Seconds. A time stamp at most this late is accepted; for a later one, the following packets decide."""
GAP_SECONDS = 10.0
"""Seconds. A longer gap is a jump of the clock, unless the container's duration covers it."""
BACK_SECONDS = 0.25
"""Seconds. Decoding time stamps never decrease; without them, reordering may make time stamps decrease by this much."""
_REORDER_SECONDS = 1.0
# Stamps of transport streams wrap after 26.5 hours, so a stamp before 0 looks this late.
_ASTRAY_SECONDS = 12 * 3600.0
# Packets of the same stream that are examined before a doubtful stamp is judged.
_AHEAD = 8
# Packets with the same decoding time after which the clock counts as stopped.
_STILL = 8
# Frames that are held before a jump is accepted. They are decoded pictures, so this bounds memory.
_DOUBTFUL = 2
# Bounds memory in a file whose streams are badly interleaved.
_MAX_HELD = 4096
_LONGEST_STEP = 1.0
# Containers round time stamps to milliseconds, so two of them may be off by that together.
_ROUNDING = 0.002
# Demuxers state decoding times after at most this many packets, or never.
_REORDERED = 32
# One frame at 25 frames per second, until a step has been measured.
_DEFAULT_STEP = 0.04


@dataclass(slots=True)
class _Track:
    """One stream's clock: its last repaired time stamp, typical step, what is added to its stamps, and their base."""

    last: float | None = None
    step: float = _DEFAULT_STEP
    offset: float = 0.0
    unstamped: int = 0
    raw: float = 0.0
    still: int = 0
    base: Fraction | None = None


class PacketClock:
    """Yields packets with repaired time stamps.

    `ends` is the time up to which long gaps are trusted; None trusts only short gaps.
    """

    def __init__(self, ends: float | None = None) -> None:
        self._ends = ends
        self._offset = 0.0
        self._tracks: dict[int, _Track] = {}
        self._held: deque[Packet[Any]] = deque()
        self.breaks: list[float] = []
        """Repaired times (seconds) at which the clock broke."""
        self.outliers: list[float] = []
        """Repaired times (seconds) near which one time stamp was ignored."""
        self.latest_ignored = 0.0
        """The latest time stamp (seconds) that was ignored."""

    def repair(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Yield all packets, each with its continuous time in seconds."""
        source = iter(packets)
        while True:
            packet = self._held.popleft() if self._held else next(source, None)
            if packet is None:
                return
            self._place(packet, source)
            yield packet

    def _place(self, packet: Packet[Any], source: Iterator[Packet[Any]]) -> None:
        track = self._tracks.get(packet.stream.index)
        if track is None:
            track = _Track(offset=self._offset)
            self._tracks[packet.stream.index] = track
        raw = _stamp(packet, track)
        # Packets that an edit list hides overlap others; they are only needed to decode those.
        if raw is None or packet.is_discard:
            _move(packet, track.offset)
            return
        if self._stands_still(track, raw, packet):
            return
        if not _is_steady(track, raw + track.offset, packet):
            self._resolve(track, raw, packet, source)
            if packet.dts is None and packet.pts is None:
                return
        _move(packet, track.offset)
        now = raw + track.offset
        if track.last is not None and 0 < now - track.last < _LONGEST_STEP:
            track.step = now - track.last
        track.last = now if track.last is None else max(track.last, now)

    def _stands_still(self, track: _Track, raw: float, packet: Packet[Any]) -> bool:
        """Whether the clock has stopped. Then the packet loses its stamps, and follows the one before."""
        track.still = track.still + 1 if raw == track.raw else 0
        track.raw = raw
        if track.still < _STILL or track.last is None:
            return False
        if track.still == _STILL:
            self.breaks.append(track.last)
        packet.pts = packet.dts = None
        return True

    def _resolve(self, track: _Track, raw: float, packet: Packet[Any], source: Iterator[Packet[Any]]) -> None:
        """Find the offset for a time stamp that does not fit, or remove it if it is a single outlier."""
        assert track.last is not None  # noqa: S101
        if track.offset != self._offset:
            delta = raw + self._offset - track.last
            if -_REORDER_SECONDS <= delta <= GAP_SECONDS:
                track.offset = self._offset
                return
        if self._is_alone(track, packet, source):
            # Without a time stamp the packet follows the previous one; the decoder still gets its data.
            self.latest_ignored = max(self.latest_ignored, _latest(packet))
            packet.pts = packet.dts = None
            self.outliers.append(track.last)
            return
        if self._was_outlier(track, raw + track.offset):
            self.outliers.append(raw + track.offset)
            track.last = raw + track.offset
            return
        if not self._is_gap(track, raw + track.offset):
            track.offset += track.last + track.step - (raw + track.offset)
            self._offset = track.offset
            self.breaks.append(track.last)

    def _was_outlier(self, track: _Track, now: float) -> bool:
        """Whether only this stream was far from all others, and `now` is near them again."""
        assert track.last is not None  # noqa: S101
        last = track.last
        others = [o.last for o in self._tracks.values() if o.last is not None and o is not track]
        is_apart = all(abs(other - last) > _ASTRAY_SECONDS for other in others)
        return is_apart and any(abs(other - now) <= GAP_SECONDS for other in others)

    def _is_gap(self, track: _Track, now: float) -> bool:
        """Whether a jump to `now` is a range without packets rather than a break of the clock."""
        assert track.last is not None  # noqa: S101
        if now < track.last:
            return False
        others = [
            other.last for other in self._tracks.values() if other.last is not None and other is not track
        ]
        # All streams share one clock. If another stream is already at that time, this one merely had no packets.
        goes_on_elsewhere = any(now - GAP_SECONDS <= last <= now + GAP_SECONDS for last in others)
        # A gap within the container's duration is real; beyond it, it is a jump.
        is_declared = self._ends is not None and now <= self._ends + STEADY_SECONDS
        return now - track.last <= GAP_SECONDS or goes_on_elsewhere or is_declared

    def _is_alone(self, track: _Track, packet: Packet[Any], source: Iterator[Packet[Any]]) -> bool:
        """Whether the stamp is an outlier: one of the stream's next packets continues from the last good time stamp."""
        assert track.last is not None  # noqa: S101
        seen = 0
        for after in self._look_ahead(source):
            raw = _stamp(after, track) if after.stream.index == packet.stream.index else None
            if raw is None or after.is_discard:
                continue
            seen += 1
            delta = raw + track.offset - track.last
            # The doubtful packet has no position; each packet after it may be one step further.
            if -_back(after) <= delta <= STEADY_SECONDS + (seen + 1) * track.step:
                return True
            if seen >= _AHEAD:
                break
        return False

    def _look_ahead(self, source: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
        yield from list(self._held)
        while len(self._held) < _MAX_HELD and (packet := next(source, None)) is not None:
            self._held.append(packet)
            yield packet


def _stamp(packet: Packet[Any], track: _Track) -> float | None:
    """The decoding time in seconds, which never decreases unless the clock breaks.

    Some demuxers do not know it for the first packets. If it is never known, presentation times are used.
    """
    ticks = packet.dts
    if ticks is not None:
        track.unstamped = 0
    else:
        track.unstamped += 1
        ticks = packet.pts if track.unstamped > _REORDERED else None
    if ticks is None:
        return None
    if track.base is None:
        # Cached: PyAV creates a new fraction at each access, and a stream's time base does not change.
        track.base = packet.time_base
    return in_seconds(ticks, track.base) if track.base else None


def _latest(packet: Packet[Any]) -> float:
    """The later one of a packet's time stamps, in seconds."""
    ticks = max((stamp for stamp in (packet.pts, packet.dts) if stamp is not None), default=0)
    return in_seconds(ticks, packet.time_base) if packet.time_base else 0.0


def in_seconds(ticks: int, base: Fraction) -> float:
    """Convert `ticks` of `base` seconds; several times faster than multiplying fractions for each packet."""
    return ticks * base.numerator / base.denominator


def _back(packet: Packet[Any]) -> float:
    return BACK_SECONDS if packet.dts is not None else _REORDER_SECONDS


def _is_steady(track: _Track, now: float, packet: Packet[Any]) -> bool:
    return track.last is None or -_back(packet) <= now - track.last <= STEADY_SECONDS


def _move(packet: Packet[Any], offset: float) -> None:
    if offset and packet.time_base:
        ticks = round(offset / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks


class FrameOrder(Generic[T]):
    """Determines the time of each decoded frame of one stream; `place(frame, seconds)` receives them in order.

    A frame whose time stamp does not fit is held, with at most one more, until the next frames show whether it is an
    outlier. After a lasting step back, pictures continue after the last one (`goes_on`), but sound stays where its
    stamps say.
    """

    def __init__(self, place: Callable[[T, float], None], step: float, *, goes_on: bool) -> None:
        self._place, self._step, self._goes_on = place, step, goes_on
        self._last: float | None = None
        self._expected = 0.0
        self._offset = 0.0
        self._held: list[tuple[T, float, float]] = []
        self.breaks: list[float] = []
        self.outliers: list[float] = []

    def push(self, frame: T, stamp: float | None, length: float | None = None) -> None:
        """Take a frame with the time `stamp` in seconds; None means it follows the previous one.

        `length` is its duration.
        """
        if self._last is None:
            self._put(frame, stamp or 0.0, length)
            return
        now = None if stamp is None else stamp + self._offset
        if self._held:
            now = self._decide(now)
        if now is None or (not self._held and self._is_steady(now)):
            self._put(frame, self._expected if now is None else now, length)
        else:
            # One frame is not enough to distinguish a broken clock from a bad time stamp; the next ones decide.
            self._held.append((frame, now, length or self._step))

    def finish(self) -> None:
        """Place the held frames, if there are any: at their time stamps, unless those are out of bounds."""
        held, self._held = self._held, []
        for frame, then, length in held:
            is_right = self._expected < then <= self._expected + GAP_SECONDS
            self._put(frame, then if is_right else self._ignored(), length)

    def _decide(self, now: float | None) -> float | None:
        """Place held frames, given that the next one is at `now`; returns `now`, moved if the clock broke.

        A frame that fits the last placed one shows that all held frames are outliers.
        """
        if now is None or self._returns(now):
            held, self._held = self._held, []
            for frame, _, length in held:
                self._put(frame, self._ignored() if now is None else min(self._ignored(), now), length)
            return now
        if len(self._held) < _DOUBTFUL:
            return now
        frame, then, length = self._held.pop(0)
        if self._held[0][1] < then:
            self._put(frame, self._ignored(), length)
            return now
        # The frames agree with each other. If their time is earlier, the clock started again.
        if then < self._expected and self._goes_on:
            moved = self._expected - then
            self.breaks.append(self._expected)
            self._offset += moved
            then, now = then + moved, now + moved
            self._held = [(other, at + moved, span) for other, at, span in self._held]
        self._put(frame, then, length)
        return self._place_steady(now)

    def _returns(self, now: float) -> bool:
        """Whether a frame at `now` fits the last placed one, and the held ones do not fit between the two."""
        ahead = sum(length for _, _, length in self._held)
        is_between = all(self._expected <= then <= now for _, then, _ in self._held)
        return self._is_steady(now, ahead) and not is_between

    def _place_steady(self, now: float) -> float:
        """Place the held frames that fit the last placed one; returns `now`."""
        while self._held and self._is_steady(self._held[0][1]):
            self._put(*self._held.pop(0))
        return now

    def _ignored(self) -> float:
        self.outliers.append(self._expected)
        return self._expected

    def _is_steady(self, now: float, ahead: float = 0.0) -> bool:
        """Whether a frame at `now` fits the last one, or fits it after held frames of `ahead` seconds."""
        lowest = (self._last or 0.0) - _ROUNDING if self._goes_on else self._expected - BACK_SECONDS
        return lowest <= now <= self._expected + STEADY_SECONDS + ahead

    def _put(self, frame: T, seconds: float, length: float | None) -> None:
        if self._last is not None and length is None and 0 < seconds - self._last < _LONGEST_STEP:
            self._step = seconds - self._last
        self._last = seconds
        self._expected = seconds + (self._step if length is None else length)
        self._place(frame, seconds)
