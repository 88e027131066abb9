"""Container formats that are accepted, told by their first bytes and never by the file's name."""

from __future__ import annotations

SNIFF_BYTES = 4096
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"}
_STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"jp2 "}
_TS_PACKET_SIZES = (188, 192, 204)
_TS_SYNC = 0x47
_TS_PACKETS_SEEN = 5


def sniff_container(head: bytes) -> str | None:
    """Name of the libav demuxer for a file that begins with `head`, or None if it is not accepted."""
    if head[4:8] in _MP4_BOXES:
        still_image = head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS
        return None if still_image else "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return "avi"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if head.startswith(b"FLV"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg"
    return "mpegts" if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    return any(
        all(
            head[start + i * size : start + i * size + 1] == bytes([_TS_SYNC])
            for i in range(_TS_PACKETS_SEEN)
        )
        for size in _TS_PACKET_SIZES
        for start in range(size)
    )
