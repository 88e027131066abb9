"""Which packets of a video can be copied into a reel: whole pictures from a keyframe on, with nothing missing.

Only H.264 in MP4, MOV or Matroska, and AAC. The rest is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet

from sentiloc.worker.decoder.source.media import Media

SAMPLES = 1024
"""Samples of an AAC packet."""
_IDR = 5
_OFF_GRID = Fraction(1, 4)
"""Frames that a time stamp may be away from the reel's rate: containers round stamps."""
# Sound is placed to half a packet: 32 ms here. EBU R 37 allows 40 ms.
_LOWEST_RATE = 16_000


class UncopyableError(Exception):
    """The part has to be rendered. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A part of a video: the first frame from time 0 and the number of frames, at `rate` frames per second."""

    first: int
    frames: int
    rate: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The packets to copy.

    `start` is the time stamp of the keyframe in ticks of the stream. `order` has the place of each picture, counted
    from the keyframe, in the order of the packets. `lengths` are the numbers of packets after which no picture is
    missing, none or one less than wanted.
    """

    start: int
    order: tuple[int, ...]
    lengths: tuple[int, ...]


def find_part(media: Media, wanted: Wanted) -> Part:
    """The packets of a part that begins at a keyframe: the wanted one, or the one after it.

    No picture from outside of the part is copied, because it may be of another shot. Raises UncopyableError.
    """
    start, late = _find_key(media, wanted)
    media.seek(_seconds(media, start))
    order: list[int] = []
    for packet in _from_key(media, start):
        order.append(place_of(media, packet, start, wanted.rate))
        if order[-1] < 0:
            raise UncopyableError("pictures before the keyframe follow it")
        if len(order) == wanted.frames:
            break
    # The exact length is preferred.
    near = range(wanted.frames - late, wanted.frames - 2, -1)
    lengths = tuple(count for count in near if 0 < count <= len(order) and _is_whole(order[:count]))
    if not lengths:
        raise UncopyableError("the last pictures need later ones")
    return Part(start=start, order=tuple(order), lengths=lengths)


def _is_whole(order: list[int]) -> bool:
    return sorted(order) == list(range(len(order)))


def _find_key(media: Media, wanted: Wanted) -> tuple[int, int]:
    """The keyframe at the first picture or one picture later: its time stamp in ticks of the stream, and 0 or 1."""
    base = media.video.time_base
    assert base is not None  # noqa: S101
    at, frame = float(wanted.first / wanted.rate), float(1 / wanted.rate)
    # A seek lands on a keyframe at or before its target. The target is early, so that rounding cannot miss the
    # keyframe.
    media.seek(max(0.0, at - 1.5 * frame))
    best: tuple[int, Packet[Any]] | None = None
    for packet in media.container.demux(media.video):
        seconds = media.packet_seconds(packet)
        if packet.dts is not None and packet.dts * base - media.zero > at + 1.5 * frame:
            break
        if packet.is_keyframe and packet.pts is not None and seconds is not None:
            late = round((seconds - at) / frame)
            if late in (0, 1) and (best is None or late < best[0]):
                best = (late, packet)
    if best is None:
        raise UncopyableError("the part does not begin at a keyframe")
    if not _is_fresh(bytes(best[1]), media.video.codec_context.extradata or b""):
        raise UncopyableError("the keyframe does not end all references")
    assert best[1].pts is not None  # noqa: S101
    return best[1].pts, best[0]


def _from_key(media: Media, start: int) -> Iterator[Packet[Any]]:
    """The video's packets from the keyframe on, in the order of the file."""
    has_begun = False
    for packet in media.container.demux(media.video):
        has_begun = has_begun or packet.pts == start
        if has_begun and packet.size:
            yield packet


def place_of(media: Media, packet: Packet[Any], start: int, rate: Fraction) -> int:
    """The place of a packet's picture, in frames from the time stamp `start`.

    Raises UncopyableError where the pictures do not lie on the rate's grid.
    """
    base = media.video.time_base
    if packet.pts is None or packet.is_corrupt or base is None:
        raise UncopyableError("a packet has no time stamp or is damaged")
    frames = (packet.pts - start) * base * rate
    if abs(frames - round(frames)) > _OFF_GRID:
        raise UncopyableError("the frame rate differs from the reel's, or varies")
    return round(frames)


def _seconds(media: Media, ticks: int) -> float:
    """The time of the stream's ticks from time 0. Slightly later, so that rounding cannot make a seek land too far
    back.
    """
    assert media.video.time_base is not None  # noqa: S101
    return float(ticks * media.video.time_base) - media.zero + 1e-4


def _is_fresh(packet: bytes, extradata: bytes) -> bool:
    """Whether an H.264 packet has an IDR picture, after which no picture refers to an earlier one."""
    # avcC (ISO/IEC 14496-15): the low two bits of byte 4 are the size of NAL length fields, minus one.
    width = (extradata[4] & 3) + 1
    place = 0
    while place + width < len(packet):
        size = int.from_bytes(packet[place : place + width])
        if packet[place + width] & 31 == _IDR:
            return True
        place += width + size
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What has to be equal for packets to share a track."""

    video: bytes
    sound: tuple[int, int, bytes] | None


def kind_of(media: Media, width: int, height: int) -> Kind:
    """The kind of a source, which must show upright pictures of this size. Raises UncopyableError."""
    context = media.video.codec_context
    extradata = context.extradata or b""
    # A first byte of 1 is avcC; Annex B streams (MPEG-TS) start with zeros.
    if context.name != "h264" or len(extradata) < 7 or extradata[0] != 1 or not media.is_seekable:
        raise UncopyableError("only H.264 in MP4, MOV or Matroska is copied")
    _check_picture(media, width, height)
    if len(media.sounds) > 1:
        raise UncopyableError("several sound tracks are mixed")
    return Kind(video=extradata, sound=_sound_of(media))


def _check_picture(media: Media, width: int, height: int) -> None:
    frame = next(_frames(media), None)
    aspect = media.video.sample_aspect_ratio
    if frame is None or (frame.width, frame.height) != (width, height) or aspect not in (None, 0, 1):
        raise UncopyableError("the size differs from the reel's")
    if frame.format.name not in ("yuv420p", "yuvj420p") or frame.interlaced_frame:
        raise UncopyableError("pictures are interlaced, or browsers do not show their format")
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        a, b, _, c, d = (
            int.from_bytes(bytes(matrix)[4 * n : 4 * n + 4], "little", signed=True) for n in range(5)
        )
        if b or c or a <= 0 or d <= 0:
            raise UncopyableError("the picture is turned")


def _frames(media: Media) -> Iterator[Any]:
    for packet in media.container.demux(media.video):
        yield from packet.decode()


def _sound_of(media: Media) -> tuple[int, int, bytes] | None:
    if media.audio is None:
        return None
    context = media.audio.codec_context
    if context.name != "aac" or context.profile != "LC" or context.frame_size not in (0, SAMPLES):
        raise UncopyableError("only AAC (LC) sound is copied")
    if context.sample_rate < _LOWEST_RATE:
        raise UncopyableError("a packet of sound is too long to be placed in sync")
    return context.sample_rate, context.layout.nb_channels, context.extradata or b""
