"""Media types of stored videos: players and browsers go by them, because sniffing is forbidden."""

from __future__ import annotations

import pytest

from sentiloc.app.formats.media_types import video_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", "video/mp4"),
        ("A.GIF", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.apng", "image/apng"),
        ("a.png", "image/png"),
        ("a.M2TS", "video/mp2t"),
        ("a.ogv", "video/ogg"),
        ("no ending", "video/mp4"),
    ],
)
def test_the_type_goes_by_the_ending(name: str, expected: str) -> None:
    assert video_type(name) == expected
