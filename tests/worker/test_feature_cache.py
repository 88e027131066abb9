"""A repeated video gives the same result without decoding; the cache never returns features of another one."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import fields, make_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.app.settings import Settings
from sentiloc.model.package import load_package
from sentiloc.model.segments import SnippetFeatures, VideoInfo
from sentiloc.worker.config import CacheConfig, RuntimeConfig, runtime_config
from sentiloc.worker.extraction.array_cache import ArrayCache, cached_for, forget_owner
from sentiloc.worker.extraction.extract import Extractor, Report
from sentiloc.worker.extraction.extraction import Extraction, FaceSightings, Part
from sentiloc.worker.extraction.feature_cache import FeatureCache, cache_key
from sentiloc.worker.features.face import CLOSE_EVERY
from sentiloc.worker.pipelines.sentiment import CONTEXT, SentimentPipeline, load_sentiment_pipeline
from tests.support.media import Clip, make_clip

KEY, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
ANY_AGE, ANY_SIZE = 1e9, 10**9


def _extraction(snippets: int = 3, seed: int = 0) -> Extraction:
    rng = np.random.default_rng(seed)
    features = SnippetFeatures(
        visual=None,
        audio=rng.random((snippets, 32, 60), np.float32),
        face=rng.random((snippets, 256), np.float32),
        visual_present=np.zeros(snippets, np.bool_),
        audio_present=np.ones(snippets, np.bool_),
        face_present=rng.random(snippets) > 0.5,
    )
    info = VideoInfo(
        duration=1.92, fps=25.0, width=640, height=360, has_audio=True, start_timecode="01:00:00:00"
    )
    faces = FaceSightings(
        count=rng.integers(0, 4, snippets).astype(np.int32), boxes=rng.random((snippets, 4), np.float32)
    )
    return Extraction(info=info, features=features, timings={"decoding": 1.0}, faces=faces)


def _entries(folder: Path) -> set[str]:
    return {path.name.split(".")[0] for path in folder.iterdir()}


def _same(found: Extraction | None, stored: Extraction) -> bool:
    if found is None or found.info != stored.info or found.faces is None or stored.faces is None:
        return False
    if found.faces.as_curve() != stored.faces.as_curve():
        return False
    names = ("audio", "face", "visual_present", "audio_present", "face_present")
    ours, theirs = found.features, stored.features
    return ours.visual is None and all(np.array_equal(getattr(ours, n), getattr(theirs, n)) for n in names)


def test_stored_features_are_returned_unchanged(tmp_path: Path) -> None:
    cache, stored = FeatureCache(tmp_path, ANY_SIZE, ANY_AGE), _extraction()
    assert cache.load(KEY) is None
    cache.store(KEY, stored)
    assert _same(cache.load(KEY), stored)
    assert cache.load(OTHER) is None
    assert _entries(tmp_path) == {KEY}


@pytest.mark.parametrize("damage", ["empty", "half", "bit", "other"])
def test_a_damaged_entry_is_a_miss_and_is_removed(tmp_path: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path, ANY_SIZE, ANY_AGE)
    cache.store(KEY, _extraction())
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    half = bytes(data[: len(data) // 2])
    damaged = {"empty": b"", "half": half, "bit": bytes(data), "other": b"no archive"}
    path.write_bytes(damaged[damage])
    assert cache.load(KEY) is None
    assert not _entries(tmp_path)
    cache.store(KEY, _extraction())
    assert _same(cache.load(KEY), _extraction())


def test_above_its_size_the_longest_unused_go_first(tmp_path: Path) -> None:
    FeatureCache(tmp_path, ANY_SIZE, ANY_AGE).store(KEY, _extraction())
    (entry,) = tmp_path.iterdir()
    cache = FeatureCache(tmp_path, round(2.5 * entry.stat().st_size), ANY_AGE)
    cache.store(OTHER, _extraction())
    for age, key in ((20, OTHER), (30, KEY)):
        os.utime(tmp_path / f"{key}.arrays", (0, time.time() - age))
    assert cache.load(KEY) is not None
    cache.store(THIRD, _extraction())
    assert _entries(tmp_path) == {KEY, THIRD}


def test_an_entry_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 100, ANY_AGE)
    cache.store(KEY, _extraction())
    assert not _entries(tmp_path)


def test_unused_features_and_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, ANY_SIZE, 60)
    cache.store(KEY, _extraction())
    cache.store(OTHER, _extraction())
    for path in (*tmp_path.iterdir(), tmp_path / f"{THIRD}.1.part"):
        path.touch()
        os.utime(path, (0, time.time() - 7200))
    assert cache.load(KEY) is None
    cache.store(KEY, _extraction())
    assert _entries(tmp_path) == {KEY}


def test_a_sweep_enforces_age_and_size_without_new_entries(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, ANY_SIZE, ANY_AGE)
    for owner in ("", "one"):
        with cached_for(owner):
            cache.store(KEY, _extraction())
            cache.store(OTHER, _extraction())
    ArrayCache(tmp_path, ANY_SIZE, 1000).sweep()
    assert len(list(tmp_path.rglob("*.arrays"))) == 4
    for path in tmp_path.rglob(f"{KEY}.arrays"):
        os.utime(path, (time.time() - 2000,) * 2)
    ArrayCache(tmp_path, ANY_SIZE, 1000).sweep()
    assert {path.name for path in tmp_path.rglob("*.arrays")} == {f"{OTHER}.arrays"}
    # The cache is off.
    ArrayCache(tmp_path, 0, 1000).sweep()
    ArrayCache(tmp_path / "missing", 0, 1000).sweep()
    assert list(tmp_path.rglob("*.arrays")) == []


def test_files_and_folders_of_the_user_stay_and_do_not_count(tmp_path: Path) -> None:
    names = ("holiday.mp4", "notes.part", "old.arrays", f"{KEY}.mp4", f"{KEY}.x.part", "of-sea/wave.mp4")
    (tmp_path / "of-sea").mkdir()
    (tmp_path / f"{THIRD}.1.part").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"own" * 100_000)
    (tmp_path / f"{OTHER}.1.part").touch()
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, time.time() - 7200))
    cache = FeatureCache(tmp_path, 200_000, 60)
    cache.store(KEY, _extraction())
    assert cache.load(KEY) is not None
    # Only the entry that has no owner.
    assert forget_owner(tmp_path, "sea") == 1
    assert all((tmp_path / name).exists() for name in names)
    assert not (tmp_path / f"{OTHER}.1.part").exists()


def test_a_cache_that_can_only_be_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(tmp_path, ANY_SIZE, 3600)
    for key in (KEY, OTHER, THIRD):
        cache.store(key, _extraction())
    os.utime(tmp_path / f"{OTHER}.arrays", (0, time.time() - 7200))
    (tmp_path / f"{THIRD}.arrays").write_bytes(b"damaged")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    # Patched, because permissions do not stop root.
    for owner, name in ((os, "utime"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(owner, name, refuse)
    for _ in range(2):
        assert _same(cache.load(KEY), _extraction())
        assert cache.load(OTHER) is None
        assert cache.load(THIRD) is None
        cache.store(OTHER, _extraction())
    assert sum("cannot be written" in line for line in caplog.messages) == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file" / "folder", ANY_SIZE, ANY_AGE)
    cache.store(KEY, _extraction())
    assert cache.load(KEY) is None


def test_an_owner_finds_only_its_own_entries(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, ANY_SIZE, ANY_AGE)
    with cached_for("mine"):
        cache.store(KEY, _extraction())
    for other in ("", "other"):
        with cached_for(other):
            assert cache.load(KEY) is None
    with cached_for("mine"):
        assert _same(cache.load(KEY), _extraction())
    assert cache.load(KEY) is None
    with pytest.raises(ValueError, match="owner"), cached_for("../up"):
        cache.load(KEY)


def test_the_size_is_that_of_all_owners_and_one_can_be_forgotten(tmp_path: Path) -> None:
    FeatureCache(tmp_path, ANY_SIZE, ANY_AGE).store(KEY, _extraction())
    (entry,) = tmp_path.iterdir()
    cache = FeatureCache(tmp_path, round(2.5 * entry.stat().st_size), ANY_AGE)
    os.utime(entry, (0, time.time() - 30))
    for owner in ("a", "b"):
        with cached_for(owner):
            cache.store(KEY, _extraction())
    assert cache.load(KEY) is None
    assert forget_owner(tmp_path, "a") == 1
    assert forget_owner(tmp_path, "a") == 0
    with cached_for("a"):
        assert cache.load(KEY) is None
    with cached_for("b"):
        assert cache.load(KEY) is not None


def test_the_key_is_of_the_bytes_and_of_all_else(tmp_path: Path) -> None:
    one, copy, other = (tmp_path / name for name in ("one", "copy", "other"))
    for path, text in ((one, "video"), (copy, "video"), (other, "Video")):
        path.write_text(text, encoding="utf-8")
    assert cache_key(one, "x") == cache_key(copy, "x")
    assert len({cache_key(one, "x"), cache_key(other, "x"), cache_key(one, "y"), cache_key(one, "")}) == 4


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SentimentPipeline:
    cache = CacheConfig(folder=tmp_path_factory.mktemp("features"))
    return load_sentiment_pipeline(load_package("fsenet-starter"), RuntimeConfig(threads=1, cache=cache))


def test_a_repeated_video_is_not_decoded_and_gives_the_same_result(
    pipeline: SentimentPipeline, tmp_path: Path
) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=3.0, audio="aac", beeps=((0.5, 1.5),))
    (tmp_path / "again.bin").write_bytes((tmp_path / "clip.mp4").read_bytes())
    stages: list[str] = []
    first = pipeline.localize(tmp_path / "clip.mp4", lambda _stage, _done: None)
    second = pipeline.localize(tmp_path / "again.bin", lambda stage, _done: stages.append(stage))
    assert "decoding" in first.timings
    assert "decoding" not in second.timings
    assert stages == ["localizing"]
    assert replace(second, timings={}).to_dict() == replace(first, timings={}).to_dict()


def test_a_part_is_the_same_whatever_is_cached(
    pipeline: SentimentPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.worker.pipelines.sentiment.CONTEXT", 4)
    monkeypatch.setattr("tests.support.media._signal", _loud_then_quiet)
    path = tmp_path / "clip.mp4"
    make_clip(path, seconds=12.0, size=(64, 48), audio="aac")
    pipeline.localize(path, _ignore)
    # A part with an end is decoded, even if the video ends before it. The last part has no end.
    parts = (((9.0, 11.0), False), ((0.0, 2.0), False), ((1.0, 30.0), False), ((1.0, None), True))
    for part, is_known in parts:
        alone = replace(pipeline, cache=None).localize(path, _ignore, time_range=part)
        found = pipeline.localize(path, _ignore, time_range=part)
        assert replace(found, timings={}).to_dict() == replace(alone, timings={}).to_dict()
        assert ("decoding" not in found.timings) == is_known
        # Otherwise the file is not even read for its key.
        assert ("cache" in found.timings) == is_known


def _loud_then_quiet(_clip: Clip, seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    tone = np.sin(2 * np.pi * 1000 * seconds)
    return np.where(seconds < 6, 0.5 * tone, 0.002 * tone).astype(np.float32)


def _ignore(_stage: str, _done: float) -> None:
    """Progress does not matter."""


@pytest.mark.parametrize("start", range(300, 304))
def test_a_part_is_of_whole_groups_of_the_search_for_faces(
    pipeline: SentimentPipeline, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    extracted: list[Part] = []

    def extract(_self: Extractor, _path: Path, _report: Report, part: Part, *_: object) -> Extraction:
        extracted.append(part)
        found = _extraction()
        return replace(found, first=part.first, info=replace(found.info, duration=400.0))

    monkeypatch.setattr(Extractor, "extract", extract)
    pipeline.localize(Path(__file__), _ignore, time_range=(start * 0.64, (start + 5) * 0.64))
    (part,) = extracted
    assert part.end is not None
    assert (part.first % CLOSE_EVERY, part.end % CLOSE_EVERY) == (0, 0)
    assert start - CONTEXT - CLOSE_EVERY < part.first <= start - CONTEXT
    assert start + 5 + CONTEXT <= part.end < start + 5 + CONTEXT + CLOSE_EVERY


def test_whatever_changes_features_changes_the_identity(pipeline: SentimentPipeline) -> None:
    extractor = pipeline.extractor
    others = (
        replace(extractor, spec=replace(extractor.spec, frame_rate=30.0)),
        replace(extractor, spec=replace(extractor.spec, audio=None)),
        replace(extractor, limits=replace(extractor.limits, max_duration_seconds=1.0)),
        replace(extractor, networks=("other",)),
    )
    assert len({extractor.identity, *(other.identity for other in others)}) == 5
    for same in (
        replace(extractor, spec=replace(extractor.spec, version="2.0.0", confidence_threshold=0.7)),
        replace(extractor, limits=replace(extractor.limits, threads=7)),
    ):
        assert same.identity == extractor.identity


def test_entries_of_versions_with_fewer_facts_of_a_video_are_not_used(
    pipeline: SentimentPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would state default values as if they had been measured."""
    now = pipeline.extractor.identity
    fewer = [(one.name, one.type) for one in fields(VideoInfo) if one.name != "first_picture"]
    monkeypatch.setattr("sentiloc.worker.extraction.extract.VideoInfo", make_dataclass("VideoInfo", fewer))
    assert pipeline.extractor.identity != now


def test_without_a_folder_or_with_no_room_there_is_no_cache(tmp_path: Path) -> None:
    assert load_sentiment_pipeline(load_package("fsenet-starter"), RuntimeConfig(threads=1)).cache is None
    settings = Settings(data_dir=tmp_path, feature_cache_bytes=0)
    assert runtime_config(settings, with_cache=True).cache is None
    kept = runtime_config(Settings(data_dir=tmp_path), with_cache=True).cache
    assert kept is not None
    assert kept.folder == settings.features_dir
    assert runtime_config(Settings(data_dir=tmp_path)).cache is None


@pytest.mark.parametrize(("place", "byte"), [(10, 99), (8, 1), (6, 200)])
def test_an_entry_whose_zip_header_is_damaged_is_computed_again(
    tmp_path: Path, place: int, byte: int
) -> None:
    """A compression that zipfile does not know, encryption, and a later version."""
    cache = ArrayCache(tmp_path, 1 << 20, 60.0)
    cache.store(KEY, {"a": np.arange(9)})
    (entry,) = tmp_path.iterdir()
    content = bytearray(entry.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = byte
    entry.write_bytes(content)
    assert cache.load(KEY) is None
    assert not list(tmp_path.iterdir())
