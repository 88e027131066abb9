"""Names in lists of videos: what a file can be called is accepted, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentiloc.model.data.feature_store import VideoFacts, add_videos
from sentiloc.model.data.text import read_names
from sentiloc.model.errors import SentilocError
from sentiloc.model.names import folded


@pytest.mark.parametrize(
    "name",
    [
        "Screen Recording 2026-11-29 at 9.41.00\u202fAM",
        "父の日\u3000三人",
        "a\u00a0b",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 at home",
        "n" * 251,
        "..a",
    ],
)
def test_names_of_files_are_accepted(tmp_path: Path, name: str) -> None:
    """What `sentiloc extract` lists, training reads."""
    (tmp_path / f"{name}.npy").touch()
    add_videos(tmp_path, "train", {name: VideoFacts()})
    assert read_names(tmp_path / "split_train.txt") == [name]


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a\x00b", "a\tb", "a\x7fb", "n" * 252, "父" * 84])
def test_what_cannot_be_a_file_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "split_train.txt"
    path.write_text(f"good\n{name}\n", encoding="utf-8")
    with pytest.raises(SentilocError, match=r"line 2: .* the name of a"):
        read_names(path)


@pytest.mark.parametrize(
    ("one", "other"), [("A.csv", "a.csv"), ("caf\u00e9", "cafe\u0301"), ("E\u0301", "\u00e9")]
)
def test_names_that_are_one_file_on_some_disks_are_folded_alike(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert folded(one) != folded("b")
