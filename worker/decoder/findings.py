"""Warnings about what decoding could not read or had to repair."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.results.warnings import ResultWarning, WarningCode
from sentiloc.worker.decoder.source.media import Media
from sentiloc.worker.timeline.rate import FrameRate

# Shorter losses are too small to matter, and decoders drop a frame or two at a seek point.
_LEAST_SECONDS = 0.5
_LEAST_FRAMES = 3
# Declared lengths are rounded, so a small difference does not mean that the file breaks off.
_MISSING_SECONDS, _MISSING_SHARE = 1.0, 0.02
_MOST_STRETCHES = 20
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one pass found, in seconds from time 0: video packets (`sent`), decoded pictures (`shown`), and ends."""

    end: float
    sound_end: float
    others_end: float
    """The ends of the streams that were not read."""
    sent: array[float]
    shown: array[float]
    breaks: Sequence[float]
    outliers: Sequence[float]
    latest_ignored: float
    """The latest time stamp of a packet that was ignored."""
    broke_off: bool
    is_part: bool


def draft_warning(seen: Seen) -> ResultWarning:
    """The warning that most pictures were not decoded, with the longest time between two decoded ones."""
    shown = np.sort(np.frombuffer(seen.shown, np.float64))
    gap = float(np.diff(np.append(shown, max(seen.end, shown[-1]))).max()) if len(shown) else seen.end
    pictures = f"{len(shown)} picture{'s' if len(shown) != 1 else ''}"
    detail = (
        f"This is a draft: {pictures} were decoded, the longest time between two being {gap:.1f} seconds."
    )
    return ResultWarning(code=WarningCode.DRAFT, detail=detail)


def find_warnings(media: Media, seen: Seen, rate: FrameRate, most_seconds: float) -> Iterator[ResultWarning]:
    """Warnings about the file, the most important first; their times are at most `most_seconds`."""
    for warning in _all_warnings(media, seen, rate):
        start, end = (
            None if time is None else min(time, most_seconds) for time in (warning.start, warning.end)
        )
        yield replace(warning, start=start, end=end)


def _all_warnings(media: Media, seen: Seen, rate: FrameRate) -> Iterator[ResultWarning]:
    if not seen.is_part:
        yield from _truncated(media, seen)
    yield from _missing(seen, rate)
    yield from _undecodable(seen, rate.fps)
    yield from _repaired_stamps(seen)


def _truncated(media: Media, seen: Seen) -> Iterator[ResultWarning]:
    end = max(seen.end, seen.sound_end, seen.others_end) if media.declared_end is None else seen.end
    declared = media.declared_length
    missing = (declared or 0.0) - end
    if (
        declared is not None
        and not seen.breaks
        and missing > max(_MISSING_SECONDS, _MISSING_SHARE * declared)
        and not _comes_from_a_bad_stamp(declared, seen)
    ):
        detail = f"The file breaks off: {end:.1f} of {declared:.1f} declared seconds could be read."
        yield ResultWarning(code=WarningCode.TRUNCATED, detail=detail, start=end, end=declared)
    elif seen.broke_off:
        detail = f"The file breaks off after {end:.1f} seconds: what follows could not be read."
        yield ResultWarning(code=WarningCode.TRUNCATED, detail=detail, start=end)


def _comes_from_a_bad_stamp(declared: float, seen: Seen) -> bool:
    """Whether the declared length comes from a wrong time stamp, which was ignored here."""
    latest = max(seen.latest_ignored, *seen.sent) if seen.sent else seen.latest_ignored
    return bool(seen.outliers) and abs(latest - declared) <= _MISSING_SECONDS


def _undecodable(seen: Seen, fps: float) -> Iterator[ResultWarning]:
    """Time ranges with packets but without decoded pictures."""
    sent, shown = _without_bad_stamps(seen)
    if not len(sent) or not len(shown):
        return
    least, slack = max(_LEAST_SECONDS, 4 / fps), 0.5 / fps
    starts = np.concatenate([[min(sent[0], shown[0]) - 1 / fps], shown])
    ends = np.concatenate([shown, [sent[-1] if not seen.is_part else shown[-1]]])
    ends[-1] += 1 / fps if ends[-1] > shown[-1] else 0
    found = 0
    for start, end in zip(starts, ends, strict=True):
        if end - start <= least + 1 / fps:
            continue
        lost = np.searchsorted(sent, end - slack) - np.searchsorted(sent, start + slack)
        if lost >= _LEAST_FRAMES and found < _MOST_STRETCHES:
            found += 1
            begin, until = max(0.0, float(start) + 1 / fps), float(end)
            detail = f"The pictures from {begin:.1f} to {until:.1f} seconds could not be decoded."
            yield ResultWarning(code=WarningCode.UNDECODABLE, detail=detail, start=begin, end=until)


def _missing(seen: Seen, rate: FrameRate) -> Iterator[ResultWarning]:
    """Time ranges without packets, as damage in the file leaves them."""
    for start, end in rate.gaps[:_MOST_STRETCHES]:
        if 0 <= start < end <= seen.end:
            detail = f"The file has no pictures from {start:.1f} to {end:.1f} seconds."
            yield ResultWarning(code=WarningCode.UNDECODABLE, detail=detail, start=start, end=end)


def _without_bad_stamps(seen: Seen) -> tuple[Times, Times]:
    """The times of packets and of pictures, sorted, without those stamps after the end that were ignored."""
    sent, shown = (np.sort(np.frombuffer(times, np.float64)) for times in (seen.sent, seen.shown))
    late = int(np.count_nonzero(sent > shown[-1])) if len(shown) else 0
    return sent[sent >= 0][: -late if 0 < late <= len(seen.outliers) else None], shown


def _repaired_stamps(seen: Seen) -> Iterator[ResultWarning]:
    for times, what in ((seen.breaks, "start again or jump"), (seen.outliers, "are out of order")):
        if times:
            # A single wrong time stamp does not count as a place in the video.
            first = min(max(0.0, min(times)), seen.end)
            count = f"{len(times)} place{'s' if len(times) > 1 else ''}"
            detail = (
                f"The file's time stamps {what} in {count}, first at {first:.1f} seconds; they were repaired."
            )
            yield ResultWarning(code=WarningCode.MENDED_TIMESTAMPS, detail=detail, start=first)
