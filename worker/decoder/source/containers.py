"""Accepted container formats. They are recognized by their first bytes, never by the file's name."""

from __future__ import annotations

from sentiloc.model.errors import ErrorCode, SentilocError

SNIFF_BYTES = 128 * 1024
"""Maximum length of skipped bytes: junk before the first sync byte, and MXF's run-in of up to 64 KiB."""
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"}
_STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"jp2 "}
# Plain packets, with a time code in front (M2TS), or with error correction behind.
_TS_PACKET_SIZES = (188, 192, 204)
_TS_SYNC = 0x47
# One sync byte occurs in any file by chance; five at equal distances do not.
_TS_PACKETS_SEEN = 5
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF = bytes.fromhex("060e2b34020501010d010201")
_PACK, _SEQUENCE = b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (_ASF, "asf"),
    (_MXF, "mxf"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"DKIF\x00\x00", "ivf"),
    (b"YUV4MPEG2 ", "yuv4mpegpipe"),
    (_PACK, "mpeg"),
    (_SEQUENCE, "mpegvideo"),
)
ENCRYPTED = "The video is encrypted. Remove the protection and upload it again."
ACCEPTED = (
    "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, MXF, WMV (ASF), FLV, Ogg, DV, IVF, YUV4MPEG, "
    "animated GIF, PNG and WebP"
)
_H264_UNITS = (b"\x06", b"\x09", b"\x27", b"\x47", b"\x67")
_HEVC_UNITS = (b"\x40\x01", b"\x42\x01", b"\x46\x01")
_NO_TIMES = "without times; put it into MP4 at its frame rate first"
WEBP = "webp"
"""The only format without a libav demuxer: `worker/decoder/source/webp.py` reads it."""
_SOUND: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ID3", "MP3"),
    (0, b"fLaC", "FLAC"),
    (8, b"WAVE", "WAV"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b"caff", "CAF"),
    (0, b"#!AMR", "AMR"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"MThd", "MIDI"),
)
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a still PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b".RMF", "a RealMedia file"),
    (0, b"FWS", "a Flash program"),
    (0, b"CWS", "a Flash program"),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "a WTV recording"),
    (0, b"nut/multimedia container", "a NUT file"),
    # Annex B of H.264 and H.265 without a container: the first unit shows it. Such a stream states no times.
    *((0, b"\x00\x00\x00\x01" + unit, f"a bare H.264 stream ({_NO_TIMES})") for unit in _H264_UNITS),
    *((0, b"\x00\x00\x00\x01" + unit, f"a bare HEVC stream ({_NO_TIMES})") for unit in _HEVC_UNITS),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"{", "a JSON text"),
    (0, b"<", "an XML or HTML text"),
)


def _is_animated_webp(head: bytes) -> bool:
    """Whether the file is a WebP whose chunk VP8X announces an animation (RFC 9649, 2.7)."""
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 0x02)


def sniff_container(head: bytes) -> str | None:
    """Name of the libav demuxer for a file that begins with `head`, or None if it is not accepted."""
    if head[4:8] in _MP4_BOXES:
        still_image = head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS
        return None if still_image else "mov"
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head.startswith(b"RIFF"):
        if head[8:11] == b"AVI":
            return "avi"
        return WEBP if _is_animated_webp(head) else None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "apng" if b"acTL" in head[:4096] else None
    return _sniff_streams(head)


def _sniff_streams(head: bytes) -> str | None:
    """Detect formats without a file header, which may begin with junk."""
    if _is_dv(head):
        return "dv"
    if _knows(head, _SOUND) or _knows(head, _OTHERS):
        return None
    if _is_transport_stream(head):
        return "mpegts"
    if _MXF in head[: 64 * 1024 + len(_MXF)]:
        return "mxf"
    return "mpeg" if _is_program_stream(head) else None


