"""Reads and checks the label files of a TSL300 / CMU-MOSEI folder.

- `gt.json`, `videosenti_gt.json`: segments in seconds, labels "n" and "p"
- `fps_dict.json`, `len_duration_dict.json`: the videos' own frame rate; duration in seconds (optional)
- `split_train.txt`, `split_test.txt`: names
- `point_gaussian/point_labels.csv` or `point_label.csv`: columns video_id, point (a frame), class_index
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentiloc.model.data.items import SegmentLabel
from sentiloc.model.data.text import listed, read_json, read_names, read_rows, real_number, whole_number
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.tsl300 import LABELS
from sentiloc.model.spec import CLASSES

POINT_FILES = ("point_gaussian/point_labels.csv", "point_label.csv", "point_labels.csv")
SEGMENT_FILES = ("videosenti_gt.json", "gt.json")
USUAL_POINTS, USUAL_SEGMENTS = "point_label.csv", "gt.json"
"""Names for files that a folder lacks, as the tutorial gives them."""
RATE_FILE, DURATION_FILE = "fps_dict.json", "len_duration_dict.json"
LEAST_RATE, LARGEST_RATE = 1.0, 240.0
"""Frame rates outside this range are treated as mistakes."""
_POINT_COLUMNS = ("video_id", "point", "class_index")
# More would scroll the first ones off a terminal; they usually have the same cause.
_SHOWN = 40


Points = tuple[tuple[int, int], ...]
"""(frame, class) of a video's annotated instants."""


