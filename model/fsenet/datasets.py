"""Loads items from TSL300 / CMU-MOSEI folders, in the published layout and in that of extraction.

Label files are those of `model/fsenet/annotations.py`; features lie in `features/SPLIT/{rgb,logmfcc,img}/NAME.npy`.
Everything is checked before training starts. One error lists all problems with their files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentiloc.model.data.feature_store import check_stream, read_features, read_records, read_spec
from sentiloc.model.data.items import Item, PointLabel
from sentiloc.model.data.text import look_alikes, read_names
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.annotations import (
    DURATION_FILE,
    RATE_FILE,
    USUAL_POINTS,
    USUAL_SEGMENTS,
    Annotations,
    Points,
    Problems,
    find_segments,
    read_annotations,
    read_split,
)
from sentiloc.model.fsenet.losses import Supervision
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.published import detect_shapes, read_published
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import (
    CLASSES,
    PUBLISHED,
    SENTIMENT,
    SNIPPET_FRAMES,
    AudioStream,
    FaceStream,
    ModelSpec,
    VisualStream,
)

__all__ = [
    "Annotations",
    "Problems",
    "folder_config",
    "folder_spec",
    "load_items",
    "read_annotations",
    "read_split",
]

SLACK = 1.05
"""Labels may exceed the end of the features by this much, because streams may end a little early."""
_AGREEMENT = 0.25
"""Share by which frame rate × duration may differ from the frames that the features cover."""


def folder_config(folder: Path, split: str, spec: ModelSpec | None = None, **options: Any) -> FSENetConfig:
    """The network that fits a folder's features: by its spec.json, else by the shapes of the first video's
    files.

    Raises `spec_mismatch` if a spec is given and the folder was extracted under another one.
    """
    stored = _read_spec(folder)
    if stored is not None and spec is not None and stored.features_hash != spec.features_hash:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder / 'spec.json'}: features of {stored.name} ({stored.features_hash}), "
            f"not of {spec.name} ({spec.features_hash})",
        )
    if stored is not None or spec is not None:
        return FSENetConfig.for_spec(stored or of_sentiment(spec), **options)  # type: ignore[arg-type]
    return FSENetConfig(**{**detect_shapes(folder, split, read_split(folder, split)), **options})


def _read_spec(folder: Path) -> ModelSpec | None:
    """The spec of sentiment with the folder's features; raises `spec_mismatch` for snippets of another length."""
    stored = read_spec(folder)
    if stored is None:
        return None
    if stored.snippet_frames != SNIPPET_FRAMES:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder / 'spec.json'}: snippets of {stored.snippet_frames} frames; FSENet's have {SNIPPET_FRAMES}",
        )
    return of_sentiment(stored)


def of_sentiment(spec: ModelSpec) -> ModelSpec:
    """The spec of sentiment for features that may have been extracted with a package of another task."""
    if spec.task == SENTIMENT:
        return spec
    return replace(spec, task=SENTIMENT, classes=CLASSES, proposal_rule="serving", segments=None)


def folder_spec(folder: Path, network: FSENetConfig, face_encoder: str) -> ModelSpec:
    """The spec of a network trained on the folder: the folder's spec without unused streams.

    The published layout has no spec. Its package is served at 25 frames per second with the available extractors, whose
    features are similar to the benchmark's, but not equal: `face_encoder` for faces, I3D-RGB for pictures and the
    serving log-mel for sound. Raises `spec_mismatch` for features that no extractor here makes.
    """
    stored = _read_spec(folder)
    if stored is not None:
        dims = {"visual": network.visual_dim, "audio": network.audio_shape, "face": network.face_dim}
        unused: dict[str, Any] = {name: None for name, dim in dims.items() if dim is None}
        return replace(stored, **unused)
    streams: dict[str, Any] = {
        "visual": VisualStream() if network.visual_dim else None,
        "audio": AudioStream() if network.audio_shape else None,
        "face": FaceStream(encoder=face_encoder) if network.face_dim else None,
    }
    spec = ModelSpec(name=PUBLISHED, version="1", **streams)
    made = FSENetConfig.for_spec(spec).stream_shapes
    other = [name for name, shape in network.stream_shapes.items() if made[name] != shape]
    if other:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{folder / 'features'}: no extractor makes {', '.join(f'{n} {network.stream_shapes[n]}' for n in other)}",
        )
    return spec


def load_items(
    folder: Path,
    split: str,
    config: FSENetConfig,
    *,
    points_file: Path | None = None,
    supervision: Supervision | None = None,
) -> list[Item]:
    """All videos of a split; raises one `invalid_data` that lists every missing, torn or misshapen file, and every
    label that lies outside its video.

    supervision: missing labels are an error if this supervision uses them.
    """
    names, problems = read_split(folder, split), Problems()
    labels = read_annotations(folder, points_file, problems)
    if not labels.broken:
        _check_supervision(folder, split, names, labels, supervision, problems)
    spec = _read_spec(folder)
    _check_records(folder, labels, problems)
    _check_names(folder, names, labels, problems)
    items = [_load_item(folder, split, name, config, labels, spec, problems) for name in names]
    problems.check()
    return [item for item in items if item is not None]