def _is_dv(head: bytes) -> bool:
    """A header block of a DIF sequence, then subcode blocks (IEC 61834-2, 11.2)."""
    first = head[:1] == b"\x1f" and head[1:2] in (b"\x07", b"\x06") and head[2:3] == b"\x00"
    return first and head[80:81] in (b"\x3f", b"\x3e") and len(head) >= 480


def _is_transport_stream(head: bytes) -> bool:
    sync = bytes([_TS_SYNC])
    start = head.find(sync)
    while 0 <= start < len(head):
        for size in _TS_PACKET_SIZES:
            found = [head[start + i * size : start + i * size + 1] for i in range(_TS_PACKETS_SEEN)]
            if all(byte == sync for byte in found):
                return True
        start = head.find(sync, start + 1)
    return False


def _is_program_stream(head: bytes) -> bool:
    """Two packs, the first with the marker bits of a clock (ISO 13818-1, 2.5.3.3; ISO 11172-1, 2.4.3.2)."""
    first = head.find(_PACK)
    if first < 0 or head.find(_PACK, first + 4) < 0:
        return False
    after = head[first + 4 : first + 5]
    return bool(after) and (after[0] & 0xC4 == 0x44 or after[0] & 0xF1 == 0x21)


def _knows(head: bytes, known: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for at, magic, name in known if head[at : at + len(magic)] == magic), None)


def refusal(head: bytes) -> SentilocError:
    """Why a file that begins with `head` is refused: it is no video, or its kind and the accepted ones."""
    sound = _knows(head, _SOUND) or ("MP3 or AAC" if _is_bare_sound(head) else None)
    if sound is not None:
        return SentilocError(ErrorCode.NO_VIDEO, f"The file contains sound ({sound}) and no video.")
    found = _knows(head, _OTHERS) or _named(head)
    detail = f"The file is {found}, not a video of an accepted format. Accepted are {ACCEPTED}."
    return SentilocError(ErrorCode.UNSUPPORTED_FORMAT, detail)


def _is_bare_sound(head: bytes) -> bool:
    """True for a frame header of MPEG audio or ADTS."""
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08


def _named(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return f"a still picture ({head[8:12].decode('latin-1').strip()})"
    if not head.strip(b"\x00"):
        return "empty of content (zeros)"
    sample = head[:512]
    is_text = all(byte >= 32 or byte in (9, 10, 13) for byte in sample)
    return "a text" if is_text else "of an unknown kind"


_ASF_PROTECTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    bytes.fromhex("338505438169e6499b74ad12cb86d58c"),
)
_CLUSTER, _ENCODINGS, _ENCRYPTION = b"\x1f\x43\xb6\x75", b"\x6d\x80", b"\x50\x35"
_ENCODINGS_REACH = 96


def is_encrypted(head: bytes, container_format: str) -> bool:
    """Whether the container's header says that its content is encrypted. MP4 states it per sample instead."""
    if container_format == "matroska":
        tracks = head[: head.find(_CLUSTER)] if _CLUSTER in head else head
        at = tracks.find(_ENCODINGS)
        while at >= 0:
            if _ENCRYPTION in tracks[at : at + _ENCODINGS_REACH]:
                return True
            at = tracks.find(_ENCODINGS, at + 1)
    if container_format == "asf":
        return any(guid in head for guid in _ASF_PROTECTION)
    return container_format == "mpegts" and _is_scrambled(head)


def _is_scrambled(head: bytes) -> bool:
    """Whether most packets with content are marked as scrambled (ISO 13818-1, 2.4.3.3)."""
    start = next((i for i in range(204) if head[i : i + 188 * 5 : 188] == b"G" * 5), None)
    if start is None:
        return False
    packets = [head[at : at + 4] for at in range(start, len(head) - 188, 188)]
    content = [p for p in packets if p[0] == _TS_SYNC and p[3] & 0x10 and (p[1] & 0x1F, p[2]) != (0x1F, 0xFF)]
    scrambled = sum(1 for packet in content if packet[3] & 0xC0)
    return scrambled * 2 > len(content)
