"""The confined process: `python -m worker.decoder.child TASK`, started by `sentiloc.worker.decoder.process` only."""

from __future__ import annotations

import errno
import importlib
import json
import mmap
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.channel import Sender
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.frames import (
    ROUNDING_SECONDS,
    Clock,
    Image,
    Scaler,
    SnippetBuilder,
    fit,
    shape_of,
)
from sentiloc.worker.decoder.media import Media, open_media, pixel_aspect
from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
from sentiloc.worker.decoder.soundtrack import Samples, Soundtrack

_MAX_RATE_DENOMINATOR = 1001
_TRACE_CHARACTERS = 2000
_PREROLL_SECONDS = 1.0
"""Sound that is decoded before a part of a video, as decoders of sound need some to begin with."""
_INTERLEAVED_SECONDS = 10.0
"""How far the packets of one stream may lie behind those of another."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the parent asks for, as JSON on the command line. `grab_seconds` asks for single frames instead."""

    media_fd: int
    frames_fd: int
    out_fd: int
    credit_fd: int
    slots: int
    parent_pid: int
    container_format: str
    request: DecodeRequest
    limits: DecodeLimits
    grab_seconds: tuple[float, ...] | None


def read_task(text: str) -> Task:
    """The task that `text` describes."""
    raw = json.loads(text)
    request = DecodeRequest(**{**raw["request"], "face_samples": tuple(raw["request"]["face_samples"])})
    times = None if raw["grab_seconds"] is None else tuple(raw["grab_seconds"])
    return Task(**{**raw, "request": request, "limits": DecodeLimits(**raw["limits"]), "grab_seconds": times})


class Output:
    """Puts pictures into the shared slots and tells the parent."""

    def __init__(self, sender: Sender, memory: mmap.mmap, request: DecodeRequest) -> None:
        self._sender, self._memory, self._request = sender, memory, request

    def snippet(self, index: int, faces: list[Image], visual: list[Image]) -> None:
        """One snippet: faces (k, h, w, 3), then the visual frames (n, size, size, 3)."""
        slot = self._sender.take_slot()
        start = slot * self._request.slot_bytes
        for image in (*faces, *visual):
            target = np.frombuffer(self._memory, np.uint8, image.size, start).reshape(image.shape)
            np.copyto(target, image)
            start += image.size
        shape = [len(faces), *faces[0].shape[:2]] if faces else [0, 1, 1]
        self._sender.send(channel.SNIPPET, {"index": index, "slot": slot, "faces": shape})

    def audio(self, start: int, samples: Samples) -> None:
        """Samples (n,) from sample `start` on."""
        self._sender.send(channel.AUDIO, {"start": start}, samples.tobytes())


