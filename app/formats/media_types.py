"""Media types of video files, by the ending of their names."""

from __future__ import annotations

_TYPES = {
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "ts": "video/mp2t",
    "mts": "video/mp2t",
    "m2ts": "video/mp2t",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "flv": "video/x-flv",
    "ogv": "video/ogg",
    "mov": "video/quicktime",
    "mxf": "application/mxf",
    "wmv": "video/x-ms-wmv",
    "gif": "image/gif",
    "png": "image/png",
    "apng": "image/apng",
    "webp": "image/webp",
}


def video_type(name: str) -> str:
    """The media type for a file of this name; MP4 where the ending is unknown."""
    return _TYPES.get(name.rpartition(".")[2].lower(), "video/mp4")
