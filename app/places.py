"""Objects that clients name as `s3://bucket/key`, and the prefixes that they may use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SCHEME = "s3://"
MAX_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Stores on a file system take a backslash for a slash, and several slashes for one.
_SLASH = re.compile(r"[/\\]")


@dataclass(frozen=True, slots=True)
class Place:
    """An object of a store, or a prefix of objects: a bucket and a key."""

    bucket: str
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def is_within(self, prefix: Place) -> bool:
        """True if this object is below the prefix. A prefix ends at a slash: `a` does not contain `ab`."""
        below = prefix.key.rstrip("/")
        return self.bucket == prefix.bucket and (not below or self.key.startswith(f"{below}/"))


def parse_place(text: str) -> Place:
    """Parse a place. The key must not be empty or contain `.` or `..`; raises a ValueError that says what is wrong."""
    place = parse_prefix(text)
    if not place.key or place.key.endswith("/"):
        raise ValueError("must name an object: s3://bucket/key")
    return place


def parse_prefix(text: str) -> Place:
    """Parse a prefix; an empty key means the whole bucket. Raises a ValueError that says what is wrong."""
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise ValueError("must have the form s3://bucket/key")
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES or _CONTROL.search(key):
        raise ValueError(f"has a key of more than {MAX_KEY_BYTES} bytes, or one with control characters")
    # Stores on a file system may resolve these and leave the prefix.
    if {".", ".."} & set(_SLASH.split(key)):
        raise ValueError("must not have `.` or `..` in its key")
    return Place(bucket, key)


def may_read(place: Place, prefixes: Iterable[str], own: str | None) -> bool:
    """True if the place is within one of the prefixes, and not where this service keeps its own files (`own`)."""
    if own is not None and _may_be_within(place, parse_prefix(own)):
        return False
    return any(place.is_within(parse_prefix(prefix)) for prefix in prefixes)


def _may_be_within(place: Place, prefix: Place) -> bool:
    """True if some store takes the place for one within the prefix, or for the prefix itself."""
    wanted, below = _parts(place), _parts(prefix)
    return place.bucket == prefix.bucket and wanted[: len(below)] == below


def _parts(place: Place) -> list[str]:
    return [part for part in _SLASH.split(place.key) if part]