@dataclass(slots=True)
class Problems:
    """Collects the problems of a data set, so that all are reported at once."""

    found: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add one problem; it begins with the file's name."""
        self.found.append(text)

    def check(self) -> None:
        """Raise `invalid_data` if there are problems, one per line."""
        if len(self.found) == 1:
            raise SentilocError(ErrorCode.INVALID_DATA, self.found[0])
        if self.found:
            more = len(self.found) - _SHOWN
            shown = self.found[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{len(self.found)} problems in the data:\n  " + "\n  ".join(shown)
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Labels of a folder by video name; `points` count frames at the video's own frame rate.

    `points_file` is the file of the points, if any; `lines` are their lines in it. `broken` means that a file has
    errors, so that missing labels may not really be missing.
    """

    fps: dict[str, float]
    durations: dict[str, float]
    segments: dict[str, tuple[SegmentLabel, ...]]
    points: dict[str, Points]
    lines: dict[str, tuple[int, ...]] = field(default_factory=dict)
    points_file: Path | None = None
    broken: bool = False


def label_files(folder: Path, points_file: Path | None = None) -> list[Path]:
    """All files that can describe a folder's videos, present or not."""
    names = (*SEGMENT_FILES, RATE_FILE, DURATION_FILE, "split_train.txt", "split_test.txt", "spec.json")
    points = find_points(folder, points_file)
    return [folder / name for name in names] + ([points] if points else [])


def find_points(folder: Path, points_file: Path | None = None) -> Path | None:
    """The point file: the given one, else the first of `POINT_FILES` that exists."""
    # Not exists(), so that a dangling link is reported instead of ignored.
    found = (folder / name for name in POINT_FILES if os.path.lexists(folder / name))
    return points_file or next(found, None)


def find_segments(folder: Path) -> Path | None:
    """The first file of `SEGMENT_FILES` that exists."""
    return next((folder / name for name in SEGMENT_FILES if (folder / name).exists()), None)


def read_split(folder: Path, split: str) -> list[str]:
    """Names in split_SPLIT.txt; raises `invalid_data` if it is missing or empty, or names a video twice, or one
    that another split has as well.
    """
    path = folder / f"split_{split}.txt"
    names = read_names(path)
    if not names:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: missing or empty")
    for other in ("train", "test"):
        # A video in both splits would make the test score meaningless.
        rest = folder / f"split_{other}.txt"
        shared = [] if other == split or not rest.exists() else sorted({*names} & {*read_names(rest)})
        if shared:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {listed(shared)} is in {rest.name} as well")
    return names


def read_annotations(folder: Path, points_file: Path | None, problems: Problems) -> Annotations:
    """Read frame rates, durations, segments and points of a folder. Files may be absent."""
    noted = len(problems.found)
    points = find_points(folder, points_file)
    segments: dict[str, tuple[SegmentLabel, ...]] = {}
    for name in SEGMENT_FILES:
        # If both files have a video, the first one counts.
        segments = {**_read_segments(folder / name, problems), **segments}
    rows = _read_points(points, problems) if points is not None else []
    by_name: dict[str, list[tuple[tuple[int, int], int]]] = {}
    for name, point, line in rows:
        by_name.setdefault(name, []).append((point, line))
    rates = _read_numbers(folder / RATE_FILE, problems, (LEAST_RATE, LARGEST_RATE))
    durations = _read_numbers(folder / DURATION_FILE, problems, (0.0, math.inf))
    return Annotations(
        fps=rates,
        durations=durations,
        segments=segments,
        points={name: tuple(point for point, _ in pairs) for name, pairs in by_name.items()},
        lines={name: tuple(line for _, line in pairs) for name, pairs in by_name.items()},
        points_file=points,
        broken=len(problems.found) > noted,
    )


def _read_points(path: Path, problems: Problems) -> list[tuple[str, tuple[int, int], int]]:
    """Video, (frame, class) and line, from the columns video_id, point and class_index; no other column is read."""
    found = []
    try:
        rows = read_rows(path, _POINT_COLUMNS)
    except SentilocError as error:
        problems.add(error.detail)
        return []
    for number, row in rows:
        try:
            if not row["video_id"]:
                raise ValueError("needs a video_id")
            found.append((row["video_id"], _point(row), number))
        except ValueError as error:
            problems.add(f"{path}: line {number}: {error}")
    return found


def _point(row: dict[str, str]) -> tuple[int, int]:
    frame, index = (whole_number(row[name], name) for name in ("point", "class_index"))
    if frame < 0:
        raise ValueError(f"point {frame} is before the video")
    if not 0 <= index < len(CLASSES):
        raise ValueError(f"class_index {index}; 0 is negative, 1 is positive")
    return frame, index


def _read_segments(path: Path, problems: Problems) -> dict[str, tuple[SegmentLabel, ...]]:
    if not os.path.lexists(path):
        return {}
    try:
        database = read_json(path)["database"]
        items = list(database.items())
    except SentilocError as error:
        problems.add(error.detail)
        return {}
    except (KeyError, TypeError, AttributeError):
        problems.add(f'{path}: needs a JSON object with "database", which holds an object for each video')
        return {}
    found = {}
    for name, video in items:
        try:
            rows = video["annotations"] if isinstance(video, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError("needs 'annotations': a list of objects")
            found[name] = tuple(map(_segment, rows))
        except (ValueError, KeyError) as error:
            problems.add(f"{path}: {name}: {_words(error)}")
    return found


def _words(error: Exception) -> str:
    return f"needs {error}" if isinstance(error, KeyError) else str(error)


def _segment(annotation: dict[str, Any]) -> SegmentLabel:
    bounds = annotation["segment"]
    times = [real_number(bound) for bound in bounds] if isinstance(bounds, list) else []
    if len(times) != 2 or times[0] is None or times[1] is None:
        raise ValueError(f"segment {bounds!r}; needs [start, end] in seconds")
    start, end = times[0], times[1]
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end <= start:
        raise ValueError(
            f"segment from {start:g} to {end:g} s; its end must be after its start, at 0 or later"
        )
    label = annotation["label"]
    if label not in LABELS:
        raise ValueError(f"label {label!r}; known are {', '.join(map(repr, LABELS))}")
    return SegmentLabel(start, end, LABELS.index(label))


def _read_numbers(path: Path, problems: Problems, bounds: tuple[float, float]) -> dict[str, float]:
    """Read one number per video within (lower, upper]."""
    if not os.path.lexists(path):
        return {}
    try:
        items = list(read_json(path).items())
    except SentilocError as error:
        problems.add(error.detail)
        return {}
    except AttributeError:
        problems.add(f"{path}: not a JSON object with a number for each video")
        return {}
    found = {}
    for name, value in items:
        number = real_number(value)
        # JSON readers accept NaN and Infinity.
        if number is not None and math.isfinite(number) and bounds[0] <= number <= bounds[1] and number > 0:
            found[name] = number
        else:
            problems.add(f"{path}: {name}: {value!r} is not between {bounds[0]:g} and {bounds[1]:g}")
    return found
