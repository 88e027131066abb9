"""The state of each video of an extraction, as one small file per video beside the features.

    FOLDER/extraction/SPLIT/NAME.json    one `Entry`; there is none before the first attempt and after a success

So a second run knows which videos failed, and a video that kills its process is not retried forever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from sentiloc.model.data.feature_store import VideoFacts, replace_text
from sentiloc.model.errors import ErrorCode, SentilocError

LEDGER_FOLDER = "extraction"
LEDGER_SUFFIX = ".json"
MOST_ATTEMPTS = 3
"""The number of attempts that may end with their process before a video counts as failed."""


class State(StrEnum):
    """`STARTED`: a process works on the video, or ended while working on it.

    `DONE`: extracted, but not yet in the split's list.
    """

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The current state of a video.

    Args:
        video: Absolute path of the file.
        stamp: Size in bytes and time of last change in ns: a replaced file counts as a new video.
        state: See `State`.
        attempts: The number of attempts.
        owner: The process of the last attempt (`worker.jobs.owner`).
        code, reason: Why it failed.
        fps, duration: Known once the video is done.
    """

    video: str
    stamp: tuple[int, int]
    state: State = State.STARTED
    attempts: int = 0
    owner: str = ""
    code: str = ""
    reason: str = ""
    fps: float | None = None
    duration: float | None = None

    @classmethod
    def misnamed(cls, video: Path, problem: str) -> Self:
        """The failure of a video whose name cannot be that of its feature files."""
        return cls(
            video=str(video),
            stamp=stamp_of(video),
            state=State.FAILED,
            code=ErrorCode.INVALID_DATA,
            reason=f"{problem}; rename the file",
        )

    @property
    def facts(self) -> VideoFacts:
        """The facts that are stored in the feature folder."""
        return VideoFacts(self.fps, self.duration)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The entries of one split. A video's entry is written by the process that holds its lease."""

    folder: Path
    split: str

    def read(self, name: str, video: Path | None = None) -> Entry | None:
        """The entry of a video; None if there is none, or if the file has changed since."""
        try:
            values = json.loads(self._path(name).read_text(encoding="utf-8"))
            values["stamp"] = tuple(values["stamp"])
            entry = Entry(**{**values, "state": State(values["state"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{self._path(name)}: not an entry of an extraction: {error}"
            ) from error
        return entry if video is None or entry.stamp == stamp_of(video) else None

    def begin(self, name: str, video: Path, owner: str) -> Entry:
        """Count an attempt. The returned entry has failed if there were too many."""
        last = self.read(name, video) or Entry(video=str(video), stamp=stamp_of(video))
        if last.attempts >= MOST_ATTEMPTS:
            reason = f"the process that extracted it ended {last.attempts} times; its memory may not suffice"
            return self.fail(name, last, ErrorCode.POISON, reason)
        # Written before the work, so that an attempt which kills the process is counted.
        return self._write(name, replace(last, state=State.STARTED, attempts=last.attempts + 1, owner=owner))

    def finish(self, name: str, entry: Entry, facts: VideoFacts) -> Entry:
        """Record success and the video's facts. Call this before the features are complete."""
        return self._write(name, replace(entry, state=State.DONE, fps=facts.fps, duration=facts.duration))

    def fail(self, name: str, entry: Entry, code: str, reason: str) -> Entry:
        """Record why a video cannot be extracted."""
        return self._write(name, replace(entry, state=State.FAILED, code=str(code), reason=reason))

    def uncount(self, name: str) -> None:
        """Do not count the last attempt, because it was stopped on purpose."""
        entry = self.read(name)
        if entry is not None and entry.state == State.STARTED:
            self._write(name, replace(entry, attempts=entry.attempts - 1))

    def forget(self, name: str) -> None:
        """Remove the entry of a video."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Videos that have an entry, sorted."""
        # Includes entries of hidden files. Unfinished files have another suffix.
        entries = (self.folder / LEDGER_FOLDER / self.split).glob(f"*{LEDGER_SUFFIX}")
        yield from sorted(path.stem for path in entries)

    def _write(self, name: str, entry: Entry) -> Entry:
        replace_text(self._path(name), json.dumps(asdict(entry), indent=1))
        return entry

    def _path(self, name: str) -> Path:
        return self.folder / LEDGER_FOLDER / self.split / f"{name}{LEDGER_SUFFIX}"


def stamp_of(video: Path) -> tuple[int, int]:
    """Size and time of last change (ns) of a file; zeros if it cannot be read."""
    try:
        status = video.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
