"""The lists of a feature folder, when many videos are added at once."""

from __future__ import annotations

import time
from pathlib import Path

from sentiloc.model.data.feature_store import VideoFacts, add_videos


def names(folder: Path) -> list[str]:
    return (folder / "split_train.txt").read_text().split()


def cpu_seconds(folder: Path, count: int) -> float:
    """Processor time to add so many videos to a list that has them already: the least of three."""
    videos = {f"video-{number}": VideoFacts(fps=25.0, duration=1.0) for number in range(count)}
    add_videos(folder, "train", videos)
    times = []
    for _ in range(3):
        began = time.process_time()
        add_videos(folder, "train", videos)
        times.append(time.process_time() - began)
    assert names(folder) == list(videos)
    return min(times)


def test_a_video_that_is_added_again_moves_to_the_end(tmp_path: Path) -> None:
    facts = VideoFacts()
    add_videos(tmp_path, "train", {"a": facts, "b": facts, "c": facts})
    add_videos(tmp_path, "train", {"b": facts, "d": facts})
    assert names(tmp_path) == ["a", "c", "b", "d"]


def test_four_times_as_many_videos_take_about_four_times_as_long(tmp_path: Path) -> None:
    """Once it was sixteen times: each name built a set of all new names."""
    few = cpu_seconds(tmp_path / "few", 3_000)
    assert cpu_seconds(tmp_path / "many", 12_000) < 10 * few
