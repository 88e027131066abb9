"""The child's view of an open container: its clock, its declared length and its streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from typing import Any, BinaryIO

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sentiloc.worker.decoder.source.completeness import SEQUENTIAL, Reach, breaks_off
from sentiloc.worker.decoder.source.limits import DURATION_MARGIN
from sentiloc.worker.decoder.source.timecode import find_timecode
from sentiloc.worker.decoder.source.webp import WebpStream
from sentiloc.worker.sound.tracks import Choice, describe_track
from sentiloc.worker.timeline.rate import HIGHEST_RATE, RateMeter
from sentiloc.worker.timeline.stamps import in_seconds

_INDEXED = {"mov", "mp4", "matroska", "webm"}
_DECLARING = _INDEXED | {"avi", "flv", "asf", "mxf", "ogg"}
"""Containers whose header states their duration."""
_FARTHEST_START = 30.0
"""Seconds. Streams that begin more than this before the used streams have a different clock."""
_PRIMING_SECONDS = 0.1
_MOST_REORDERED = 16
_MAX_ASPECT = 8
_DEFAULT_RATE = Fraction(25)
_MICROSECONDS = 1_000_000


@dataclass(slots=True)
class Media:
    """An open container with the streams that are decoded."""

    container: InputContainer
    video: VideoStream
    sounds: tuple[AudioStream, ...] = ()
    choice: Choice | None = None
    file: BinaryIO | None = None
    _decoder_delay: float | None = None
    _zero: float | None = None
    _bases: dict[int, Fraction | None] = field(default_factory=dict)

    @property
    def rate(self) -> Fraction:
        """The video's average frames per second; 25 if the container states no possible rate."""
        stated = (self.video.average_rate, self.video.guessed_rate)
        return next((rate for rate in stated if rate and 0 < rate <= HIGHEST_RATE), _DEFAULT_RATE)

    @property
    def audio(self) -> AudioStream | None:
        """The first of the sound tracks that are used."""
        return self.sounds[0] if self.sounds else None

    @property
    def zero(self) -> float:
        """The time stamp in seconds at which a player starts."""
        if self._zero is None:
            self._zero = self._find_zero()
        return self._zero

    def _find_zero(self) -> float:
        """The first time stamp of any stream, if those of the used streams are near it.

        Sound that starts slightly before the first picture only primes its decoder. In that case time 0 is the
        picture's.
        """
        if self.counts_packets:
            return 0.0
        picture, sound = _start(self.video), _start(self.audio)
        known = [start for start in (picture, sound) if start is not None]
        start = self.container.start_time
        first = min(known, default=0.0) if start is None else start / _MICROSECONDS
        if known and min(known) - first > _FARTHEST_START:
            first = min(known)
        return picture if picture is not None and picture - first <= _PRIMING_SECONDS else first

    @property
    def duration(self) -> float:
        """Declared length in seconds from time 0, 0 if unknown."""
        return self.declared_end or self.stated_length

    @property
    def stated_length(self) -> float:
        """The container's own length in seconds, of its longest stream; 0 if unknown."""
        return self._raw_length - self._included_start(self._raw_length)

    @property
    def _raw_length(self) -> float:
        return (self.container.duration or 0) / _MICROSECONDS

    @property
    def _is_matroska(self) -> bool:
        return "matroska" in self._formats

    def _included_start(self, length: float) -> float:
        """The time before the first picture that a stated length includes.

        Matroska's muxers write the last time stamp as the length, and in a fragmented MP4 libav takes it for that. A
        recorder's stamps may start at any time.
        """
        is_fragmented = "mov" in self._formats and not self.video.frames
        start = self.zero if self._is_matroska else (_start(self.video) or 0.0) if is_fragmented else 0.0
        return start if 0.0 < start < length else 0.0

    @property
    def declared_end(self) -> float | None:
        """The end of the video in seconds from time 0, as the container states it."""
        stream = self.video
        # ASF states the length of the whole file, which libav copies to each stream.
        if "asf" in self._formats or not stream.duration or stream.start_time is None or not stream.time_base:
            return None
        start, length = (float(ticks * stream.time_base) for ticks in (stream.start_time, stream.duration))
        return start + length - self._included_start(length) - self.zero

    @property
    def declared_length(self) -> float | None:
        """The duration in the header, in seconds from time 0; None if libav could only estimate it."""
        if not self._formats & _DECLARING:
            return None
        if self.counts_packets and self.video.frames:
            return float(self.video.frames / self.rate)
        if self.declared_end is not None:
            return self.declared_end
        return self.stated_length or None

    @property
    def trusted_end(self) -> float | None:
        """The time stamp up to which gaps are trusted; None if a long gap means a broken clock."""
        if not self._formats & _INDEXED:
            return None
        return self.zero + self.trusted_length

    @property
    def trusted_length(self) -> float:
        """Seconds from time 0 up to which a picture may be shown for long; infinite if the container states none."""
        # Not every Matroska muxer includes the time before the first picture.
        length = self._raw_length if self._is_matroska else self.stated_length
        return length if self._formats & _INDEXED and length else inf

    @property
    def _formats(self) -> set[str]:
        return set(self.container.format.name.split(","))

    @property
    def is_seekable(self) -> bool:
        """Whether the container has an index of keyframes by time."""
        can_seek = self.file is None or self.file.seekable()
        return bool(self.video.time_base and _INDEXED & self._formats and can_seek)

    def seek(self, seconds: float) -> None:
        """Seek to the last keyframe at or before a time from time 0; raises libav's errors."""
        assert self.video.time_base  # noqa: S101
        stamp = self.zero + max(0.0, seconds)
        self.container.seek(int(stamp / self.video.time_base), stream=self.video)

    def seconds(self, frame: VideoFrame) -> float | None:
        """The time at which a frame is shown.

        AVI stores no time stamps, so there the order of packets is the only clock.
        """
        if not self.counts_packets:
            return None if frame.time is None else frame.time - self.zero
        if frame.dts is None or not frame.time_base:
            return None
        seconds = float(frame.dts * frame.time_base)
        if self._decoder_delay is None:
            is_delay = seconds <= float(_MOST_REORDERED * frame.time_base)
            self._decoder_delay = seconds if is_delay else 0.0
        return seconds - self._decoder_delay

    def packet_seconds(self, packet: Packet[Any]) -> float | None:
        """The time at which a packet is shown."""
        return self.seconds_of(
            packet, packet.dts if self.counts_packets or packet.pts is None else packet.pts
        )

    def seconds_of(self, packet: Packet[Any], ticks: int | None) -> float | None:
        """Convert a time stamp in a packet's time base to seconds from time 0."""
        if ticks is None:
            return None
        stream = packet.stream.index
        if stream not in self._bases:
            # Cached: PyAV creates a new fraction at each access, and a stream's time base does not change.
            self._bases[stream] = packet.time_base
        base = self._bases[stream]
        return in_seconds(ticks, base) - self.zero if base else None

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self.file.tell() if self.file is not None else 0

    @property
    def is_sequential(self) -> bool:
        """Whether packets come in the order of their bytes."""
        return self.container.format.name in SEQUENTIAL

    def new_reach(self) -> Reach:
        """A counter of the bytes up to which packets reach."""
        return Reach(self.container.format.name)

    def breaks_off(self, reached: int) -> bool:
        """Whether the file, read to its end, should be longer, or continues far beyond `reached`."""
        if isinstance(self.file, WebpStream):
            return self.file.broke_off
        return self.file is not None and breaks_off(self.file, self.container.format.name, reached)

    @property
    def counts_packets(self) -> bool:
        """Whether the container stores no time stamps, so that the order of packets is the only clock."""
        return self.container.format.name == "avi"

    def duration_within(self, most: float) -> float:
        """The declared length in seconds from time 0, or 0 (unknown) if it is above `most`.

        If a clock jumps, libav counts the jump as part of the length.
        """
        return max(0.0, self.duration) if self.duration <= most + DURATION_MARGIN else 0.0

    def describe(self, width: int, height: int, most_seconds: float) -> dict[str, Any]:
        """What is known at the first picture, which is `width` x `height` as displayed."""
        return {
            "duration": self.duration_within(most_seconds),
            "fps": float(self.rate),
            "width": width,
            "height": height,
            "has_audio": self.audio is not None,
            "start_timecode": self.start_timecode,
            "drop_frame": self.drop_frame,
            "audio_track": describe_track(self.choice, self.audio) if self.choice and self.audio else None,
        }

    def rate_meter(self) -> RateMeter:
        """A rate meter for the time stamps of the video's packets."""
        stream = self.video
        real = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        # WebP states no rate.
        is_stated = not isinstance(self.file, WebpStream)
        return RateMeter(real if is_stated else (), float(stream.time_base or 0))

    @property
    def start_timecode(self) -> str | None:
        """SMPTE timecode of the first frame, if the file has one."""
        every = (self.video, self.container, *self.container.streams)
        return find_timecode(one.metadata for one in every)

    @property
    def drop_frame(self) -> bool | None:
        """Whether the start timecode is drop-frame; None without one."""
        timecode = self.start_timecode
        return None if timecode is None else ";" in timecode


def _start(stream: VideoStream | AudioStream | None) -> float | None:
    if stream is None or stream.start_time is None or not stream.time_base:
        return None
    return float(stream.start_time * stream.time_base)


def pixel_aspect(stream: VideoStream) -> float:
    """Width of a pixel over its height; 1 if unknown or implausible."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / _MAX_ASPECT <= ratio <= _MAX_ASPECT else 1.0
