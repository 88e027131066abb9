"""Thumbnails of segments: the right frames, small, made by one decoder; their failure never fails a job."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.app.storage.keys import thumbnail_key
from sentiloc.app.storage.local import LocalStorage, LocalWriter
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.config import CacheConfig, ThumbnailConfig
from sentiloc.worker.decoder.decode import DecodeLimits, grab_frame, grab_frames
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.pipelines.thumbnails import Owner, keep_stills, make_thumbnails, save_thumbnails
from tests.support.full_disk import free_bytes, small_volume
from tests.support.media import make_clip, read_time

LIMITS = DecodeLimits(threads=1)
PEAKS = (0.5, 2.25, 1.0, 99.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, seconds=3.0, size=(160, 96))
    return path


def nothing() -> None:
    """Do nothing, so the work continues."""


def test_one_decoder_gives_the_frames_that_single_ones_give(clip: Path) -> None:
    together = list(grab_frames(clip, PEAKS, 160, LIMITS))
    assert len(together) == len(PEAKS)
    for seconds, frame in zip(PEAKS[:2], together[:2], strict=True):
        assert np.array_equal(frame, grab_frame(clip, seconds, 160, LIMITS))
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".ts"])
def test_frames_come_in_the_order_of_their_times(tmp_path: Path, suffix: str) -> None:
    """AVI and transport streams have no index, so they are read once from the start."""
    path, times = tmp_path / f"clip{suffix}", (2.4, 0.6, 1.5, 99.0, 0.6, 0.0)
    make_clip(path, seconds=3.0, options=(("preset", "ultrafast"), ("bf", "0"), ("g", "12")))
    shown = [read_time(image) for image in grab_frames(path, times, 128, LIMITS)]
    assert shown == pytest.approx([2.4, 0.6, 1.5, 2.96, 0.6, 0.0], abs=0.041)


def test_thumbnails_are_small_pictures_of_their_moments(clip: Path, tmp_path: Path) -> None:
    pictures = make_thumbnails(clip, PEAKS, ThumbnailConfig(side_pixels=80, most=3), LIMITS, nothing)
    assert len(pictures) == 3
    storage = LocalStorage(tmp_path)
    assert save_thumbnails(storage, "abcdefgh", 2, pictures) == 3
    data = np.frombuffer(storage.read(thumbnail_key("abcdefgh", 2, 1)), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None and image.shape == (48, 80, 3)
    frame = next(grab_frames(clip, [PEAKS[1]], 80, LIMITS))
    assert np.abs(image[:, :, ::-1].astype(int) - frame).mean() < 8


def test_pictures_of_a_repeated_video_are_copied_from_the_earlier_job(clip: Path, tmp_path: Path) -> None:
    storage, cache = LocalStorage(tmp_path), CacheConfig(folder=tmp_path / "features")
    again = tmp_path / "again.mp4"
    again.write_bytes(clip.read_bytes())

    def make(path: Path, job_id: str, peaks: tuple[float, ...] = PEAKS[:2]) -> list[bytes]:
        owner = Owner(storage=storage, job_id=job_id, attempt=1, cache=cache)
        return make_thumbnails(path, peaks, ThumbnailConfig(), LIMITS, nothing, owner)

    drawn = make(clip, "first-job")
    save_thumbnails(storage, "first-job", 1, [b"one", b"two"])
    assert make(again, "other-job") == [b"one", b"two"]
    # The other job has no pictures yet, and the first one is no longer requested.
    assert make(again, "third-job") == drawn
    save_thumbnails(storage, "third-job", 1, [b"one", b"two"])
    assert make(again, "third-job", PEAKS[1:3]) != [b"one", b"two"]
    storage.delete(thumbnail_key("third-job", 1, 1))
    assert make(again, "last-job") == drawn


def test_missing_thumbnails_do_not_fail_a_job(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:1000])
    assert make_thumbnails(broken, PEAKS, ThumbnailConfig(), LIMITS, nothing) == []
    assert make_thumbnails(clip, (), ThumbnailConfig(), LIMITS, nothing) == []
    assert make_thumbnails(clip, PEAKS, ThumbnailConfig(side_pixels=0), LIMITS, nothing) == []
    assert len(make_thumbnails(clip, PEAKS, ThumbnailConfig(seconds=1e-6), LIMITS, nothing)) == 1


def test_a_cancelled_job_stops_here_too(clip: Path) -> None:
    def stop() -> None:
        raise SentilocError(ErrorCode.CANCELLED, "The job stopped.")

    with pytest.raises(SentilocError, match="stopped"):
        make_thumbnails(clip, PEAKS, ThumbnailConfig(), LIMITS, stop)


def pictures_of(count: int, size: tuple[int, int] = (48, 80)) -> list[NDArray[np.uint8]]:
    """Plain pictures that get brighter."""
    return [np.full((*size, 3), 30 + 40 * number, np.uint8) for number in range(count)]


def kept(folder: Path, count: int = 5) -> Stills:
    """Stills of seconds [0, 1), [1, 2), ..."""
    stills = Stills(80, 80, folder)
    for number, picture in enumerate(pictures_of(count)):
        stills.add(number, number + 1, picture)
    return stills


def decoded(data: bytes | None) -> NDArray[np.uint8]:
    assert data is not None
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_stills_give_the_picture_of_their_seconds(tmp_path: Path) -> None:
    with kept(tmp_path) as stills:
        for seconds, level in ((0.0, 30), (1.0, 70), (4.99, 190)):
            picture = decoded(stills.jpeg_at(seconds))
            assert picture.shape == (48, 80, 3)
            assert abs(picture.mean() - level) < 2
        assert stills.jpeg_at(-0.1) is None
        assert stills.jpeg_at(5.0) is None
        assert list(tmp_path.iterdir()) == [], "the file has no name"


def test_thumbnails_come_from_stills_without_a_decoder(tmp_path: Path) -> None:
    missing = tmp_path / "missing.mp4"
    with kept(tmp_path) as stills:
        found = make_thumbnails(missing, (0.5, 3.5), ThumbnailConfig(), LIMITS, nothing, stills=stills)
        assert found == [stills.jpeg_at(0.5), stills.jpeg_at(3.5)]
        assert make_thumbnails(missing, (0.5, 9.0), ThumbnailConfig(), LIMITS, nothing, stills=stills) == []


def test_stills_are_taken_also_for_a_video_of_an_earlier_job(tmp_path: Path) -> None:
    """The job that has the pictures is deleted, and the video is not decoded for them."""
    broken, peaks = tmp_path / "a.mp4", (0.5, 2.25)
    broken.write_bytes(b"no video")
    owner = Owner(
        storage=LocalStorage(tmp_path / "data"),
        job_id="later",
        attempt=1,
        cache=CacheConfig(folder=tmp_path / "cache", max_bytes=1 << 20, max_age_seconds=3600.0),
    )
    config = ThumbnailConfig(side_pixels=80)
    with kept(tmp_path) as stills:
        for _ in range(2):
            made = make_thumbnails(broken, peaks, config, LIMITS, nothing, owner, stills)
            assert made == [stills.jpeg_at(seconds) for seconds in peaks]


class FullAfter(LocalStorage):
    """A folder that takes so many files."""

    def __init__(self, folder: Path, files: int) -> None:
        super().__init__(folder)
        self._left = files

    def writer(self, key: str) -> LocalWriter:
        self._left -= 1
        if self._left < 0:
            raise SentilocError(ErrorCode.STORAGE_FULL, "full")
        return super().writer(key)


@pytest.mark.parametrize("room", [0, 2, 3])
def test_only_pictures_that_were_stored_are_counted(tmp_path: Path, room: int) -> None:
    storage = FullAfter(tmp_path, room)
    assert save_thumbnails(storage, "abcdefgh", 1, [b"a", b"b", b"c"]) == room
    stored = [storage.size(thumbnail_key("abcdefgh", 1, index)) is not None for index in range(3)]
    assert stored == [index < room for index in range(3)]


def test_no_stills_are_kept_where_the_disk_is_full(tmp_path: Path) -> None:
    with kept(tmp_path) as stills, Path("/dev/full").open("wb", buffering=0) as full:
        file, stills._file = stills._file, full
        stills.add(5, 6, pictures_of(1)[0])
        stills._file = file
        stills.add(6, 7, pictures_of(1)[0])
        assert stills.jpeg_at(4.5) is stills.jpeg_at(5.5) is stills.jpeg_at(6.5) is None


def test_stills_leave_the_disk_to_the_features(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    with small_volume(tmp_path / "small", 2) as folder, Stills(320, 80, folder) as stills:
        before, least, added = free_bytes(folder), free_bytes(folder), 0
        while added < 100 and (not added or stills.jpeg_at(0.0)):
            stills.add(added, added + 1, noise)
            least, added = min(least, free_bytes(folder)), added + 1
        assert added > 10, "most of them fit"
        assert free_bytes(folder) == before, "the space of those that were kept is free again"
        assert least > 0.4 * before


def test_no_stills_are_kept_where_a_decoder_is_better(tmp_path: Path) -> None:
    for config in (
        ThumbnailConfig(side_pixels=0),
        ThumbnailConfig(side_pixels=1600),
        ThumbnailConfig(most=0),
    ):
        with keep_stills(config, tmp_path) as stills:
            assert stills is None
    with keep_stills(ThumbnailConfig(), tmp_path, is_draft=True) as stills:
        assert stills is None
    with keep_stills(ThumbnailConfig(), tmp_path / "new") as stills:
        assert stills is not None
