"""The script for DaVinci Resolve without Resolve: where it puts its markers."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sentiloc.client

SCRIPT = Path(__file__).parents[2] / "clients/resolve/sentiloc_markers.py"


class Item:
    """A clip that shows the frames from `left` of its file, at `start` of a timeline that begins at frame 108000."""

    def __init__(self, path: str | None, start: int, left: int, frames: int) -> None:
        self._path, self._start, self._left, self._frames = path, start, left, frames

    def GetMediaPoolItem(self) -> Any:  # noqa: N802
        path = self._path
        return None if path is None else SimpleNamespace(GetClipProperty=lambda _name: path)

    def GetStart(self) -> int:  # noqa: N802
        return 108_000 + self._start

    def GetEnd(self) -> int:  # noqa: N802
        return self.GetStart() + self._frames

    def GetLeftOffset(self) -> int:  # noqa: N802
        return self._left


class Timeline:
    """A timeline with the items on its first video track. Like Resolve, it takes one marker for a frame."""

    def __init__(self, rate: object, *items: Item) -> None:
        self._rate, self._items = rate, items
        self.markers: dict[int, tuple[Any, ...]] = {}

    def GetSetting(self, name: str) -> object:  # noqa: N802
        return {"timelineFrameRate": self._rate}[name]

    def GetStartFrame(self) -> int:  # noqa: N802
        return 108_000

    def GetItemListInTrack(self, kind: str, track: int) -> tuple[Item, ...]:  # noqa: N802
        return self._items if (kind, track) == ("video", 1) else ()

    def AddMarker(self, frame: int, *marker: Any) -> bool:  # noqa: N802
        if frame in self.markers:
            return False
        self.markers[frame] = marker
        return True


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "sentiloc_client", sentiloc.client)
    return runpy.run_path(str(SCRIPT))["mark_timeline"]


class Answers:
    """A client whose every video has the same segments."""

    def __init__(self, *segments: tuple[float, float, str, float]) -> None:
        names = ("start", "end", "label", "confidence")
        self._segments = [SimpleNamespace(**dict(zip(names, one, strict=True))) for one in segments]
        self.sent: list[str] = []

    def localize(self, path: str) -> Any:
        self.sent.append(path)
        return SimpleNamespace(segments=self._segments)


def test_markers_lie_within_the_clips_that_show_the_segments(mark: Any) -> None:
    timeline = Timeline(
        25.0,
        Item("a.mp4", 100, 50, 200),
        Item(None, 300, 0, 100),
        Item("", 400, 0, 100),
        Item("a.mp4", 500, 0, 100),
    )
    client = Answers(
        (0.0, 3.0, "positive", 0.8), (4.0, 6.0, "negative", 0.999), (9.0, 90.0, "neutral", 0.456)
    )
    assert mark(timeline, client) == 4
    assert timeline.markers == {
        100: ("Blue", "Positive 80%", "", 25),
        150: ("Red", "Negative 99%", "", 50),
        275: ("Yellow", "Neutral 46%", "", 25),
        500: ("Blue", "Positive 80%", "", 75),
    }
    assert client.sent == ["a.mp4"]


@pytest.mark.parametrize(("rate", "frame"), [("29.97 DF", 300), ("59.94 DF", 599), ("24", 240)])
def test_a_rate_may_be_a_text_and_name_the_drop_of_frames(mark: Any, rate: str, frame: int) -> None:
    timeline = Timeline(rate, Item("a.mp4", 0, 0, 9000))
    mark(timeline, Answers((10.0, 11.0, "positive", 0.8)))
    assert list(timeline.markers) == [frame]


def test_only_markers_that_were_added_are_counted(mark: Any) -> None:
    timeline = Timeline(25.0, Item("a.mp4", 0, 0, 100))
    client = Answers((1.0, 2.0, "positive", 0.8), (1.0, 3.0, "negative", 0.8), (5.0, 6.0, "negative", 0.8))
    assert mark(timeline, client) == 1
