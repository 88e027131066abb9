"""The highlights of several videos: found, chosen and cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sentiloc.model.highlights.choice import DEFAULT_SPREAD, Spread, choose
from sentiloc.model.highlights.handles import Cut, HandleOptions, cut_moment, find_pauses
from sentiloc.model.highlights.moments import Footage, Moment, MomentOptions, find_moments


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightOptions:
    """The number of highlights, their moments, their spread, and how they are cut."""

    count: int = 10
    moments: MomentOptions = field(default_factory=MomentOptions)
    handles: HandleOptions = field(default_factory=HandleOptions)
    spread: Spread = DEFAULT_SPREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A moment of a video with its `cut`. `rank` is 1 for the best."""

    rank: int
    moment: Moment
    cut: Cut
    footage: Footage


def find_highlights(videos: Sequence[Footage], options: HighlightOptions) -> tuple[Highlight, ...]:
    """The best moments of some videos, in the order of the videos and of time.

    Highlights of one video never overlap: if their handles meet, the cut is between them.
    """
    known = {video.id: video for video in videos}
    moments = [moment for video in videos for moment in find_moments(video, options.moments)]
    ranked = choose(moments, known, options.count, options.spread)
    place = {video.id: number for number, video in enumerate(videos)}
    # By identity, because moments of a video that is listed twice are equal.
    rank = {id(moment): number for number, moment in enumerate(ranked, 1)}
    shown = sorted(ranked, key=lambda one: (place[one.footage_id], one.start))
    # Once for each video: two hours of sound take 40 ms.
    pauses = {name: find_pauses(known[name].result.sound) for name in {one.footage_id for one in shown}}
    cuts = [
        cut_moment(one, known[one.footage_id].result, options.handles, pauses[one.footage_id])
        for one in shown
    ]
    return tuple(
        Highlight(rank=rank[id(moment)], moment=moment, cut=cut, footage=known[moment.footage_id])
        for moment, cut in zip(shown, _apart(shown, cuts), strict=True)
    )


def _apart(moments: Sequence[Moment], cuts: Sequence[Cut]) -> list[Cut]:
    """Cuts without overlap: between two moments of one video whose handles meet, both end in the middle."""
    apart = list(cuts)
    for number, (first, second) in enumerate(pairwise(moments)):
        before, after = apart[number], apart[number + 1]
        if first.footage_id == second.footage_id and before.end > after.start:
            # Between the moments themselves, so neither moment is shortened.
            middle = (first.end + second.start) / 2
            apart[number] = Cut(start=before.start, end=middle, start_snap=before.start_snap)
            apart[number + 1] = Cut(start=middle, end=after.end, end_snap=after.end_snap)
    return apart
