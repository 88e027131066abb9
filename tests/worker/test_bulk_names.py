"""The name of a video is that of its feature files. A name that cannot be is that video's failure, not the others'."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.data.feature_store import VideoFacts, has_features, read_features
from sentiloc.model.data.text import name_problem, read_names
from sentiloc.model.errors import SentilocError
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.bulk.ledger import State
from sentiloc.worker.bulk.makers import BulkExtractor
from sentiloc.worker.bulk.plan import Plan, name_videos
from tests.cli.extracted import SPEC, write_video

CYRILLIC = "\u0444" * 119
LONGEST = "n" * 250


class Writer:
    """Makes random features, and writes them as a real maker does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, _video: Path) -> tuple[VideoFacts, Callable[[str], None]]:
        def write(name: str) -> None:
            write_video(self._folder, "train", name, np.random.default_rng(0), 2)

        return VideoFacts(25.0, 1.28), write


def _plan(tmp_path: Path, *names: str) -> Plan:
    (tmp_path / "videos").mkdir()
    videos = [tmp_path / "videos" / f"{name}.m" for name in names]
    for path in videos:
        path.touch()
    return Plan(tmp_path / "data", "train", SPEC, name_videos(videos))


def test_names_of_any_length_that_a_file_can_have_are_extracted(tmp_path: Path) -> None:
    plan = _plan(tmp_path, CYRILLIC, LONGEST)
    with plan.hold():
        extractor = BulkExtractor(Writer(plan.folder), plan.ledger)
        for name, path in plan.missing().items():
            assert extractor.extract(name, path, "me").state == State.DONE
        assert plan.finish() == {}
    assert read_names(plan.folder / "split_train.txt") == [CYRILLIC, LONGEST]
    assert isinstance(read_features(plan.folder, "train", LONGEST), SnippetFeatures)
    assert not list(plan.folder.rglob("*.partial"))


def test_names_that_lists_do_not_keep_fail_alone(tmp_path: Path) -> None:
    wrong = ["clip 1 ", "\u2003clip", "one\u2028two", os.fsdecode(b"caf\xe9"), "n" * 251]
    plan = _plan(tmp_path, "good", *wrong)
    with plan.hold():
        assert [*plan.missing(retry_failed=True)] == ["good"]
        failures = plan.finish()
    assert [*failures] == wrong
    assert all("rename the file" in entry.reason for entry in failures.values())
    with plan.failure_file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["code"] for row in rows] == ["invalid_data"] * len(wrong)


@pytest.mark.parametrize("name", [" a", "a ", "a\u3000", "a\u2028b", "a\u2029b", "caf\udce9"])
def test_a_name_that_is_read_back_as_another_is_a_problem(name: str) -> None:
    assert "not the name of a video" in (name_problem(name) or "")


def test_a_name_too_long_for_the_folder_fails_only_its_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(tmp_path, "long", "next")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long")

    extractor = BulkExtractor(Writer(plan.folder), plan.ledger)
    with plan.hold():
        with monkeypatch.context() as patch:
            patch.setattr("tests.worker.test_bulk_names.write_video", refuse)
            assert extractor.extract("long", plan.videos["long"], "me").state == State.FAILED
        assert [*plan.failures()] == ["long"]
        assert extractor.extract("next", plan.videos["next"], "me").state == State.DONE
    assert has_features(plan.folder, "train", "next")


def test_the_failure_of_a_hidden_video_is_reported(tmp_path: Path) -> None:
    plan = _plan(tmp_path, ".hidden", "seen")
    with plan.hold():
        for name, path in plan.videos.items():
            plan.ledger.fail(name, plan.ledger.begin(name, path, "me"), "corrupt_media", "broken")
        assert set(plan.finish()) == {".hidden", "seen"}
        assert plan.missing() == {}


def _extract(data: Path, *videos: Path) -> list[str]:
    """Extract what is missing; returns the names that were extracted."""
    plan = Plan(data, "train", SPEC, name_videos(videos))
    with plan.hold():
        plan.drop_changed()
        extractor = BulkExtractor(Writer(plan.folder), plan.ledger)
        missing = plan.missing()
        for name, path in missing.items():
            extractor.extract(name, path, "me")
        plan.finish()
    return list(missing)


def test_a_video_that_has_changed_is_extracted_again(tmp_path: Path) -> None:
    data, videos = tmp_path / "data", [tmp_path / "a.m", tmp_path / "b.m"]
    for video in videos:
        video.write_bytes(b"first")
    assert _extract(data, *videos) == ["a", "b"]
    assert _extract(data, *videos) == []
    videos[0].write_bytes(b"another film")
    assert _extract(data, *videos) == ["a"]
    assert _extract(data, *videos) == []
    assert read_names(data / "split_train.txt") == ["a", "b"]


def test_a_changed_video_that_fails_now_is_in_no_list(tmp_path: Path) -> None:
    data, video = tmp_path / "data", tmp_path / "a.m"
    video.write_bytes(b"first")
    _extract(data, video)
    video.write_bytes(b"another film")
    plan = Plan(data, "train", SPEC, name_videos([video]))
    assert plan.drop_changed() == ["a"]
    assert not has_features(data, "train", "a")
    assert read_names(data / "split_train.txt") == []


def test_another_video_of_the_same_name_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    one, copy, other = (tmp_path / folder / "a.m" for folder in ("one", "copy", "other"))
    for video, content in ((one, b"first"), (copy, b"first"), (other, b"another film")):
        video.parent.mkdir()
        video.write_bytes(content)
    assert _extract(data, one) == ["a"]
    assert _extract(data, copy) == []
    with pytest.raises(SentilocError, match=f"another video with the name a, {one}: rename {other}"):
        _extract(data, other)
    assert has_features(data, "train", "a")
