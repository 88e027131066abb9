"""Chooses the snippets whose frames the visual network reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentiloc.worker.timeline.shots import Grid, is_other_shot


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whether a snippet's visual frames are sent, and whether its first frame begins another shot, as far as known."""

    is_read: bool
    begins_shot: bool = False


@dataclass(slots=True)
class VisualChoice:
    """Every `stride`-th snippet of the video, and the first one.

    With `by_shots`, also each snippet whose first frame belongs to another shot than that of the snippet before. From
    there, counting starts again. `first` is the index of the first snippet, so that a part of a video is read like the
    whole.
    """

    stride: int = 1
    by_shots: bool = False
    first: int = 0
    _since: int | None = field(default=None, init=False)
    _before: Grid | None = field(default=None, init=False)

    def next(self, grid: Grid | None) -> Chosen:
        """The choice for the next snippet. `grid` is the brightness of its first frame; only `by_shots` needs it."""
        is_new = self._is_new_shot(grid) if self.by_shots else False
        if self._since is None:
            self._since = self.first % self.stride
            return Chosen(is_read=True)
        is_read = is_new or self._since + 1 >= self.stride
        self._since = 0 if is_read else self._since + 1
        return Chosen(is_read, is_new)

    def _is_new_shot(self, grid: Grid | None) -> bool:
        before, self._before = self._before, grid
        return before is not None and grid is not None and is_other_shot(before, grid)
