"""Selects the video packets to decode: pictures from which others are predicted, and pictures that are needed.

A picture is needed if it is on screen at a sample of the request. A disposable picture (nothing is predicted from it)
that is not needed never reaches the decoder. So every needed picture is bit for bit the same as if all had been
decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Protocol

from av.packet import Packet

from sentiloc.worker.decoder.disposable import IsDisposable
from sentiloc.worker.decoder.request import ROUNDING_SECONDS

_MOST_HELD = 512
"""Maximum number of packets, of all streams, that wait until the time of the next picture is known."""
# A picture after a cut takes at least twice the typical size of the last twelve reference pictures.
_USUAL_OF, _LARGE = 12, 2.0
# Samples and stamps are floats. A picture must not be skipped because of a rounding error.
_TINY = 1e-6
_NEIGHBOURS = 40
"""Maximum distance in packets between a picture and the one shown after it: codecs reorder at most 16."""


class Moments(Protocol):
    """The times at which pictures are wanted."""

    def any_between(self, start: float, end: float) -> bool:
        """Whether the picture on screen in [start, end) seconds is wanted."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A single time in seconds."""

    seconds: float

    def any_between(self, start: float, end: float) -> bool:
        """See `Moments`. Times that differ by a rounding error count as equal."""
        moment = self.seconds + ROUNDING_SECONDS
        return start - _TINY <= moment < end + _TINY


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The sample times: (k + `offset`) / `rate` seconds, `first` <= k < `end`, k modulo `length` in `positions`.

    With `whole_stride` N, all k of the first and of every N-th snippet of `length` frames are samples, too.
    """

    rate: float
    length: int
    positions: tuple[int, ...]
    first: int
    end: int | None
    whole_stride: int | None = None
    offset: float = 0.0

    def any_between(self, start: float, end: float) -> bool:
        """Whether a sample lies in [start, end) seconds, by the same rule as in `SnippetBuilder`."""
        low = max(self.first, ceil((start - ROUNDING_SECONDS - _TINY) * self.rate - self.offset))
        high = floor((end - ROUNDING_SECONDS + _TINY) * self.rate - self.offset)
        high = high if self.end is None else min(high, self.end - 1)
        # One period contains every kind of slot, so more need not be checked: a picture may stay on screen for hours.
        high = min(high, low + self.length * (self.whole_stride or 1) - 1)
        return any(self._is_sample(slot) for slot in range(low, high + 1))

    def _is_sample(self, slot: int) -> bool:
        snippet = slot // self.length
        if self.whole_stride and (snippet % self.whole_stride == 0 or snippet == self.first // self.length):
            return True
        return slot % self.length in self.positions


@dataclass(slots=True)
class _Held:
    packet: Packet[Any]
    droppable_at: float | None


class KeyframeSelection:
    """Yields packets in order; of the video's packets, only keyframes are marked as needed.

    Nothing is left out before `begin`, as in `Selection`. After `stop`, all later pictures can be predicted again only
    from the next keyframe on, so skipping ends there.
    """

    def __init__(self, video: int) -> None:
        self._video = video
        self._is_on = self._is_stopping = False

    def begin(self) -> None:
        """Allow skipping from here on, unless `stop` was called."""
        self._is_on = not self._is_stopping

    def stop(self) -> None:
        """Skip nothing from the next keyframe on."""
        self._is_stopping = True

    def choose(self, packets: Iterable[Packet[Any]]) -> Iterator[tuple[Packet[Any], bool]]:
        """Each packet, and whether it is to be decoded."""
        for packet in packets:
            is_picture = packet.stream.index == self._video and packet.size > 0 and not packet.is_discard
            if is_picture and packet.is_keyframe and self._is_stopping:
                self._is_on = False
            yield packet, packet.is_keyframe or not (is_picture and self._is_on)


class Selection:
    """Yields packets in order, each with whether it is needed.

    `seconds(packet, ticks)` converts a time stamp to the video's time line. Nothing is skipped before `begin` or after
    `stop`. With `keeps_cuts`, the pictures just before a likely shot change are kept, so that the change is found at
    the right picture. A shot change is likely at keyframes and at pictures that take many more bytes than others.
    """

    def __init__(
        self,
        video: int,
        is_disposable: IsDisposable,
        samples: Moments,
        seconds: Callable[[Packet[Any], int | None], float | None],
        *,
        keeps_cuts: bool = False,
    ) -> None:
        self._video, self._is_disposable, self._samples, self._seconds = (
            video,
            is_disposable,
            samples,
            seconds,
        )
        self._held: deque[_Held] = deque()
        self._shown: deque[float] = deque(maxlen=_NEIGHBOURS)
        self._reached = float("-inf")
        self._is_on = self._has_stopped = False
        self._keeps_cuts = keeps_cuts
        self._usual: deque[int] = deque(maxlen=_USUAL_OF)
        self._new_pictures: deque[tuple[float, bool]] = deque(maxlen=_NEIGHBOURS)

    def begin(self) -> None:
        """Allow skipping from here on, unless `stop` was called."""
        self._is_on = not self._has_stopped

    def stop(self) -> None:
        """Skip nothing from here on: the file is damaged or its clock broken, so no assumption is safe."""
        self._has_stopped, self._is_on = True, False

    def choose(self, packets: Iterable[Packet[Any]]) -> Iterator[tuple[Packet[Any], bool]]:
        """Yield each packet and whether to decode it. The last packets are always decoded."""
        for packet in packets:
            self._held.append(self._note(packet))
            while self._held and (is_needed := self._decide(self._held[0])) is not None:
                yield self._held.popleft().packet, is_needed
        while self._held:
            yield self._held.popleft().packet, True

    def _note(self, packet: Packet[Any]) -> _Held:
        if packet.stream.index != self._video or not packet.size or packet.is_discard:
            return _Held(packet, None)
        shown, decoded = self._seconds(packet, packet.pts), self._seconds(packet, packet.dts)
        if shown is None or decoded is None:
            return _Held(packet, None)
        self._shown.append(shown)
        self._reached = max(self._reached, decoded)
        is_free = not packet.is_corrupt and self._is_disposable(packet)
        if not is_free and self._keeps_cuts:
            self._new_pictures.append((shown, packet.is_keyframe or self._is_large(packet.size)))
        return _Held(packet, shown if is_free and self._is_on else None)

    def _is_large(self, size: int) -> bool:
        """Whether a reference picture takes many more bytes than those before it."""
        usual = sorted(self._usual)[len(self._usual) // 2] if self._usual else size
        self._usual.append(size)
        return size > _LARGE * usual

    def _is_before_cut(self, shown: float) -> bool:
        """Whether one of the pictures from which this one may be predicted begins a shot."""
        return any(is_new for picture, is_new in self._new_pictures if picture > shown)

    def _decide(self, held: _Held) -> bool | None:
        """Whether the oldest packet is needed; None if later packets are required to decide."""
        shown = held.droppable_at
        if shown is None or not self._is_on:
            return True
        following = min((other for other in self._shown if other > shown), default=None)
        if following is not None and following <= self._reached:
            return self._samples.any_between(shown, following) or self._is_before_cut(shown)
        return True if len(self._held) >= _MOST_HELD else None
