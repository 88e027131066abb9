"""The same result and the same cut in every format, in pieces, in `tests/app/written_files.json`.

The programs that read them do not run here, so a change of a single tag must be seen. `python -m
tests.support.written_files` writes them again; look at the difference before you commit it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sentiloc.app.cuts import CUT_FORMATS
from sentiloc.app.cuts.sequence import GivenClip, GivenSource, Sequence, SequenceOptions, make_sequence
from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import Timeline, make_timeline
from sentiloc.model.segments import AudioTrack, Segment, SegmentSource, VideoInfo

WRITTEN = Path(__file__).parents[1] / "app" / "written_files.json"
# The report has tests of its own. What OpenTimelineIO writes differs with its version.
_ELSEWHERE = {"html", "otio"}


_PIECES = re.compile(r"(?<=\n)|(?<=>)(?=<)")
"""Between lines, and between tags."""


def written_files() -> dict[str, list[str]]:
    """The pieces of each file by its name."""
    result, sequence = _result(), _cut()
    texts = {f"result.{name}": known.render(result) for name, known in FORMATS.items()}
    texts |= {f"cut.{name}": known.render(sequence) for name, known in CUT_FORMATS.items()}
    return {
        name: [piece for piece in _PIECES.split(text) if piece]
        for name, text in texts.items()
        if name.partition(".")[2] not in _ELSEWHERE
    }


def _result() -> Timeline:
    """Two segments that overlap, one of a person, and one at the very end, with drop frame and the file's timecode."""
    spans: tuple[tuple[float, float, str, float, SegmentSource], ...] = (
        *((1.0, 4.02, "positive", 0.924, "model"), (3.5, 6.0, "negative", 0.996, "model")),
        *((58.9, 61.3456, "positive", 0.5, "person"), (69.98, 70.0, "surprise", 1.0, "model")),
    )
    segments = [
        Segment(start=start, end=end, label=label, confidence=sure, peak=start, source=source)
        for start, end, label, sure, source in spans
    ]
    return make_timeline("Tag & <Nacht> | 1.mp4", _video("30000/1001", "10:00:00;12", "stereo"), segments)


def _cut() -> Sequence:
    """Two videos with different rates, sizes and sound. One clip has no label, one was chosen by a person."""
    sources = [
        GivenSource(id="a", name="holiday.mp4", video=_video("25/1", "01:02:03:04", "stereo")),
        GivenSource(id="b", name="Tag & <Nacht>.mov", video=_video("30000/1001", None, "mono")),
    ]
    clips = [
        GivenClip(source_id="a", start=1.0, end=3.48, label="positive", confidence=0.924),
        GivenClip(source_id="b", start=10.01, end=12.5, label="negative"),
        GivenClip(source_id="a", start=20.0, end=21.0),
    ]
    return make_sequence(clips, sources, SequenceOptions(title="Best of <2>"))


def _video(rate: str, start_timecode: str | None, layout: str) -> VideoInfo:
    numerator, _, denominator = rate.partition("/")
    track = AudioTrack(numbers=(1,), count=1, chosen="only", codec="aac", layout=layout)
    return VideoInfo(
        duration=70.0,
        fps=int(numerator) / int(denominator),
        width=1280,
        height=720,
        has_audio=True,
        timebase=rate,
        start_timecode=start_timecode,
        audio_track=track,
    )


if __name__ == "__main__":
    WRITTEN.write_text(json.dumps(written_files(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
