"""The videos of one extraction: missing, done, and failed with the reason."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sentiloc.model.data.feature_store import (
    SPEC_FILE,
    VideoFacts,
    add_videos,
    remove_videos,
    replace_text,
    require_own_spec,
    sort_videos,
    write_spec,
)
from sentiloc.model.data.text import name_problem
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.spec import FLOW_FOLDER
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.bulk.ledger import LEDGER_FOLDER, LEDGER_SUFFIX, Entry, Ledger, State
from sentiloc.worker.bulk.makers import complete_file, is_made
from sentiloc.worker.bulk.sources import Sources

_USUAL_NAME_MAX = 255


def name_videos(videos: Iterable[Path]) -> dict[str, Path]:
    """Each video's name in the feature folder, which is its file name without the ending.

    Raises:
        SentilocError: `invalid_data` if two videos have one name, because one would replace the other.
    """
    # Absolute, because workers have another working directory.
    paths = [video.absolute() for video in videos]
    twice = [name for name, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        same = ", ".join(str(path) for path in paths if path.stem == twice[0])
        more = f" (and {len(twice) - 1} more names)" if len(twice) > 1 else ""
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"two videos have the name {twice[0]}: {same}{more}; rename one"
        )
    return {path.stem: path for path in paths}


@dataclass(frozen=True, slots=True)
class Plan:
    """One call of `sentiloc extract`: these videos into this split of this folder."""

    folder: Path
    split: str
    spec: ModelSpec
    videos: Mapping[str, Path]

    @property
    def ledger(self) -> Ledger:
        """The entries of the split."""
        return Ledger(self.folder, self.split)

    @property
    def sources(self) -> Sources:
        """What the features were extracted from. GIM's folder has no splits."""
        return Sources(self.folder, self.split if self.spec.flow is None else "all")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Claim the folder while the block runs; raises `invalid_data` if another extraction has it."""
        lock = self.folder / LEDGER_FOLDER / "lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("w", encoding="utf-8")
        except OSError as error:
            detail = f"{self.folder}: cannot be written: {error.strerror}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SentilocError(
                    ErrorCode.INVALID_DATA, f"{self.folder}: another `sentiloc extract` writes to it"
                ) from error
            # Under the lock, so that two extractions with different specs cannot both begin.
            self._require_feature_folder()
            write_spec(self.folder, self.spec)
            yield

    def _require_feature_folder(self) -> None:
        """Raise `spec_mismatch` for a folder whose spec or features are not of `sentiloc extract`."""
        has_spec = (self.folder / SPEC_FILE).exists()
        if not has_spec and (self.folder / "features").is_dir():
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH,
                f"{self.folder}: contains features of unknown origin, without a {SPEC_FILE}; name another folder",
            )
        if has_spec and not any((self.folder / name).is_dir() for name in ("features", FLOW_FOLDER)):
            # A package or a run could no longer be opened with the spec of a feature folder.
            require_own_spec(self.folder)

    def is_made(self, name: str) -> bool:
        """Whether the features of a video are complete."""
        return is_made(self.spec, self.folder, self.split, name)

    def missing(self, *, retry_failed: bool = False) -> dict[str, Path]:
        """Videos that are neither done nor known to fail."""
        if retry_failed:
            for name in self.recorded_failures():
                self.ledger.forget(name)
        failed = self.failures()
        return {
            name: path for name, path in self.videos.items() if name not in failed and not self.is_made(name)
        }

    def drop_changed(self) -> list[str]:
        """Remove the features of videos whose files have changed since, so that they are missing; returns their names.

        Raises `invalid_data` if the features of a name are those of another video.
        """
        known = self.sources.read()
        made = {name: video for name, video in self.videos.items() if name in known and self.is_made(name)}
        for name, video in made.items():
            if known[name].is_other(video):
                raise SentilocError(
                    ErrorCode.INVALID_DATA,
                    f"{self.folder} has features of another video with the name {name}, {known[name].video}: rename "
                    f"{video}, or remove {complete_file(self.spec, self.folder, self.split, name)} to replace them",
                )
        changed = [name for name, video in made.items() if known[name].has_changed(video)]
        if changed:
            # The source is forgotten last, so that an interrupted call is repeated.
            remove_videos(self.folder, self.split, changed)
            for name in changed:
                complete_file(self.spec, self.folder, self.split, name).unlink(missing_ok=True)
            self.sources.forget(changed)
        return changed

    def failures(self) -> dict[str, Entry]:
        """Videos of this call that failed and whose files have not changed since, or that need another name."""
        return {**self.recorded_failures(), **self._misnamed()}

    def _misnamed(self) -> dict[str, Entry]:
        """Videos whose names cannot be those of feature files.

        The ledger cannot record them, because its files have the same names.
        """
        longest = _longest_name(self.folder)
        problems = {name: name_problem(name, longest) for name in self.videos}
        return {
            name: Entry.misnamed(self.videos[name], problem) for name, problem in problems.items() if problem
        }

    def recorded_failures(self) -> dict[str, Entry]:
        """Videos of this call whose failures the ledger has; only these can be retried."""
        return {
            name: entry
            for name in self.ledger.names()
            if name in self.videos
            and (entry := self.ledger.read(name, self.videos[name])) is not None
            and entry.state == State.FAILED
        }

    def collect(self, names: Iterable[str]) -> None:
        """Add the finished videos to the folder's lists."""
        done: dict[str, Entry] = {}
        for name in names:
            entry = self.ledger.read(name)
            if entry is not None and entry.state == State.DONE and self.is_made(name):
                done[name] = entry
        facts: dict[str, VideoFacts] = {name: entry.facts for name, entry in done.items()}
        if done:
            self.sources.add(done)
        # GIM's benchmarks have their own lists of videos.
        if facts and self.spec.flow is None:
            add_videos(self.folder, self.split, facts)
        for name in facts:
            self.ledger.forget(name)

    def finish(self) -> dict[str, Entry]:
        """Add the remaining videos, sort the split's list, write the list of failures, and return the failures."""
        # Also videos whose report was lost, or that an earlier run finished without listing them.
        self.collect(list(self.ledger.names()))
        if self.spec.flow is None:
            sort_videos(self.folder, self.split, list(self.videos))
        failures = self.failures()
        _write_failures(self.failure_file, failures)
        return failures

    @property
    def failure_file(self) -> Path:
        """Columns video, code, reason; it exists while there are failures."""
        return self.folder / f"failed_{self.split}.csv"


def _longest_name(folder: Path) -> int:
    """The length in bytes of the longest name with which the folder can store all files of a video. Encrypted folders
    allow less.
    """
    try:
        return os.pathconf(folder, "PC_NAME_MAX") - len(LEDGER_SUFFIX)
    except OSError:
        return _USUAL_NAME_MAX - len(LEDGER_SUFFIX)


def _write_failures(path: Path, failures: Mapping[str, Entry]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("video", "code", "reason"))
    rows.writerows((entry.video, entry.code, entry.reason) for entry in failures.values())
    # A path may contain bytes that are not UTF-8.
    written = text.getvalue().encode("utf-8", "backslashreplace").decode()
    replace_text(path, written.rstrip("\n"))
