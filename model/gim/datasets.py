"""Loads items from a folder of flow features and points.

FOLDER/spec.json              the ModelSpec with its flow stream, as `sentiloc extract` states it
FOLDER/flow/NAME.npy          block flow (T, grid * grid * 2)
FOLDER/points.csv             columns video_id, subject, frame, class (macro or micro); a video without an
                              expression has a row with an empty frame
FOLDER/expressions.csv        columns video_id, onset, apex, offset, class; optional, for evaluation
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from sentiloc.model.data.feature_store import load_finite
from sentiloc.model.data.text import listed, name_problem, read_rows, whole_number
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.flow import stack_flows
from sentiloc.model.gim.items import Expression, ExpressionItem
from sentiloc.model.gim.labels import EXPRESSIONS, Point
from sentiloc.model.gim.spec import FLOW_FOLDER, POINT_FILE, TRUTH_FILE
from sentiloc.model.spec import FlowStream


def load_expression_items(folder: Path, stream: FlowStream) -> list[ExpressionItem]:
    """All videos of a folder; raises `invalid_data` that names the file and line that cannot be read."""
    subjects, points = _points(folder / POINT_FILE)
    truth = _truth(folder / TRUTH_FILE)
    items = []
    for name, subject in sorted(subjects.items()):
        flow = load_finite(folder / FLOW_FOLDER / f"{name}.npy")
        if flow.ndim != 2 or flow.shape[1] != stream.dim or not len(flow):
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{folder / FLOW_FOLDER / name}.npy: {flow.shape}, needs (T, {stream.dim}) with T of at least 1",
            )
        try:
            items.append(
                ExpressionItem(
                    name=name,
                    subject=subject,
                    flow=stack_flows(flow.astype("float32"), stream.skip, stream.resolutions),
                    points=tuple(points[name]),
                    expressions=tuple(truth[name]),
                )
            )
        except ValueError as error:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{folder / POINT_FILE}: {error}") from error
        late = [row for row in truth[name] if row.offset >= len(flow)]
        if late:
            detail = f"{folder / TRUTH_FILE}: {name}: offset {late[0].offset} of {len(flow)} frames"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
    if unknown := sorted(truth.keys() - subjects.keys()):
        # The expressions of these videos would be missing from every count.
        detail = f"{folder / TRUTH_FILE}: {listed(unknown)}: not in {POINT_FILE}"
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    return items


def _points(path: Path) -> tuple[dict[str, str], defaultdict[str, list[Point]]]:
    """The subject and the points of each video."""
    subjects: dict[str, str] = {}
    points: defaultdict[str, list[Point]] = defaultdict(list)
    for place, row in _rows(path, ("video_id", "subject", "frame", "class")):
        try:
            if not row["video_id"] or not row["subject"]:
                raise ValueError("needs video_id and subject")
            if problem := name_problem(row["video_id"]):
                raise ValueError(problem)
            subject = subjects.setdefault(row["video_id"], row["subject"])
            if subject != row["subject"]:
                # A video has one face, and a subject is left out with all videos of it.
                raise ValueError(f"{row['video_id']} is of {row['subject']}, but of {subject} before")
            if row["frame"].strip():
                points[row["video_id"]].append(
                    Point(whole_number(row["frame"], "frame"), _class(row["class"]))
                )
        except ValueError as error:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{place}: {error}") from error
    return subjects, points


def _class(name: str) -> int:
    if name not in EXPRESSIONS:
        raise ValueError(f"class {name!r}; known are {', '.join(EXPRESSIONS)}")
    return EXPRESSIONS.index(name)


def _truth(path: Path) -> defaultdict[str, list[Expression]]:
    found: defaultdict[str, list[Expression]] = defaultdict(list)
    columns = ("video_id", "onset", "apex", "offset", "class")
    for place, row in _rows(path, columns) if path.exists() else ():
        try:
            onset, apex, offset = (whole_number(row[name], name) for name in ("onset", "apex", "offset"))
            kind = _class(row["class"])
            if not 0 <= onset <= apex <= offset:
                raise ValueError(
                    f"{row['video_id']}: onset {onset}, apex {apex}, offset {offset} are not in order"
                )
            found[row["video_id"]].append(Expression(onset, apex, offset, kind))
        except ValueError as error:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{place}: {error}") from error
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    return [(f"{path}: line {number}", row) for number, row in read_rows(path, columns)]
