"""Annotation tables of the expression benchmarks: SAMM-LV, CAS(ME)2 and CAS(ME)3. Numpy only.

The data sets come with spreadsheets; save them as CSV. Columns are found by their names in any order: onset, apex and
offset in frames, the subject, the video, and whether the expression is macro or micro. Lines before the header are
skipped. CAS(ME)2's sheet has no header and is read in its published order. Frames are converted to the rate of the
features: every seventh of SAMM-LV's 200 per second is used, as in the paper, or they are counted at a given rate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentiloc.model.data.text import (
    check_columns,
    check_width,
    other_separator,
    read_cells,
    real_number,
)
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.items import Expression
from sentiloc.model.gim.labels import MACRO, MICRO, Point

_FRAMES = ("onset", "apex", "offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationLayout:
    """Possible names of a table's columns (the first existing one is used), its frame rate, and the divisor to about
    30. headerless: the columns of a sheet without a header. video_name: a pattern whose group 1 is the video, because
    names can also count expressions ("006_1_2" is the second of 006_1). alone: the video's name contains the subject
    ("006_1").
    """

    subject: tuple[str, ...]
    video: tuple[str, ...]
    kind: tuple[str, ...]
    frame_rate: float
    thinning: int = 1
    default_kind: int | None = None
    headerless: tuple[str, ...] = ()
    video_name: str = "(.+)"
    alone: bool = False

    @property
    def thinned_rate(self) -> float:
        """Frames per second after thinning."""
        return self.frame_rate / self.thinning


LAYOUTS: Mapping[str, AnnotationLayout] = {
    "samm-lv": AnnotationLayout(
        subject=("subject",),
        video=("filename",),
        kind=("type",),
        frame_rate=200.0,
        thinning=7,
        video_name=r"(\d+_\d+)(?:_\d+)?",
        alone=True,
    ),
    "casme2": AnnotationLayout(
        subject=("subject", "subject_number", "participant"),
        video=("filename", "video_code", "video", "file_name"),
        kind=("type", "expression_type"),
        frame_rate=30.0,
        headerless=("subject", "video", "onset", "apex", "offset", "action_units", "emotion", "type"),
        video_name=r"([A-Za-z]+\d*)(?:_\d+)?",
    ),
    "casme3": AnnotationLayout(
        subject=("subject",), video=("filename",), kind=("type",), frame_rate=30.0, default_kind=MICRO
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedVideo:
    """Expressions of one video in order of onset; `file` is the name of its flow file, SUBJECT_VIDEO."""

    subject: str
    name: str
    expressions: tuple[Expression, ...]
    file: str = ""


def read_expressions(path: Path, layout: AnnotationLayout, rate: float | None = None) -> list[AnnotatedVideo]:
    """Every video of a table, in thinned frames or in frames at `rate` a second; raises `invalid_data` with the line
    that cannot be read.

    Apex 0 means not annotated: the middle is used. Offset 0 means that the expression outlasts the video or has no
    clear end: the offset is then as far after the apex as the onset is before it. A table of one kind only (CAS(ME)3
    keeps micro and macro in two files) needs no type column.
    """
    videos: dict[tuple[str, str], list[Expression]] = {}
    columns, rows = _table(path, layout)
    for line, cells in rows:
        row = dict(zip(columns, cells, strict=False))
        try:
            key = (_cell(row, layout.subject), _video(row, layout))
            videos.setdefault(key, []).append(_expression(row, layout, rate))
        except ValueError as error:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: line {line}: {error}") from error
    return [
        AnnotatedVideo(
            subject=subject,
            name=name,
            expressions=tuple(sorted(rows)),
            file=name if layout.alone else f"{subject}_{name}",
        )
        for (subject, name), rows in sorted(videos.items())
    ]


def _table(path: Path, layout: AnnotationLayout) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Plain column names, and the rows with their lines."""
    lines = read_cells(path)
    for index, (_, cells) in enumerate(lines):
        names = [_plain(cell) for cell in cells]
        if any(_is_frame(name, "onset") for name in names):
            # One name for each stem, because "Onset" beside "Onset Frame" is ambiguous, too.
            stems = [next((stem for stem in _FRAMES if _is_frame(name, stem)), name) for name in names]
            check_columns(path, stems, (*_FRAMES, *layout.subject, *layout.video, *layout.kind))
            for line, row in lines[index + 1 :]:
                check_width(path, line, row, cells)
            return names, lines[index + 1 :]
    if not layout.headerless:
        header = next((cells for _, cells in lines if "onset" in ",".join(cells).lower()), [])
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: no column onset{other_separator(header)}")
    return list(layout.headerless), lines


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _is_frame(name: str, stem: str) -> bool:
    return re.fullmatch(f"{stem}(_frame|_index)?", name) is not None


def _cell(row: Mapping[str, str], names: Sequence[str]) -> str:
    for name in names:
        if row.get(name):
            return row[name]
    raise ValueError(f"no value for {' or '.join(names)}")


def _video(row: Mapping[str, str], layout: AnnotationLayout) -> str:
    name = _cell(row, layout.video)
    found = re.fullmatch(layout.video_name, name)
    return found[1] if found else name


def _expression(row: Mapping[str, str], layout: AnnotationLayout, rate: float | None) -> Expression:
    onset, apex, offset = (_frame(row, name) for name in _FRAMES)
    if offset <= 0:
        offset = 2 * apex - onset if apex > onset else onset
    if apex <= 0:
        apex = (onset + offset) // 2
    if not 0 <= onset <= apex <= offset:
        raise ValueError(f"onset {onset}, apex {apex} and offset {offset} are out of order")
    onset, apex, offset = (
        frame // layout.thinning if rate is None else int(frame * rate / layout.frame_rate)
        for frame in (onset, apex, offset)
    )
    return Expression(onset, apex, offset, _kind(row, layout))


def _frame(row: Mapping[str, str], stem: str) -> int:
    found = next((name for name in row if _is_frame(name, stem)), None)
    if found is None:
        raise ValueError(f"no column {stem}")
    # Without an onset there is no expression; an apex or offset that is not annotated is 0.
    if not row[found] and stem == "onset":
        raise ValueError("no value for onset")
    # Spreadsheets export whole numbers as 12.0 and empty cells as "".
    number = real_number(row[found] or "0")
    if number is None or not number.is_integer():
        raise ValueError(f"{stem} {row[found]!r} is not a number of a frame")
    return int(number)


def _kind(row: Mapping[str, str], layout: AnnotationLayout) -> int:
    text = next((row[name] for name in layout.kind if row.get(name)), "")
    if not text and layout.default_kind is not None:
        return layout.default_kind
    kinds = [kind for name, kind in (("macro", MACRO), ("micro", MICRO)) if name in text.lower()]
    if len(kinds) != 1:
        raise ValueError(f"type {text!r} is not one of macro and micro")
    return kinds[0]


def draw_points(expressions: Sequence[Expression], seed: int, deviation: float = 0.12) -> tuple[Point, ...]:
    """One labelled frame per expression, from a Gaussian around its apex, within the expression (section 4.1).

    The paper gives no deviation; here it is a share of the expression's length.
    """
    points = []
    for number, expression in enumerate(expressions):
        length = expression.offset - expression.onset + 1
        # One generator per expression, so that a point does not depend on the others.
        drawn = np.random.default_rng((seed, number)).normal(expression.apex, deviation * length)
        frame = int(np.clip(round(drawn), expression.onset, expression.offset))
        points.append(Point(frame, expression.class_index))
    return tuple(points)
