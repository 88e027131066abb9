"""The confined process that copies packets; only `copier` starts it: `python -m sentiloc.worker.reels.copy_child TASK`.

It reads the videos from open files and sends the MP4 file through a pipe, so it opens no file.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.logging
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from sentiloc.model.errors import SentilocError
from sentiloc.worker.decoder.child import import_everything
from sentiloc.worker.decoder.confine import confine
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.decoder.source.media import Media
from sentiloc.worker.decoder.source.opening import open_media
from sentiloc.worker.reels.encoder_child import (
    CONFINED,
    DONE,
    FAILED,
    PROGRESS,
    PipeFile,
    moov_size,
    send,
)
from sentiloc.worker.reels.packets import (
    SAMPLES,
    Kind,
    Part,
    UncopyableError,
    Wanted,
    find_part,
    kind_of,
    place_of,
)

_MOST_TEXT = 2000
# In the file, sound may come before the keyframe with which it is played.
_EARLIER_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTask:
    """The task: `sources` are descriptors with their container formats, `clips` are source, first frame and number of
    frames. `max_bytes` limits the total size of the packets.
    """

    sources: list[tuple[int, str]]
    clips: list[tuple[int, int, int]]
    max_bytes: int
    out_fd: int
    parent_pid: int
    width: int
    height: int
    rate: str
    title: str
    limits: dict[str, Any]


def main() -> None:
    """Perform the task given on the command line."""
    task = CopyTask(**json.loads(sys.argv[1]))
    # Before confinement, because afterwards no module can be opened.
    import_everything()
    av.logging.set_level(None)
    # Likewise: confinement refuses what Python asks about a file when it opens it.
    files = [os.fdopen(fd, "rb", buffering=0) for fd, _ in task.sources]
    measures = confine(DecodeLimits(**task.limits), task.parent_pid)
    send(task.out_fd, CONFINED, json.dumps(measures).encode())
    try:
        _Copying(task, files).run()
    except BrokenPipeError:
        return
    except (UncopyableError, SentilocError) as error:
        send(task.out_fd, FAILED, str(error).encode())
        return
    except Exception as error:
        # Errors of libav on unusual media have no common type. The reel is rendered instead.
        trace = "".join(traceback.format_exception(error))[-_MOST_TEXT:]
        send(task.out_fd, FAILED, trace.encode())
        return
    send(task.out_fd, DONE, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A part with its length in frames, and the frame of the reel at which it begins."""

    source: int
    part: Part
    frames: int
    at: int


class _Copying:
    def __init__(self, task: CopyTask, files: Sequence[BinaryIO]) -> None:
        self._task, self._files, self._rate = task, files, Fraction(task.rate)
        self._limits = DecodeLimits(**task.limits)

    @contextmanager
    def _open(self, source: int) -> Iterator[Media]:
        file = self._files[source]
        # Other parts of the source have moved the position.
        file.seek(0)
        media = open_media(file, self._task.sources[source][1], self._limits)
        with media.container:
            yield media

    def run(self) -> None:
        """Copy everything. The last reported progress is the number of frames."""
        kind = self._check_sources()
        placed = self._place()
        delay = max(
            # Decoding times begin this many frames before 0, so that no picture is shown before it is
            # decoded.
            index - place
            for one in placed
            for index, place in enumerate(one.part.order[: one.frames])
        )
        frames = placed[-1].at + placed[-1].frames
        sounds = frames / self._rate * kind.sound[0] / SAMPLES if kind.sound else 0
        options = {"moov_size": str(moov_size(frames, int(sounds)))}
        with av.open(PipeFile(self._task.out_fd), "w", format="mp4", options=options) as container:
            container.metadata["title"] = self._task.title
            with self._open(placed[0].source) as media:
                tracks = _add_tracks(container, media)
            writer = _Writer(container, tracks, self._rate, delay, kind, self._task.max_bytes)
            for one in placed:
                with self._open(one.source) as media:
                    writer.copy(media, one)
                send(self._task.out_fd, PROGRESS, b"", one.at + one.frames)

    def _check_sources(self) -> Kind:
        kinds = []
        for source in range(len(self._task.sources)):
            with self._open(source) as media:
                kinds.append(kind_of(media, self._task.width, self._task.height))
        if any(kind != kinds[0] for kind in kinds):
            raise UncopyableError("the videos are not of one kind")
        return kinds[0]

    def _place(self) -> list[_Placed]:
        """The parts one after the other. The sum of their lengths is wrong by at most one frame."""
        placed, at, off = [], 0, 0
        for source, first, frames in self._task.clips:
            with self._open(source) as media:
                part = find_part(media, Wanted(first=first, frames=frames, rate=self._rate))
            # Choosing the length that keeps `off` small stops rounding from accumulating over many parts.
            length = next((one for one in part.lengths if abs(off + one - frames) <= 1), None)
            if length is None:
                raise UncopyableError("the parts would be more than a frame too long or too short")
            send(self._task.out_fd, PROGRESS, b"")
            placed.append(_Placed(source=source, part=part, frames=length, at=at))
            at, off = at + length, off + length - frames
        return placed


