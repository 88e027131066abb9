"""One pass over a container, or a part of it. It turns video into snippets and audio into the sound track."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import inf
from typing import Any

import av.error
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.disposable import disposable_test
from sentiloc.worker.decoder.findings import Seen, draft_warning, find_warnings
from sentiloc.worker.decoder.frames import Clock, SnippetBuilder
from sentiloc.worker.decoder.pictures.fields import Fields
from sentiloc.worker.decoder.pictures.luma import brightness
from sentiloc.worker.decoder.pictures.scaling import shape_of
from sentiloc.worker.decoder.request import DecodeRequest
from sentiloc.worker.decoder.selection import KeyframeSelection, Selection
from sentiloc.worker.decoder.selection import Samples as Looks
from sentiloc.worker.decoder.skipped import SkippedPictures
from sentiloc.worker.decoder.source.limits import check_size
from sentiloc.worker.decoder.source.media import Media, pixel_aspect
from sentiloc.worker.decoder.source.packets import (
    PacketSource,
    decode_packet,
    raise_if_out_of_memory,
    video_frames,
)
from sentiloc.worker.decoder.task import Output, Task
from sentiloc.worker.sound.soundtrack import Mixer, Samples, Soundtrack
from sentiloc.worker.timeline.shots import GRID, ShotMeter
from sentiloc.worker.timeline.stamps import FrameOrder

# The denominator of NTSC rates, such as 30000/1001.
_MAX_RATE_DENOMINATOR = 1001
_PREROLL_SECONDS = 1.0
"""Seconds of sound decoded before the requested part, because audio decoders need some input before they are accurate.
"""
_INTERLEAVED_SECONDS = 10.0
"""Seconds by which the packets of one stream may lag behind those of another."""


class Decoding:
    """One decoding pass. Call `run` once."""

    def __init__(self, media: Media, task: Task, output: Output) -> None:
        self._media, self._task, self._output = media, task, output
        self._clock = Clock(task.limits)
        self._order: FrameOrder[VideoFrame | None] = FrameOrder(
            self._show, float(1 / media.rate), goes_on=True
        )
        self._selection = _selection(media, task.request)
        self._left_out: list[float] = []
        self._gap = 0
        self._meter = media.rate_meter()
        self._shots = ShotMeter()
        self._skipped = _skipped(media, task)
        self._sent, self._shown = array("d"), array("d")
        self._builder: SnippetBuilder | None = None
        self._fields = Fields() if task.request.for_people else None
        self._last: VideoFrame | None = None
        self._begins, self._ends = _span(task.request, media)
        # Without a declared duration, the duration is only known at the end.
        self._may_stop = self._ends is not None and media.duration > 0
        rate = task.request.audio_rate
        limit = min(task.limits.max_duration_seconds, self._ends or task.limits.max_duration_seconds)
        self._mixer: Mixer | None = None
        self._sounds: dict[int, Soundtrack] = self._sinks(rate, limit) if rate else {}

    def _sinks(self, rate: int, limit: float) -> dict[int, Soundtrack]:
        """A sound track for each stream that is used; several are mixed."""
        streams = self._media.sounds
        if not streams:
            return {}
        is_stereo = self._task.request.audio_channels > 1
        sinks: list[Callable[[int, Samples], None]] = [self._output.audio]
        if len(streams) > 1:
            self._mixer = Mixer(len(streams), rate, self._output.audio, self._begins, is_stereo=is_stereo)
            sinks = [self._mixer.sink(number) for number in range(len(streams))]
        return {
            stream.index: Soundtrack(rate, limit, sink, self._begins, is_stereo=is_stereo)
            for stream, sink in zip(streams, sinks, strict=True)
        }

    def run(self) -> None:
        """Decode the requested part and report the end. Raises corrupt_media if no frame decodes."""
        media = self._media
        if self._begins > _PREROLL_SECONDS and media.is_seekable:
            self._skip_ahead()
        source = PacketSource(media, [media.video, *(media.sounds if self._sounds else ())])
        for packet, is_needed in self._select(source):
            if self._is_past(packet):
                break
            self._measure(packet, is_needed)
            if is_needed:
                self._decode(packet)
            self._output.tick()
        self._pass_left_out(inf)
        self._order.finish()
        self._report(source)

    def _select(self, source: PacketSource) -> Iterator[tuple[Packet[Any], bool]]:
        if self._selection is None:
            yield from ((packet, True) for packet in source)
            return
        for packet, is_needed in self._selection.choose(source):
            if source.clock.breaks or source.clock.outliers or self._order.breaks or self._order.outliers:
                self._selection.stop()
            yield packet, is_needed

    def _measure(self, packet: Packet[Any], is_needed: bool) -> None:
        """Record when the picture of a packet is shown, and whether the packet is skipped."""
        if packet.stream.index != self._media.video.index or packet.is_discard:
            return
        seconds = self._media.seconds_of(packet, packet.dts if self._media.counts_packets else packet.pts)
        if seconds is not None and packet.size:
            self._meter.add(seconds)
            if is_needed:
                self._sent.append(seconds)
                return
            heapq.heappush(self._left_out, seconds)
            if self._skipped is not None:
                self._skipped.keep(seconds, packet)

    def _skip_ahead(self) -> None:
        """Process the first frame, then seek to the last keyframe before the part, early enough for the sound."""
        first = next(video_frames(self._media), None)
        if first is None:
            return
        self._take(first)
        if not self._land(self._begins - _PREROLL_SECONDS):
            self._media.seek(0.0)

    def _land(self, seconds: float) -> bool:
        """Seek; True if the container is now at a frame that is not after `seconds`."""
        try:
            self._media.seek(seconds)
            found = next(video_frames(self._media), None)
            there = self._media.seconds(found) if found is not None else None
            self._media.seek(seconds)
        except av.error.FFmpegError as error:
            raise_if_out_of_memory(error)
            return False
        return there is not None and there <= seconds

    def _is_past(self, packet: Packet[Any]) -> bool:
        """True if this packet and all later ones come after the requested part."""
        if not self._has_all_frames:
            return False
        if all(sound.is_full for sound in self._sounds.values()):
            return True
        seconds = self._media.seconds_of(packet, packet.dts)
        return seconds is not None and seconds > (self._ends or 0.0) + _INTERLEAVED_SECONDS

    @property
    def _has_all_frames(self) -> bool:
        return self._may_stop and self._builder is not None and self._builder.is_full

    def _decode(self, packet: Packet[Any]) -> None:
        if self._has_all_frames and packet.stream.index == self._media.video.index:
            return
        for frame in decode_packet(packet, self._decode_all_from_here):
            if isinstance(frame, VideoFrame):
                self._take(frame)
            elif isinstance(frame, AudioFrame) and packet.stream.index in self._sounds:
                self._sounds[packet.stream.index].push(frame, self._media.zero)

    def _take(self, frame: VideoFrame) -> None:
        seconds = self._media.seconds(frame)
        if frame.is_corrupt or frame.interlaced_frame:
            # The two fields of an interlaced picture may come in separate packets.
            self._decode_all_from_here()
        if seconds is not None:
            self._pass_left_out(seconds)
        self._order.push(frame, seconds)

    def _pass_left_out(self, until: float) -> None:
        """Report the times of skipped pictures that are shown before the next decoded one, in display order."""
        while self._left_out and self._left_out[0] < until:
            self._order.push(None, heapq.heappop(self._left_out))

    def _decode_all_from_here(self) -> None:
        if self._selection is not None:
            self._selection.stop()

    def _show(self, frame: VideoFrame | None, seconds: float) -> None:
        """Process the picture shown at `seconds`; None stands for a picture that was skipped."""
        seconds = self._clock.count(seconds)
        if frame is None:
            self._gap += 1
            if self._builder is not None:
                self._push_last_fields(self._builder)
                self._builder.pass_time(seconds)
            return
        if self._builder is None:
            self._builder = self._begin(frame)
        if self._fields is None:
            self._builder.push(frame, seconds)
        else:
            for whole, shown_from in self._fields.push(frame, seconds):
                self._builder.push(whole, shown_from)
        self._last = frame
        if not frame.is_corrupt:
            self._shown.append(seconds)
            self._look_for_shots(frame, seconds)

    def _push_last_fields(self, builder: SnippetBuilder) -> None:
        for whole, shown_from in self._fields.flush() if self._fields is not None else ():
            builder.push(whole, shown_from)

    def _look_for_shots(self, frame: VideoFrame, seconds: float) -> None:
        grid = brightness(frame, GRID) if self._task.request.find_shots else None
        skipped = self._skipped
        if grid is not None:
            between = (lambda: skipped.grids(seconds)) if skipped is not None else tuple
            self._shots.add(grid, seconds, self._gap, between)
        if skipped is not None:
            skipped.forget(seconds)
        self._gap = 0

    def _begin(self, first: VideoFrame) -> SnippetBuilder:
        media = self._media
        shape = shape_of(first, pixel_aspect(media.video))
        request, limits = self._task.request, self._task.limits
        check_size(shape.width, shape.height, limits)
        self._output.begin(media.describe(shape.width, shape.height, limits.max_duration_seconds))
        if self._selection is not None:
            self._selection.begin()
        return SnippetBuilder(request, limits, _grid_rate(request, media), shape, self._output.snippet)

    def _report(self, source: PacketSource) -> None:
        if self._builder is None or self._last is None:
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, "No frame of the video could be decoded.")
        media, rate = self._media, self._meter.read()
        is_unbroken = not (source.clock.breaks or self._order.breaks)
        sound_end = max((sound.heard_until for sound in self._sounds.values()), default=0.0)
        declared_end = media.declared_end if is_unbroken else None
        trusted = max(media.trusted_length, source.others_end, sound_end)
        duration = self._clock.end(self._last, 1 / rate.fps, declared_end, trusted)
        self._push_last_fields(self._builder)
        snippets = self._builder.finish(min(duration, self._task.limits.max_duration_seconds))
        is_part = self._has_all_frames
        seen = Seen(
            end=duration,
            sound_end=sound_end,
            others_end=source.others_end,
            sent=self._sent,
            shown=self._shown,
            breaks=[t - media.zero for t in source.clock.breaks] + self._order.breaks,
            outliers=[t - media.zero for t in source.clock.outliers] + self._order.outliers,
            latest_ignored=source.clock.latest_ignored - media.zero,
            broke_off=source.broke_off,
            is_part=is_part or self._begins > 0,
        )
        if is_part:
            declared = media.duration_within(self._task.limits.max_duration_seconds)
            duration = round(max(duration, declared), 6)
        for sound in self._sounds.values():
            sound.finish()
        if self._mixer is not None:
            self._mixer.finish()
        draft = (draft_warning(seen),) if self._task.request.keyframes_only else ()
        found = find_warnings(media, seen, rate, self._task.limits.max_duration_seconds)
        warnings = [*draft, *found, *rate.warnings()]
        self._output.end(
            {
                "duration": duration,
                "snippets": snippets,
                "frames": self._clock.frames,
                "samples": max((sound.samples for sound in self._sounds.values()), default=0),
                "fps": rate.fps,
                "timebase": f"{rate.timebase.numerator}/{rate.timebase.denominator}",
                "variable_rate": rate.is_variable,
                "first_picture": round(self._shown[0], 6) if self._shown else 0.0,
                "warnings": [warning.to_dict() for warning in warnings],
            },
            [moment for moment in self._shots.finish() if moment > self._begins],
        )


def _selection(media: Media, request: DecodeRequest) -> Selection | KeyframeSelection | None:
    """The selection that skips pictures that are not needed; None if all are decoded."""
    if request.keyframes_only:
        return None if media.counts_packets else KeyframeSelection(media.video.index)
    is_disposable = None if media.counts_packets else disposable_test(media.container, media.video)
    if is_disposable is None:
        return None
    count = request.snippet_frames
    # Which snippets begin a shot is known only after their pictures are decoded.
    every = 1 if request.visual_by_shots else request.visual_stride
    looks = Looks(
        rate=float(_grid_rate(request, media)),
        offset=request.looked_at,
        length=count,
        positions=request.face_samples,
        first=request.first_snippet * count,
        end=None if request.end_snippet is None else request.end_snippet * count,
        whole_stride=None if request.visual_size is None else every,
    )
    return Selection(media.video.index, is_disposable, looks, media.seconds_of, keeps_cuts=request.find_shots)


def _skipped(media: Media, task: Task) -> SkippedPictures | None:
    """The store of skipped pictures; None if shot changes are not requested, or if these pictures cannot be decoded
    alone.
    """
    is_intra = media.video.codec_context.codec.intra_only
    return SkippedPictures(media.video, task.limits) if task.request.find_shots and is_intra else None


def _span(request: DecodeRequest, media: Media) -> tuple[float, float | None]:
    """Start and end of the requested snippets in seconds; None means the video's end."""
    step = request.snippet_frames / float(_grid_rate(request, media))
    return request.first_snippet * step, None if request.end_snippet is None else request.end_snippet * step


def _grid_rate(request: DecodeRequest, media: Media) -> Fraction:
    if request.frame_rate is None:
        return media.rate
    return Fraction(request.frame_rate).limit_denominator(_MAX_RATE_DENOMINATOR)
