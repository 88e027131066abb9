"""The packets of an open container, with repaired time stamps, past damage; and their frames."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.source.containers import ENCRYPTED
from sentiloc.worker.decoder.source.media import Media
from sentiloc.worker.timeline.stamps import PacketClock

# Attempts to continue after damage without any byte read. Demuxers take less at a time than is read ahead.
_MOST_ATTEMPTS = 64


class PacketSource:
    """The packets of `streams` with repaired time stamps.

    A file that breaks off is treated as if it had ended there. `others_end` is the time in seconds from time 0 up to
    which the file's other streams go. It distinguishes a file whose unread sound is the longest stream from one that
    breaks off.
    """

    def __init__(self, media: Media, streams: list[Any]) -> None:
        self._media, self._streams = media, streams
        self._wanted = {stream.index for stream in streams}
        self.clock = PacketClock(media.trusted_end)
        self.broke_off = False
        self.others_end = 0.0

    def __iter__(self) -> Iterator[Packet[Any]]:
        return self.clock.repair(self._read())

    def _read(self) -> Iterator[Packet[Any]]:
        reach, farthest, attempts = self._media.new_reach(), 0, 0
        while attempts < _MOST_ATTEMPTS:
            try:
                for packet in self._media.container.demux():
                    if self._media.is_sequential:
                        reach.take(packet.pos, packet.size)
                    if packet.stream.index in self._wanted:
                        yield packet
                    else:
                        self._pass(packet)
            except (av.error.InvalidDataError, av.error.BlockingIOError):
                # The demuxer stops after some bytes without a packet. Players continue after them.
                attempts = attempts + 1 if self._media.position <= farthest else 0
                farthest = max(farthest, self._media.position)
                continue
            except av.error.FFmpegError as error:
                raise_if_out_of_memory(error)
                break
            else:
                self.broke_off = self._media.breaks_off(reach.end)
                return
        self.broke_off = True
        yield from self._flush()

    def _pass(self, packet: Packet[Any]) -> None:
        """Note where a packet of another stream ends."""
        end = self._media.seconds_of(packet, packet.pts)
        if end is not None and not packet.is_discard:
            length = float(packet.duration * packet.time_base) if packet.duration else 0.0
            self.others_end = max(self.others_end, end + length)

    def _flush(self) -> Iterator[Packet[Any]]:
        """Empty packets, on which decoders output the pictures that they still hold."""
        for stream in self._streams:
            packet: Packet[Any] = Packet()
            packet.stream = stream
            yield packet


def decode_packet(packet: Packet[Any], on_damage: Callable[[], None] = lambda: None) -> list[Any]:
    """The frames of a packet; none if it is damaged, in which case `on_damage` is called.

    Raises `encrypted` for an encrypted picture. Encrypted sound is left out.
    """
    if packet.has_sidedata("encryption_info"):
        if packet.stream.type == "video":
            raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED)
        return []
    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        raise_if_out_of_memory(error)
        on_damage()
        return []


def raise_if_out_of_memory(error: av.error.FFmpegError) -> None:
    """Raise MemoryError if a libav error means that."""
    if error.errno == errno.ENOMEM:
        raise MemoryError from error


def video_frames(media: Media) -> Iterator[VideoFrame]:
    """Decoded frames from the current position on, with repaired time stamps."""
    for packet in PacketSource(media, [media.video]):
        yield from decode_packet(packet)