def _add_tracks(container: OutputContainer, media: Media) -> tuple[Stream, Stream | None]:
    video = container.add_stream_from_template(media.video)
    sound = None if media.audio is None else container.add_stream_from_template(media.audio)
    return video, sound


class _Writer:
    """Writes packets with new time stamps. Sound stays within half a packet of its pictures."""

    def __init__(
        self,
        container: OutputContainer,
        tracks: tuple[Stream, Stream | None],
        rate: Fraction,
        delay: int,
        kind: Kind,
        max_bytes: int,
    ) -> None:
        self._container, (self._video, self._sound) = container, tracks
        self._rate, self._delay, self._bytes_left = rate, delay, max_bytes
        self._samples_a_second = kind.sound[0] if kind.sound else 0
        self._written = self._samples = 0

    def copy(self, media: Media, one: _Placed) -> None:
        """Copy one part; raises UncopyableError if its sound has gaps or ends before its pictures."""
        streams = [stream for stream in (media.video, media.audio) if stream is not None]
        assert media.video.time_base is not None  # noqa: S101
        start = Fraction(one.part.start) * media.video.time_base
        media.seek(max(0.0, float(start) - media.zero - _EARLIER_SECONDS))
        left, has_begun = one.frames, False
        end = round((one.at + one.frames) / self._rate * self._samples_a_second)
        for packet in media.container.demux(*streams):
            # PyAV ends demuxing with an empty packet per stream.
            if not packet.size:
                continue
            if self._bytes_left < 0:
                raise UncopyableError("the copy would be larger than the videos")
            if packet.stream is not media.video:
                self._copy_sound(packet, start, one.at, end)
            elif left:
                has_begun = has_begun or packet.pts == one.part.start
                if has_begun:
                    self._copy_picture(media, packet, one)
                    left -= 1
            if not left and (self._sound is None or self._samples + SAMPLES // 2 >= end):
                return
        # Two packets, 43 ms at 48 kHz: sound tracks often end that much before the last picture.
        if left or self._samples + 2 * SAMPLES < end:
            raise UncopyableError("the sound ends before the picture")

    def _copy_picture(self, media: Media, packet: Packet[Any], one: _Placed) -> None:
        place = place_of(media, packet, one.part.start, self._rate)
        packet.stream, packet.time_base = self._video, 1 / self._rate
        packet.pts, packet.dts, packet.duration = one.at + place, self._written - self._delay, 1
        self._written += 1
        self._mux(packet)

    def _copy_sound(self, packet: Packet[Any], start: Fraction, at: int, end: int) -> None:
        """Copy a packet of sound if it belongs where the sound written so far ends."""
        assert self._sound is not None  # noqa: S101
        if packet.pts is None or packet.is_corrupt:
            raise UncopyableError("a packet of sound has no time stamp or is damaged")
        wanted = (packet.pts * packet.time_base - start + at / self._rate) * self._samples_a_second
        if wanted < self._samples - SAMPLES / 2 or self._samples + SAMPLES // 2 >= end:
            return
        if wanted > self._samples + 2 * SAMPLES:
            raise UncopyableError("the sound has a gap")
        packet.stream, packet.time_base = self._sound, Fraction(1, self._samples_a_second)
        packet.pts = packet.dts = self._samples
        packet.duration = SAMPLES
        self._samples += SAMPLES
        self._mux(packet)

    def _mux(self, packet: Packet[Any]) -> None:
        self._bytes_left -= packet.size
        self._container.mux(packet)


if __name__ == "__main__":
    main()
