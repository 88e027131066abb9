"""Converts a benchmark's table to the labels for training: points.csv and expressions.csv of a folder of flow."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from sentiloc.model.data.feature_store import load_array
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import replacing
from sentiloc.model.gim.annotations import AnnotatedVideo, draw_points
from sentiloc.model.gim.items import Expression
from sentiloc.model.gim.labels import EXPRESSIONS
from sentiloc.model.gim.spec import FLOW_FOLDER, POINT_FILE, TRUTH_FILE


def write_labels(folder: Path, videos: Sequence[AnnotatedVideo], seed: int) -> list[str]:
    """Label every video with flow in the folder; returns the names of annotated videos without flow.

    A video without an expression consists of neutral frames; its subject is the beginning of its name. Raises
    `invalid_data` if no video of the table exists, or an expression begins after its end.
    """
    lengths = {path.stem: len(load_array(path)) for path in sorted((folder / FLOW_FOLDER).glob("*.npy"))}
    annotated = {video.file: video for video in videos}
    if not lengths.keys() & annotated.keys():
        wanted = ", ".join(sorted(annotated)[:3])
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{folder / FLOW_FOLDER}: contains none of {wanted}, ...: name videos like that",
        )
    points: list[tuple[object, ...]] = []
    truth: list[tuple[object, ...]] = []
    for number, (name, length) in enumerate(lengths.items()):
        video = annotated.get(name)
        expressions = [] if video is None else [_inside(name, row, length) for row in video.expressions]
        subject = name.split("_")[0] if video is None or video.file == video.name else video.subject
        drawn = draw_points(expressions, seed=seed * len(lengths) + number)
        points += [(name, subject, point.frame, EXPRESSIONS[point.class_index]) for point in drawn]
        if not expressions:
            points.append((name, subject, "", ""))
        truth += [(name, *row[:3], EXPRESSIONS[row.class_index]) for row in expressions]
    _write(folder / POINT_FILE, ("video_id", "subject", "frame", "class"), points)
    _write(folder / TRUTH_FILE, ("video_id", "onset", "apex", "offset", "class"), truth)
    return sorted(annotated.keys() - lengths.keys())


def _inside(name: str, row: Expression, length: int) -> Expression:
    if row.onset >= length:
        detail = (
            f"{name}: an expression begins at frame {row.onset} of {length}: is it the video's own speed?"
        )
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    return row._replace(apex=min(row.apex, length - 1), offset=min(row.offset, length - 1))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
