"""Sentiloc in DaVinci Resolve: marks the clips of the current timeline.

Untested: written after Resolve's published interface.

Put this file into Resolve's folder `Fusion/Scripts/Edit`; it appears under *Workspace › Scripts*. `SENTILOC_SERVER` and
`SENTILOC_API_KEY` say where the server is. Needs `pip install sentiloc-client` in the Python that Resolve uses.
"""

from __future__ import annotations

import os

from sentiloc_client import Client

COLOURS = {"positive": "Blue", "negative": "Red"}


def mark_timeline(timeline, client: Client) -> int:
    """A marker with a duration for each segment inside each clip of the first video track; returns how many."""
    found: dict[str, tuple] = {}
    # A number, or a text such as "29.97 DF" for drop-frame timecode.
    rate, count = float(str(timeline.GetSetting("timelineFrameRate")).split()[0]), 0
    for item in timeline.GetItemListInTrack("video", 1):
        media = item.GetMediaPoolItem()
        path = media.GetClipProperty("File Path") if media else ""
        if not path:
            continue
        if path not in found:
            found[path] = client.localize(path).segments
        first = item.GetStart() - item.GetLeftOffset() - timeline.GetStartFrame()
        for segment in found[path]:
            begin = max(round(first + segment.start * rate), item.GetStart() - timeline.GetStartFrame())
            end = min(round(first + segment.end * rate), item.GetEnd() - timeline.GetStartFrame())
            if begin < end:
                name = f"{segment.label.capitalize()} {min(0.99, segment.confidence):.0%}"
                colour = COLOURS.get(segment.label, "Yellow")
                count += timeline.AddMarker(begin, colour, name, "", end - begin)
    return count


def main() -> None:
    """Mark the current timeline of the open project."""
    project = resolve.GetProjectManager().GetCurrentProject()  # noqa: F821 - Resolve puts it there
    with Client(os.environ.get("SENTILOC_SERVER")) as client:
        mark_timeline(project.GetCurrentTimeline(), client)


if __name__ == "__main__":
    main()