def _check_supervision(
    folder: Path,
    split: str,
    names: list[str],
    labels: Annotations,
    supervision: Supervision | None,
    problems: Problems,
) -> None:
    """Report missing labels that a supervision setting uses."""
    if supervision == "full":
        lacking = [name for name in names if name not in labels.segments]
        if lacking:
            where = find_segments(folder)
            problems.add(
                f"{where or folder / USUAL_SEGMENTS}: {'' if where else 'missing; '}full supervision needs the "
                f"segments of {lacking[0]}" + (f" and {len(lacking) - 1} more" if lacking[1:] else "")
            )
    elif supervision is not None and not any(labels.points.get(name) for name in names):
        where, why = labels.points_file, f"no point of any video in split_{split}.txt"
        problems.add(f"{where or folder / USUAL_POINTS}: {'' if where else 'missing; '}{why}")


def _check_names(folder: Path, names: list[str], labels: Annotations, problems: Problems) -> None:
    """Report labels under a name that is not quite that of a video; they would silently be ignored."""
    videos = {
        *names,
        *(name for split in ("train", "test") for name in read_names(folder / f"split_{split}.txt")),
    }
    read: dict[Path | None, Mapping[str, object]] = {
        labels.points_file: labels.points,
        find_segments(folder): labels.segments,
        folder / RATE_FILE: labels.fps,
        folder / DURATION_FILE: labels.durations,
    }
    for path, entries in read.items():
        strange = [name for name in entries if name not in videos]
        for name, other in look_alikes((name for name in names if name not in entries), strange):
            problems.add(f"{path}: {other!r} is no video, but nearly {name!r}; write it as in split files")


def _check_records(folder: Path, labels: Annotations, problems: Problems) -> None:
    """Rates and durations must be those recorded during extraction."""
    for name, record in read_records(folder).items():
        for path, stated in ((RATE_FILE, labels.fps), (DURATION_FILE, labels.durations)):
            written = record.get(path)
            if (
                written is not None
                and name in stated
                and not math.isclose(stated[name], written, rel_tol=1e-3)
            ):
                problems.add(
                    f"{folder / path}: {name}: {stated[name]:g}, but it was extracted at {written:g}"
                )


def _load_item(
    folder: Path,
    split: str,
    name: str,
    config: FSENetConfig,
    labels: Annotations,
    spec: ModelSpec | None,
    problems: Problems,
) -> Item | None:
    fps = labels.fps.get(name)
    # Extracted features are on the spec's grid; published ones on the video's own.
    rate = spec.frame_rate if spec is not None and spec.frame_rate is not None else fps
    if rate is None or (fps is None and labels.points.get(name)):
        if not labels.broken:
            problems.add(f"{folder / RATE_FILE}: no frame rate of {name}")
        return None
    try:
        features = _read(folder, split, name, config, labels, spec)
    except SentilocError as error:
        problems.add(error.detail)
        return None
    own = fps or rate
    noted = len(problems.found)
    # Wrong times would train silently on wrong labels, so they are checked for every video.
    _check_times(folder, name, labels, len(features) * SNIPPET_FRAMES / rate, own, problems)
    if len(problems.found) > noted:
        return None
    return Item(
        name=name,
        features=features,
        fps=rate,
        points=_snippet_points(labels.points.get(name, ()), rate / own, len(features)),
        segments=labels.segments.get(name, ()),
    )


def _check_times(
    folder: Path, name: str, labels: Annotations, seconds: float, fps: float, problems: Problems
) -> None:
    """Labels, frame rate and duration must fit features of so many seconds."""
    duration = labels.durations.get(name)
    if duration is not None and abs(duration - seconds) > max(_AGREEMENT * seconds, 2 * SNIPPET_FRAMES / fps):
        problems.add(
            f"{folder / RATE_FILE}: {name}: {fps:g} frames per second make {seconds:.1f} s of its features, but "
            f"{folder / DURATION_FILE} says {duration:.1f} s"
        )
        return
    # Annotators count the last, incomplete snippet, which feature extraction may have dropped.
    end = max(seconds, duration or 0.0) * SLACK + SNIPPET_FRAMES / fps
    for (frame, _), line in zip(labels.points.get(name, ()), labels.lines.get(name, ()), strict=False):
        if frame > end * fps:
            problems.add(
                f"{labels.points_file}: line {line}: point {frame} of {name} is after its last frame, "
                f"{int(seconds * fps)}"
            )
    for segment in labels.segments.get(name, ()):
        if segment.end > end + 1.0:
            problems.add(
                f"{find_segments(folder)}: {name}: segment to {segment.end:g} s ends after the video, {seconds:.1f} s"
            )


def _read(
    folder: Path, split: str, name: str, config: FSENetConfig, labels: Annotations, spec: ModelSpec | None
) -> SnippetFeatures:
    if spec is None:
        frames = labels.durations.get(name, 0.0) * labels.fps[name]
        return read_published(folder, split, name, config, frames / SNIPPET_FRAMES)
    features = read_features(folder, split, name)
    _check_extracted(folder, split, name, features, config)
    return features


def _check_extracted(
    folder: Path, split: str, name: str, features: SnippetFeatures, config: FSENetConfig
) -> None:
    for stream, shape in config.stream_shapes.items():
        check_stream(folder, split, name, stream, getattr(features, stream), shape)


def _snippet_points(points: Points, ratio: float, snippets: int) -> tuple[PointLabel, ...]:
    """Frames at the video's own rate to snippets; ratio = snippet frame rate / own frame rate."""
    # A set, because two points of one class in a snippet are one label.
    placed = {(min(int(frame * ratio / SNIPPET_FRAMES), snippets - 1), index) for frame, index in points}
    return tuple(PointLabel(*point) for point in sorted(placed))
