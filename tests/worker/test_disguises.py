"""Disguised playlists and references (`tests.proofs.disguises`): no other file is read and no address called."""

from __future__ import annotations

import sys
from pathlib import Path

import av.logging
import pytest

from tests.proofs.disguises import Watch, as_served, by_options_alone, is_closed, try_all
from tests.worker.decoding import leaves_nothing_behind

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def test_the_watch_sees(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        watch.seen()
        watch.secret.read_bytes()
        assert watch.seen()["other_files_read"] > 0
        assert watch.seen()["other_files_read"] == 0


def test_no_text_is_opened_as_served(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        row = try_all(watch, tmp_path, as_served, suffixes=(".mp4",))
    assert row["texts"] >= 30
    assert is_closed(row), row
    assert set(row["ends"]) <= {"unsupported_format", "corrupt_media", "no_video"}


def test_no_text_is_opened_by_the_options_alone(tmp_path: Path) -> None:
    av.logging.set_level(None)
    with Watch(tmp_path) as watch:
        row = try_all(watch, tmp_path, by_options_alone, suffixes=(".m3u8",))
    assert is_closed(row), row
