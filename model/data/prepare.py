"""Prepares a data folder from a downloaded benchmark: finds files by name, links and hashes them, and lists missing
ones.

TSL300 and CMU-MOSEI come as features and label files; the others as videos and annotations, whose features must be
extracted. Numpy only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from sentiloc.model.data.feature_store import STREAM_FOLDERS, replace_text
from sentiloc.model.data.text import read_json, read_names
from sentiloc.model.data.video_files import VIDEO_SUFFIXES
from sentiloc.model.errors import ErrorCode, SentilocError

LABEL_FILES = (
    "videosenti_gt.json",
    "gt.json",
    "fps_dict.json",
    "len_duration_dict.json",
    "split_train.txt",
    "split_test.txt",
)
POINT_NAMES = ("point_labels.csv", "point_label.csv")
NEEDED = ("fps_dict.json", "split_train.txt", "split_test.txt")
CHECKSUMS = "checksums.json"
TABLES = {"samm-lv": "SAMM_LV", "casme2": "CASME2", "casme3": "CASME3"}
_SHOWN = 5


@dataclass(slots=True)
class Report:
    """The files found (label file: SHA-256), the links to make (target: source), and one sentence for each missing
    file.
    """

    checksums: dict[str, str] = field(default_factory=dict)
    links: dict[Path, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    next_step: str = ""

    def lines(self) -> list[str]:
        """The report for a terminal."""
        head = [f"{len(self.links)} files linked, {len(self.checksums)} label files"]
        return (
            head
            + [f"missing: {line}" for line in self.missing]
            + ([self.next_step] if self.next_step else [])
        )


def prepare_features(source: Path, data: Path) -> Report:
    """TSL300 or CMU-MOSEI: label files and `features/SPLIT/{rgb,logmfcc,img}/NAME.npy`, wherever they lie below
    `source`. `write_report` makes the links.

    Raises `invalid_data` if two label files of one name differ.
    """
    report = Report()
    for name, names in {**{name: (name,) for name in LABEL_FILES}, "point_label.csv": POINT_NAMES}.items():
        target, found = data / name, _files(source, names, data)
        if found:
            report.links[target] = found[0]
            report.checksums[name] = _sha256(_read_from(target, report))
            # A real file of the data folder has been chosen by the user.
            if target.is_symlink() or not target.exists():
                _require_equal(found, report.checksums[name])
    there = {name for name in (*LABEL_FILES, "point_label.csv") if _read_from(data / name, report).exists()}
    report.missing += [f"{name}: not below {source}" for name in NEEDED if name not in there]
    if not there & {"point_label.csv", "videosenti_gt.json", "gt.json"}:
        report.missing.append(f"labels: no {POINT_NAMES[0]} and no gt.json below {source}")
    for split in ("train", "test"):
        _link_features(source, data, split, report)
    return report


def _require_equal(paths: list[Path], digest: str) -> None:
    """Raise `invalid_data` if the contents of the files differ, because it is unclear which file is meant."""
    for other in paths[1:]:
        if _sha256(other) != digest:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{paths[0]} and {other} differ; name a folder with one of them, or copy the right one into DATA",
            )


def _link_features(source: Path, data: Path, split: str, report: Report) -> None:
    names = read_names(_read_from(data / f"split_{split}.txt", report))
    for stream in STREAM_FOLDERS.values():
        folders = [path for path in _search(source, stream, data) if path.is_dir()]
        # Releases differ: some have a folder per split, others keep all videos together.
        folders = [path for path in folders if split in path.relative_to(source).parts] or folders
        target = data / "features" / split / stream
        absent = []
        for name in names:
            found = next((f / f"{name}.npy" for f in folders if (f / f"{name}.npy").exists()), None)
            if found is None:
                absent.append(name)
                continue
            report.links[target / f"{name}.npy"] = found
        if absent:
            few = ", ".join(absent[:_SHOWN]) + (" …" if len(absent) > _SHOWN else "")
            report.missing.append(f"features/{split}/{stream}: {len(absent)} of {len(names)} videos: {few}")


def prepare_labelled(name: str, source: Path, data: Path, run: int) -> Report:
    """Benchmarks of labelled videos: link the videos to DATA/videos under unique names, and write labels once their
    features exist. `write_report` makes the links.

    Raises `invalid_data` if two videos would have one name.
    """
    report = Report()
    flat = data / "videos"
    for path in _files(source, ("*",), data):
        # In a download that is its own data folder, these are links of an earlier preparation.
        is_made = path.is_symlink() and path.parent.resolve() == flat.resolve()
        if path.suffix.lower() in VIDEO_SUFFIXES and not is_made:
            # With the folder's name, because benchmarks repeat file names from folder to folder.
            target = flat / "_".join(path.relative_to(source).parts)
            other = report.links.setdefault(target, path)
            if other != path:
                raise SentilocError(
                    ErrorCode.INVALID_DATA, f"{other} and {path} would both be {target}; rename one"
                )
    if not report.links:
        report.missing.append(f"videos: none below {source}")
    labels = _labels(name, source, data, report)
    spec, split = ("flow", "") if name in TABLES else ("fsenet-starter", " --split all")
    benchmark = {"ve8": "videoemotion-8"}.get(name, name)
    if not (data / "spec.json").exists():
        report.missing.append(f"features: none in {data}")
        videos, folder = quote(str(flat)), quote(str(data))
        report.next_step = f"next: sentiloc extract {videos}/* -o {folder} --spec {spec}{split}"
    elif labels is not None:
        places = f"{quote(str(labels))} {quote(str(data))}"
        report.next_step = f"next: sentiloc labels {benchmark} {places}" + (f" --run {run}" if run else "")
    return report


def _labels(name: str, source: Path, data: Path, report: Report) -> Path | None:
    """The source of the annotations: a table for expressions; the folders themselves or a list for emotions."""
    if name not in TABLES:
        lists = sorted(path for path in source.glob("*.txt") if path.is_file())
        for path in lists:
            report.checksums[path.name] = _sha256(path)
        return lists[0] if lists else source
    tables = _files(source, ("*.csv",), data)
    if not tables:
        report.missing.append(f"annotations: no CSV below {source}; save the sheet as {TABLES[name]}.csv")
        return None
    report.checksums[tables[0].name] = _sha256(tables[0])
    return tables[0]


def write_report(report: Report, data: Path) -> None:
    """Make the links and write checksums.json.

    Raises `invalid_data`, and changes nothing, if an earlier preparation had other label files.
    """
    path = data / CHECKSUMS
    earlier = read_json(path) if path.exists() else {}
    if not isinstance(earlier, dict):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not a JSON object")
    changed = [name for name, digest in report.checksums.items() if earlier.get(name, digest) != digest]
    if changed:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{path}: {', '.join(changed)} changed since; remove {data} to begin again",
        )
    for target, source in report.links.items():
        _link(source, target)
    # Old entries stay, so that a file which is missing today is still checked tomorrow.
    replace_text(path, json.dumps({**earlier, **report.checksums}, indent=2, sort_keys=True))


def _files(source: Path, patterns: Iterable[str], data: Path) -> list[Path]:
    """The files that match one of the patterns. A pipe is none: to read it would take for ever."""
    return [path for pattern in patterns for path in _search(source, pattern, data) if path.is_file()]


def _search(source: Path, pattern: str, data: Path) -> list[Path]:
    """The paths below the download that match `pattern`, sorted. A data folder inside it does not belong to the
    download.
    """
    # A dangling link may be left from an earlier preparation.
    found = [path for path in sorted(source.rglob(pattern)) if path.exists()]
    root, own = source.resolve(), data.resolve()
    if own == root or not own.is_relative_to(root):
        return found
    return [path for path in found if not (path.parent.resolve() / path.name).is_relative_to(own)]


def _read_from(target: Path, report: Report) -> Path:
    """Where a file of the data folder is read from: a real file stays; else the link to make, if there is one."""
    is_real = target.exists() and not target.is_symlink()
    return target if is_real else report.links.get(target, target)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.parent.resolve() / target.name
    # In a download that is its own data folder, a file may be where it is needed.
    if source.parent.resolve() / source.name == place:
        return
    # A link of an earlier preparation may be dangling; a real file is never replaced.
    if target.is_symlink():
        target.unlink()
    if not target.exists():
        target.symlink_to(source.resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
