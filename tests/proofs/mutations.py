"""Damages video files: bits, numbers, blocks, lengths, cuts and splices, often at container structures."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TAGS = re.compile(
    rb"ftyp|moov|trak|mdia|stbl|stsd|stts|ctts|stsc|stsz|stco|co64|elst|mvhd|tkhd|mdhd|avc1|mp4a|esds|avcC|"
    rb"hdrl|strl|strh|strf|movi|idx1|\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x15\x49\xa9\x66|\x16\x54\xae\x6b|"
    rb"\x1f\x43\xb6\x75|\xa3|\x00\x00\x01|\x47"
)
_HEAD_BYTES = 4096
MOST_BYTES = 400_000


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Apply one to eight damages to `data`; splices take parts of `other`."""
    mutant = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
        if len(mutant) > 16:
            chance.choice(_DAMAGES)(mutant, other, chance)
    return bytes(mutant[:MOST_BYTES])


def _place(mutant: bytearray, chance: random.Random) -> int:
    """A position: anywhere, near the start, or at a box, chunk, element or start code."""
    kind = chance.random()
    if kind < 0.3:
        return chance.randrange(len(mutant) - 8)
    if kind < 0.6:
        return chance.randrange(min(_HEAD_BYTES, len(mutant) - 8))
    start = chance.randrange(len(mutant))
    found = _TAGS.search(mutant, start) or _TAGS.search(mutant)
    at = (found.start() if found else start) + chance.randint(-4, 24)
    return max(0, min(at, len(mutant) - 8))


def _flip(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    for _count in range(chance.choice((1, 4, 32))):
        mutant[_place(mutant, chance)] ^= 1 << chance.randrange(8)


def _number(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    order, size = chance.choice("<>"), chance.choice("BHIQ")
    value = chance.choice(_NUMBERS) & (1 << 8 * struct.calcsize(size)) - 1
    at = _place(mutant, chance)
    mutant[at : at + struct.calcsize(size)] = struct.pack(order + size, value)


def _noise(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    at = _place(mutant, chance)
    length = min(chance.choice((2, 16, 256)), len(mutant) - at)
    mutant[at : at + length] = chance.randbytes(length)


def _delete(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    at = _place(mutant, chance)
    del mutant[at : at + chance.choice((1, 4, 188, 2000))]


def _repeat(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    at = _place(mutant, chance)
    block = bytes(mutant[at : at + chance.choice((1, 8, 188, 2000))])
    mutant[at:at] = block * chance.choice((1, 2, 20))


def _splice(mutant: bytearray, other: bytes, chance: random.Random) -> None:
    start = chance.randrange(max(1, len(other)))
    length = chance.choice((16, 500, 5000))
    at = _place(mutant, chance)
    mutant[at : at + chance.choice((0, length))] = other[start : start + length]


def _cut(mutant: bytearray, _: bytes, chance: random.Random) -> None:
    del mutant[chance.randrange(len(mutant) // 8, len(mutant)) :]


_DAMAGES: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    *(_flip, _flip, _number, _number, _number, _noise, _delete, _repeat, _splice, _cut),
)
