"""Converts a benchmark's folders or label list to the files for training: emotions.csv and the splits."""

from __future__ import annotations

import csv
from pathlib import Path

from sentiloc.model.cten.benchmarks import (
    EmotionBenchmark,
    make_split,
    read_class_folders,
    read_folder_splits,
    read_label_list,
)
from sentiloc.model.cten.datasets import ALL, LABEL_FILE
from sentiloc.model.data.text import read_lines
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import replacing, write_whole


def write_labels(folder: Path, source: Path, benchmark: EmotionBenchmark, run: int) -> list[str]:
    """Label the features written by `sentiloc extract --split all`, and split them: as the source's folders state, or
    by random run `run`. Videos of other emotions (CAER's neutral, unless it is "caer-7") are skipped. Returns the
    labelled videos without features; raises `invalid_data` if none has features.

    The features of a video are named after its file, or after its path with "_" in place of "/".
    """
    listed = folder / f"split_{ALL}.txt"
    extracted = set(read_lines(listed)) if listed.exists() else set()
    labels = read_class_folders(source) if source.is_dir() else read_label_list(source, benchmark.classes)
    labels = {path: emotion for path, emotion in labels.items() if emotion in benchmark.classes}
    names = {path: name for path in labels if (name := _extracted_name(path, extracted)) is not None}
    if not names:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"{listed}: has none of the {len(labels)} labelled videos"
        )
    if len(set(names.values())) < len(names):
        detail = (
            f"{source}: several videos have one name; extract them under their paths, with _ in place of /"
        )
        raise SentilocError(ErrorCode.INVALID_DATA, detail)
    found = {path: labels[path] for path in names}
    splits = read_folder_splits(found) or make_split(found, benchmark, run)
    for split, paths in splits.items():
        write_whole(folder / f"split_{split}.txt", "".join(f"{names[path]}\n" for path in paths))
    with replacing(folder / LABEL_FILE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = [(names[path], label) for path, label in found.items()]
        csv.writer(file).writerows([("video_id", "label"), *rows])
    return sorted(labels.keys() - names.keys())


def _extracted_name(path: str, extracted: set[str]) -> str | None:
    candidates = (path.replace("/", "_"), path.rpartition("/")[2])
    return next((name for name in candidates if name in extracted), None)
