"""Finds the videos that a command line names, and new complete videos in a watched folder."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from pathlib import Path

from sentiloc.cli.messages import wrong_usage
from sentiloc.model.data.video_files import VIDEO_SUFFIXES

# Seconds between two checks of a folder. A file that is being copied changes within this time.
LOOK_SECONDS = 1.0


def find_videos(names: list[str]) -> list[Path]:
    """The files in the given order. Folders and globs are expanded, recursively and sorted by name.

    Raises:
        typer.BadParameter: A file does not exist, or a folder or glob has no video.
    """
    found = [path for name in names for path in _expand(name)]
    # A file may be named twice, by its name and by its folder.
    return list(dict.fromkeys(found))


def _expand(name: str) -> list[Path]:
    if not name:
        # An unset variable gives an empty name, which would mean the current folder.
        raise wrong_usage("a name is empty", "VIDEO")
    path = Path(name).expanduser()
    if path.is_dir():
        videos = videos_in(path)
    # A file name may contain brackets without being a pattern.
    elif path.exists() or not glob.has_magic(name):
        videos = [path]
    else:
        matches = map(Path, glob.iglob(str(path), recursive=True))  # noqa: PTH207 - patterns may be absolute
        videos = sorted(match for match in matches if match.is_file())
    if not videos:
        raise wrong_usage(f"there is no video in {name}", "VIDEO")
    if not path.is_dir() and not videos[0].exists():
        raise wrong_usage(f"there is no file {name}", "VIDEO")
    return videos


def videos_in(folder: Path) -> list[Path]:
    """Files with a video suffix, sorted; hidden files are skipped."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


class NewFiles:
    """New videos of a folder. A video is returned once, when its size and time have stopped changing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._taken: dict[Path, tuple[int, int]] = {}

    def poll(self) -> list[Path]:
        """Files that did not change since the last call and were not returned in this state yet."""
        before, self._sizes = self._sizes, dict(self._stamps())
        ready = [
            path
            for path, stamp in self._sizes.items()
            # Many programs create a file empty before they write to it.
            if before.get(path) == stamp != self._taken.get(path) and stamp[0] > 0
        ]
        self._taken |= {path: self._sizes[path] for path in ready}
        return ready

    def forever(self) -> Iterator[Path]:
        """Yield each new file until the process is interrupted."""
        while True:
            yield from self.poll()
            time.sleep(LOOK_SECONDS)

    def _stamps(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for path in videos_in(self._folder):
            try:
                status = path.stat()
            # Removed after the folder was listed.
            except OSError:
                continue
            yield path, (status.st_size, status.st_mtime_ns)
