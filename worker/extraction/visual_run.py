"""The visual stream of one extraction. Snippets that the network does not read get interpolated features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import FloatArray
from sentiloc.worker.decoder.events import SnippetFrames
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.features.feature_file import FeatureFile
from sentiloc.worker.features.visual import VisualExtractor


@dataclass(frozen=True, slots=True)
class _Read:
    """A snippet to read: its frames, the number of unread snippets before it, and whether it begins a shot."""

    frames: NDArray[np.uint8]
    unread: int
    begins_shot: bool


class VisualRun:
    """Features of the snippets in order.

    Between two snippets that are read, features change linearly. Before a new shot, they stay as they were last read.
    """

    def __init__(self, extractor: VisualExtractor, folder: Path | None, clock: StageClock) -> None:
        self._extractor, self._clock = extractor, clock
        self.rows = FeatureFile((extractor.dim,), folder)
        self._waiting: list[_Read] = []
        self._unread = 0
        self._last: FloatArray | None = None

    @property
    def count(self) -> int:
        """The number of snippets that have their features."""
        return self.rows.count

    def take(self, batch: list[SnippetFrames]) -> None:
        """Process the next snippets. Those that are read wait until the network's batch is full."""
        for snippet in batch:
            if snippet.visual is None:
                self._unread += 1
                continue
            self._waiting.append(_Read(snippet.visual, self._unread, snippet.begins_shot))
            self._unread = 0
        full = len(self._waiting) // self._extractor.batch * self._extractor.batch
        self._run(full)

    def finish(self) -> None:
        """Process what waits. The last features stay until the end."""
        self._run(len(self._waiting))
        if self._last is not None and self._unread:
            self.rows.append(np.repeat(self._last[None], self._unread, 0))
        self._unread = 0

    def _run(self, count: int) -> None:
        """Process the first `count` of the snippets that wait."""
        if not count:
            return
        with self._clock.time("visual"):
            now, self._waiting = self._waiting[:count], self._waiting[count:]
            parts: list[FloatArray] = []
            for one, features in zip(now, self._extractor.extract([one.frames for one in now]), strict=True):
                before = features if self._last is None else self._last
                target = before if one.begins_shot else features
                parts += [between(before, target, one.unread), features[None]]
                self._last = features
            self.rows.append(np.concatenate(parts))


def between(before: FloatArray, after: FloatArray, count: int) -> FloatArray:
    """`count` rows (count, dim) that lead linearly from `before` (dim,) to `after` (dim,), without either."""
    share = np.arange(1, count + 1, dtype=np.float32)[:, None] / np.float32(count + 1)
    return np.asarray(before + share * (after - before), np.float32)
