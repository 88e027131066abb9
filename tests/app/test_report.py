"""The report: one HTML page that stands alone, with every segment, and safe with any title."""

from __future__ import annotations

from html.parser import HTMLParser

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import make_timeline
from sentiloc.model.segments import Evidence, Segment, VideoInfo

VIDEO = VideoInfo(duration=90.0, fps=25.0, width=640, height=360, has_audio=True, timebase="25")
SEGMENTS = (
    Segment(
        start=10.0,
        end=14.48,
        label="positive",
        confidence=0.95,
        peak=12.0,
        evidence=Evidence(face=0.7, audio=0.25, visual=0.05),
    ),
    Segment(start=30.0, end=31.0, label="negative", confidence=1.0, peak=30.5, source="person"),
)


class Page(HTMLParser):
    """Collects tags, attributes that lead elsewhere, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [str(value) for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def report(title: str = "holiday.mp4", segments: tuple[Segment, ...] = SEGMENTS) -> Page:
    return Page(FORMATS["html"].render(make_timeline(title, VIDEO, segments)))


def test_it_shows_the_timeline_the_best_moments_and_how_sure() -> None:
    page = report()
    text = " ".join(page.words)
    for words in ("Best moments", "00:00:10:00", "00:00:14:12", "95%", "by hand", "the face and the voice"):
        assert words in text
    assert "How sure" in text and "svg" in page.tags
    assert text.count("95%") == 2  # among the best, and among all
    assert page.outside == [] and "script" not in page.tags


def test_a_title_cannot_add_markup() -> None:
    page = report('<script>alert(1)</script>" onload="x')
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in " ".join(page.words)


def test_a_video_in_which_nothing_stands_out() -> None:
    assert "Nothing stands out." in report(segments=()).words
