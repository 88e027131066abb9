"""Whether a file is whole: the index that MP4 needs, the size that ASF states, and bytes that nobody read."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_MOST_BOXES = 10_000
_HEAD_BYTES = 64 * 1024
_MOST_MOOV_BYTES = 1024 * 1024
# Properties of an ASF file (Advanced Systems Format, 3.2): the object's size, an id, and then the file's size.
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_SIZE_AT = 40
SEQUENTIAL = {"gif", "apng", "flv"}
"""Formats whose packets come from the first byte to the last, and whose demuxers skip all that they do not understand.
"""
_UNREAD_SHARE = 0.1
_CUT_OFF = (
    "The file's index (moov) is missing: the recording or the upload was cut off, and without the index no picture can "
    "be decoded."
)
_NO_START = "The file is a part of a stream without its initialization segment (moov). Put that segment in front of it."


def is_protected(file: BinaryIO, container_format: str) -> bool:
    """Whether an MP4 that cannot be opened declares encrypted pictures (ISO 14496-12, 8.12)."""
    at = _boxes(file)[0].get(b"moov") if container_format == "mov" else None
    if at is None:
        return False
    file.seek(at)
    tracks = file.read(_MOST_MOOV_BYTES)
    return b"encv" in tracks and b"sinf" in tracks


def explain_damage(file: BinaryIO, container_format: str) -> str | None:
    """Why a file cannot be opened, according to its boxes (ISO 14496-12, 4.2); None if they do not show it."""
    if container_format != "mov":
        return None
    types, _ = _boxes(file)
    if b"moov" in types:
        return None
    return _NO_START if b"moof" in types else _CUT_OFF


def _boxes(file: BinaryIO) -> tuple[dict[bytes, int], int]:
    """Where the first box of each type begins, at the top level of the file, and where the last box ends."""
    size, at = _size(file), 0
    found: dict[bytes, int] = {}
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        found.setdefault(kind, at)
        at += length
        if length < 8 or at >= size:
            break
    return found, at


class Reach:
    """The byte up to which the packets of a sequential format reach.

    The last packet of a short file is a large part of it, so its size counts. But GIF has no sizes of pictures: its
    last packet goes to the end of the file, with all damage, and counts up to twice the largest one before.
    """

    def __init__(self, container_format: str) -> None:
        self.end = 0
        self._has_sizes = container_format != "gif"
        self._largest = 0

    def take(self, position: int | None, size: int) -> None:
        """Count a packet of `size` bytes that begins at `position`; None for one that is not from the file."""
        if position is None:
            return
        counts_whole = self._has_sizes or not self._largest
        self.end = position + (size if counts_whole else min(size, 2 * self._largest))
        self._largest = max(self._largest, size)


def _size(file: BinaryIO) -> int:
    """The size of a file, which is then at its end. The sandbox refuses to ask for its status."""
    return file.seek(0, os.SEEK_END)


def breaks_off(file: BinaryIO, container_format: str, reached: int) -> bool:
    """Whether a file that was read to its end should be longer, or has much behind its last packet.

    `reached` is the `Reach` of its packets. The file's position does not change.
    """
    position = file.tell()
    size = _size(file)
    file.seek(position)
    if container_format in SEQUENTIAL:
        return size - reached > _UNREAD_SHARE * size
    if "mov" in container_format.split(","):
        # Only an index at the start states the length of the whole; fragments state their own.
        types, end = _boxes(file)
        file.seek(position)
        return b"moof" in types and end > size
    if container_format != "asf":
        return False
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(position)
    at = head.find(_ASF_PROPERTIES)
    stated = head[at + _ASF_SIZE_AT : at + _ASF_SIZE_AT + 8] if at >= 0 else b""
    return len(stated) == 8 and int.from_bytes(stated, "little") > size