class Decoding:
    """One pass over a container, or over a part of it: video into snippets, audio into the sound track."""

    def __init__(self, media: Media, task: Task, sender: Sender, output: Output) -> None:
        self._media, self._task, self._sender, self._output = media, task, sender, output
        self._clock = Clock(media.rate, task.limits)
        self._meter = media.rate_meter()
        self._builder: SnippetBuilder | None = None
        self._last: VideoFrame | None = None
        self._begins, self._ends = _span(task.request, media)
        # Without a declared duration only the end itself tells it.
        self._may_stop = self._ends is not None and media.duration > 0
        rate = task.request.audio_rate
        wanted = rate is not None and media.audio is not None
        limit = min(task.limits.max_duration_seconds, self._ends or task.limits.max_duration_seconds)
        self._sound = Soundtrack(rate, limit, output.audio, self._begins) if rate and wanted else None

    def run(self) -> None:
        """Decode what is asked for and report the end. Raises corrupt_media if no frame decodes."""
        media = self._media
        if self._begins > _PREROLL_SECONDS and media.is_seekable:
            self._skip_ahead()
        streams = [media.video, *([media.audio] if self._sound and media.audio else [])]
        for packet in _packets(media, streams):
            if self._is_past(packet):
                break
            self._measure(packet)
            self._decode(packet)
            self._sender.tick()
        self._report()

    def _measure(self, packet: Packet[Any]) -> None:
        stamp = packet.dts if self._media.counts_packets else packet.pts
        if packet.stream.index == self._media.video.index and stamp is not None and packet.time_base:
            self._meter.add(float(stamp * packet.time_base))

    def _skip_ahead(self) -> None:
        """Learn where time 0 is, then go to the last keyframe before the part, with room for the sound to begin."""
        first = next(_video_frames(self._media), None)
        if first is None:
            return
        self._take(first)
        if not self._land(self._begins - _PREROLL_SECONDS):
            self._media.seek(self._clock.origin or 0.0)

    def _land(self, seconds: float) -> bool:
        """True when the container was brought to a frame that is not after `seconds`."""
        stamp = (self._clock.origin or 0.0) + seconds
        try:
            self._media.seek(stamp)
            found = next(_video_frames(self._media), None)
            there = self._media.stamp(found) if found is not None else None
            self._media.seek(stamp)
        except av.error.FFmpegError as error:
            _raise_if_out_of_memory(error)
            return False
        return there is not None and there <= stamp

    def _is_past(self, packet: Packet[Any]) -> bool:
        """True when nothing from this packet on can belong to what is wanted."""
        if not self._has_all_frames:
            return False
        if self._sound is None or self._sound.is_full:
            return True
        if packet.dts is None or not packet.time_base:
            return False
        seconds = float(packet.dts * packet.time_base) - (self._clock.origin or 0.0)
        return seconds > (self._ends or 0.0) + _INTERLEAVED_SECONDS

    @property
    def _has_all_frames(self) -> bool:
        return self._may_stop and self._builder is not None and self._builder.is_full

    def _decode(self, packet: Packet[Any]) -> None:
        if self._has_all_frames and packet.stream.index == self._media.video.index:
            return
        for frame in _decode(packet):
            if isinstance(frame, VideoFrame):
                self._take(frame)
            elif self._sound is not None and isinstance(frame, AudioFrame):
                self._sound.push(frame)

    def _report(self) -> None:
        if self._builder is None or self._last is None:
            raise SentilocError(ErrorCode.CORRUPT_MEDIA, "No frame of the video could be decoded.")
        duration = self._clock.end(self._last, self._media.declared_end)
        snippets = self._builder.finish(min(duration, self._task.limits.max_duration_seconds))
        if self._has_all_frames:
            declared_end = self._media.declared_end
            declared = (
                self._media.duration if declared_end is None else declared_end - (self._clock.origin or 0.0)
            )
            duration = round(max(duration, declared), 6)
        if self._sound is not None:
            self._sound.finish()
        samples = self._sound.samples if self._sound is not None else 0
        rate = self._meter.read()
        end = {
            "duration": duration,
            "snippets": snippets,
            "frames": self._clock.frames,
            "samples": samples,
            "fps": rate.fps,
            "timebase": f"{rate.timebase.numerator}/{rate.timebase.denominator}",
            "variable_rate": rate.is_variable,
            "warnings": [warning.to_dict() for warning in rate.warnings()],
        }
        self._sender.send(channel.END, end)

    def _take(self, frame: VideoFrame) -> None:
        seconds = self._clock.read(self._media.stamp(frame))
        if self._builder is None:
            self._builder = self._begin(frame)
        self._builder.push(frame, seconds)
        self._last = frame

    def _begin(self, first: VideoFrame) -> SnippetBuilder:
        shape = shape_of(first, pixel_aspect(self._media.video))
        info = {
            "duration": self._media.duration,
            "fps": float(self._media.rate),
            "width": shape.width,
            "height": shape.height,
            "has_audio": self._media.audio is not None,
            "start_timecode": self._media.start_timecode,
            "drop_frame": self._media.drop_frame,
        }
        self._sender.send(channel.INFO, info)
        if self._sound is not None and self._clock.origin is not None:
            self._sound.start(self._media.sound_origin(self._clock.origin))
        request, limits = self._task.request, self._task.limits
        return SnippetBuilder(request, limits, _grid_rate(request, self._media), shape, self._output.snippet)


def _span(request: DecodeRequest, media: Media) -> tuple[float, float | None]:
    """Seconds at which the wanted snippets begin and end; None is the video's end."""
    step = request.snippet_frames / float(_grid_rate(request, media))
    return request.first_snippet * step, None if request.end_snippet is None else request.end_snippet * step


def _grid_rate(request: DecodeRequest, media: Media) -> Fraction:
    if request.frame_rate is None:
        return media.rate
    return Fraction(request.frame_rate).limit_denominator(_MAX_RATE_DENOMINATOR)


def _packets(media: Media, streams: list[Any]) -> Iterator[Packet[Any]]:
    """Packets of `streams`; a container that breaks off is flushed as if it had ended."""
    try:
        yield from media.container.demux(*streams)
    except av.error.FFmpegError as error:
        _raise_if_out_of_memory(error)
        for stream in streams:
            packet: Packet[Any] = Packet()
            packet.stream = stream
            yield packet


