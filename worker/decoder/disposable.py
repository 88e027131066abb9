"""Finds packets with disposable pictures (from which no other picture is predicted), from the coded headers.

Such packets can be skipped without any effect on other pictures. H.264 marks them by nal_ref_idc 0 (ITU-T H.264,
7.4.1), HEVC by NAL unit types of sub-layer non-reference pictures in the highest sub-layer (ITU-T H.265, 7.4.2.2),
MPEG-2 and MPEG-4 by coding type B; QuickTime files also state it for each sample, and Apple's HEVC encoders state it
only there. In VP8, VP9 and AV1 almost every picture changes state that later pictures need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

IsDisposable = Callable[["Packet[Any]"], bool]
_ByBytes = Callable[[bytes], bool]

_START = b"\0\0\1"
_AVC_SLICE, _HEVC_SPS = 1, 33
_AVC_NEUTRAL = frozenset({6, 9, 12})
"""Supplemental information, delimiters and filler."""
_HEVC_NEUTRAL = frozenset({35, 38, 39, 40, 62, 63})
"""Delimiters, filler, supplemental information, and Dolby Vision's layers, which are not decoded."""
# Even types below 16 are sub-layer non-reference pictures (ITU-T H.265, table 7-1).
_HEVC_NOT_REFERRED_TO = frozenset(range(0, 16, 2))
_MPEG2_PICTURE, _MPEG2_KEPT = 0x00, frozenset({0xB3, 0xB8})
_MPEG4_PICTURE = 0xB6
_MPEG2_B, _MPEG4_B = 3, 2


def disposable_test(container: InputContainer, stream: VideoStream) -> IsDisposable | None:
    """A test for packets of which all pictures are disposable; None if that cannot be determined."""
    context = stream.codec_context
    by_bytes = _test_of_bytes(context.codec.canonical_name, bytes(context.extradata or b""))
    if context.codec.intra_only:
        return lambda _: True
    if by_bytes is None:
        return None
    if container.metadata.get("major_brand", "").strip() == "qt":
        return lambda packet: packet.is_disposable or by_bytes(bytes(packet))
    return lambda packet: by_bytes(bytes(packet))


def _test_of_bytes(codec: str, extradata: bytes) -> _ByBytes | None:
    if codec == "h264":
        return _AvcTest(extradata)
    if codec == "hevc":
        return _HevcTest(extradata)
    return {"mpeg2video": _is_mpeg2_b, "mpeg4": _is_mpeg4_b}.get(codec)


class _AvcTest:
    def __init__(self, extradata: bytes) -> None:
        self._length = (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else None

    def __call__(self, data: bytes) -> bool:
        slices = 0
        for start in nal_units(data, self._length):
            kind, referred_to = data[start] & 31, data[start] & 0x60
            if kind == _AVC_SLICE and not referred_to:
                slices += 1
            elif kind not in _AVC_NEUTRAL:
                return False
        return slices > 0


class _HevcTest:
    """Tracks the highest sub-layer, from the configuration record or the last sequence parameter set."""

    def __init__(self, extradata: bytes) -> None:
        record = len(extradata) > 22 and extradata[0] == 1
        self._length = (extradata[21] & 3) + 1 if record else None
        self._highest: int | None = ((extradata[21] >> 3) & 7) - 1 if record else None
        if self._highest is not None and self._highest < 0:
            self._highest = None
        if not record:
            self._read_parameters(extradata, nal_units(extradata, None))

    def _read_parameters(self, data: bytes, units: Iterator[int]) -> None:
        for start in units:
            if (data[start] >> 1) & 63 == _HEVC_SPS and start + 2 < len(data):
                self._highest = (data[start + 2] >> 1) & 7

    def __call__(self, data: bytes) -> bool:
        starts = list(nal_units(data, self._length))
        self._read_parameters(data, iter(starts))
        slices = 0
        for start in starts:
            if start + 1 >= len(data):
                return False
            kind, layer = (data[start] >> 1) & 63, (data[start] & 1) << 5 | data[start + 1] >> 3
            if layer or kind in _HEVC_NEUTRAL:
                continue
            if kind not in _HEVC_NOT_REFERRED_TO or (data[start + 1] & 7) - 1 != self._highest:
                return False
            slices += 1
        return slices > 0


def nal_units(data: bytes, length_size: int | None) -> Iterator[int]:
    """The offset of each NAL unit's header. `length_size` None means start codes. A damaged packet yields fewer."""
    position = 0
    if length_size is None:
        while 0 <= (position := data.find(_START, position)) < len(data) - len(_START):
            position += len(_START)
            yield position
        return
    while position + length_size < len(data):
        size = int.from_bytes(data[position : position + length_size], "big")
        position += length_size
        if not size:
            continue
        yield position
        position += size


def _is_mpeg2_b(data: bytes) -> bool:
    kinds = []
    for start in nal_units(data, None):
        if data[start] in _MPEG2_KEPT:
            return False
        if data[start] == _MPEG2_PICTURE and start + 2 < len(data):
            kinds.append((data[start + 2] >> 3) & 7)
    return bool(kinds) and all(kind == _MPEG2_B for kind in kinds)


def _is_mpeg4_b(data: bytes) -> bool:
    """True for a packet with a single B picture. Packed streams put a B picture into one packet with the picture that
    it depends on.
    """
    pictures = [start for start in nal_units(data, None) if data[start] == _MPEG4_PICTURE]
    return len(pictures) == 1 and pictures[0] + 1 < len(data) and data[pictures[0] + 1] >> 6 == _MPEG4_B
