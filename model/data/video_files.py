"""Which files of a folder are taken for videos, by the endings of their names."""

from __future__ import annotations

_ENDINGS = (
    "mp4|m4v|mov|qt|3gp|3g2|webm|mkv|avi|ts|mts|m2ts|mxf|wmv|asf|flv|f4v|ogv|ogg|dv|mpg|mpeg|vob|m2v|ivf|y4m"
)
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split("|"))
"""Lower case, with the dot. GIF, PNG and WebP are left out, because in a folder they are nearly always still
pictures.
"""