def _decode(packet: Packet[Any]) -> list[Any]:
    """Frames of a packet; none of a damaged one."""
    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        _raise_if_out_of_memory(error)
        return []


def _raise_if_out_of_memory(error: av.error.FFmpegError) -> None:
    if error.errno == errno.ENOMEM:
        raise MemoryError from error


def grab(media: Media, task: Task, times: Sequence[float], output: Output) -> None:
    """The frames on screen at `times` (seconds, rising), each as a snippet of one face picture."""
    clock = Clock(media.rate, task.limits)
    first = next(_video_frames(media))
    clock.read(media.stamp(first))
    for index, seconds in enumerate(times):
        chosen = _frame_at(media, clock.origin or 0.0, first, seconds)
        shape = shape_of(chosen, pixel_aspect(media.video))
        output.snippet(index, [Scaler(shape, *fit(shape, task.request.face_max_side))(chosen)], [])


def _frame_at(media: Media, origin: float, first: VideoFrame, seconds: float) -> VideoFrame:
    """The frame on screen `seconds` after the one stamped `origin`; the last one if there is none so late."""
    if not media.video.time_base or seconds <= 0:
        return first
    chosen = first
    media.container.seek(max(0, int((origin + seconds) / media.video.time_base)), stream=media.video)
    for count, frame in enumerate(_video_frames(media)):
        stamp = media.stamp(frame)
        late = stamp is not None and stamp - origin > seconds + ROUNDING_SECONDS
        chosen = frame if count == 0 or not late else chosen
        if late:
            break
    return chosen


def _video_frames(media: Media) -> Iterator[VideoFrame]:
    for packet in _packets(media, [media.video]):
        yield from _decode(packet)


def perform(task: Task, sender: Sender) -> None:
    """Open and decode as the task says; every expected failure becomes one error message."""
    memory = mmap.mmap(task.frames_fd, task.slots * task.request.slot_bytes)
    output = Output(sender, memory, task.request)
    with os.fdopen(task.media_fd, "rb", buffering=0) as file:
        media = open_media(file, task.container_format, task.limits)
        if task.grab_seconds is not None:
            grab(media, task, task.grab_seconds, output)
        else:
            Decoding(media, task, sender, output).run()


def _import_all_of(package: ModuleType) -> None:
    """PyAV imports parts of itself when first used, which confinement would refuse."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith(("__main__", ".datasets")):
            importlib.import_module(found.name)


def main() -> None:
    """Decode as the command line says."""
    import_everything()
    run(read_task(sys.argv[1]))


def import_everything() -> None:
    """Import what decoding may need: no file can be opened afterwards."""
    _import_all_of(av)


def run(task: Task) -> None:
    """Confine this process, then decode."""
    av.logging.set_level(None)
    sender = Sender(task.out_fd, task.credit_fd, task.slots)
    sender.send(channel.CONFINED, {"measures": confine(task.limits, task.parent_pid)})
    try:
        perform(task, sender)
    except SentilocError as error:
        _fail(sender, error.code, error.detail)
    except BrokenPipeError:
        return
    except MemoryError:
        _fail(sender, ErrorCode.RESOURCE_LIMIT, "Decoding the video takes more memory than is allowed.")
    except Exception as error:
        _fail_unexpectedly(sender, error)


def _fail_unexpectedly(sender: Sender, error: Exception) -> None:
    """What libav or its binding raises on damaged media has no common type; the trace goes to the log."""
    if getattr(error, "errno", None) == errno.ENOMEM:
        _fail(sender, ErrorCode.RESOURCE_LIMIT, "Decoding the video takes more memory than is allowed.")
        return
    trace = "".join(traceback.format_exception(error))[-_TRACE_CHARACTERS:]
    ours = isinstance(error, ImportError | PermissionError) and not isinstance(error, av.error.FFmpegError)
    if ours:
        _fail(sender, ErrorCode.INTERNAL, "The decoder could not run.", trace)
    else:
        _fail(sender, ErrorCode.CORRUPT_MEDIA, "The video is damaged and could not be read.", trace)


def _fail(sender: Sender, code: ErrorCode, detail: str, trace: str = "") -> None:
    sender.send(channel.ERROR, {"code": str(code), "detail": detail, "trace": trace})


if __name__ == "__main__":
    main()
