"""The face stream with the shipped packages: real detector, real expression network, drawn and real frames."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.face_boxes import box_iou
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.worker.features import face
from sentiloc.worker.features.face import (
    CLOSE_EVERY,
    FaceEncoder,
    FaceExtractor,
    FaceTrack,
    load_face_extractor,
)
from sentiloc.worker.features.face_choice import apart, choose_face
from sentiloc.worker.features.face_detection import StarterDetector, YuNet, around, fit, load_detector
from tests.support.shared_files import data_folder

EXPORTED = Path(__file__).parents[2] / "exported"
DETECTOR, ENCODER = EXPORTED / "face-detector", EXPORTED / "expression"
YUNET = "yunet_n_dynamic.onnx"
Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def detector() -> StarterDetector:
    return StarterDetector(DETECTOR)


@pytest.fixture(scope="module")
def extractor() -> FaceExtractor:
    return load_face_extractor(DETECTOR, ENCODER)


@pytest.fixture
def unmirrored(detector: StarterDetector) -> FaceExtractor:
    """An extractor that reads no face mirrored, so that equal faces have equal embeddings."""
    encoder = FaceEncoder.from_package(ENCODER)
    encoder.is_mirror_averaged = True
    return FaceExtractor(detector, encoder)


def frames_of(clip: Path, every: int = 16) -> list[Image]:
    """Some frames of a real clip, RGB."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [np.asarray(frame, np.uint8) for frame in frames[::every]]


@pytest.mark.parametrize("size", [(1, 1), (2, 5000), (5000, 2), (33, 31), (480, 640), (1080, 1920)])
def test_any_size_and_noise_is_no_error(detector: StarterDetector, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert detector.detect(image).shape[1] == 5


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_empty_picture_has_no_face(extractor: FaceExtractor, grey: int) -> None:
    found = extractor.extract([np.full((2, 96, 128, 3), grey, np.uint8)])
    assert not found.present.any()
    assert found.last.box is None
    assert found.count.tolist() == [0]
    assert not found.face.any()


def test_snippets_without_frames_keep_their_place(extractor: FaceExtractor) -> None:
    found = extractor.extract([[], [], []])
    assert found.face.shape == (3, 256)
    assert found.face.dtype == np.float32
    assert found.present.tolist() == [False] * 3
    assert extractor.extract([]).face.shape == (0, 256)


def test_fit_shrinks_and_pads_but_never_enlarges() -> None:
    image = np.full((100, 50, 3), 9, np.uint8)
    padded, scale = fit(image, 320)
    assert (padded.shape, scale) == ((128, 64, 3), 1.0)
    assert padded[:100, :50].min() == 9
    assert padded[100:].max() == padded[:, 50:].max() == 0
    padded, scale = fit(np.full((1000, 1920, 3), 9, np.uint8), 320)
    assert padded.shape == (192, 320, 3)
    assert scale == pytest.approx(1 / 6)


def test_a_large_and_likely_face_is_chosen_unless_a_similar_one_was_there_before() -> None:
    rows = np.array([[0.9, 0, 0, 40, 40], [0.9, 100, 0, 150, 50], [0.99, 200, 0, 220, 20]], np.float32)
    assert choose_face(rows, None) is not None
    largest = np.asarray(choose_face(rows, None))
    assert largest[1] == 100
    stays = np.asarray(choose_face(rows, np.array([2, 2, 42, 42], np.float32)))
    assert stays[1] == 0
    too_small = np.asarray(choose_face(rows, np.array([200, 0, 220, 20], np.float32)))
    assert too_small[1] == 100
    assert choose_face(rows[:0], None) is None
    assert choose_face(np.array([[0.9, 0, 0, 5, 5]], np.float32), None) is None


def test_an_unlikely_large_face_does_not_displace_a_likely_smaller_one() -> None:
    rows = np.array([[0.46, 0, 0, 60, 60], [0.9, 100, 0, 140, 40]], np.float32)
    assert np.asarray(choose_face(rows, None))[1] == 100


def test_the_expression_net_knows_a_face_from_a_letter(extractor: FaceExtractor) -> None:
    if not extractor._encoder.checks:
        pytest.skip("the shipped expression net is of before version 2")
    letter = np.full((48, 48), 255, np.uint8)
    cv2.putText(letter, "B", (8, 40), cv2.FONT_HERSHEY_TRIPLEX, 1.4, 0, 5)
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    row = extractor._detector.detect(frame)[0]
    face = crop_face(
        frame, (row[1], row[2], row[3], row[4]), extractor._encoder.margin, extractor._encoder.size
    )
    chances = extractor._encoder.read([letter, face])[1]
    assert chances[0] < 0.5 < 0.9 < chances[1]


def test_half_a_face_is_no_face_of_its_own() -> None:
    rows = np.array([[0.9, 0, 0, 100, 100], [0.7, 20, 40, 90, 110], [0.6, 95, 0, 180, 80]], np.float32)
    assert apart(rows)[:, 1].tolist() == [0, 95]
    assert apart(rows[:0]).shape == (0, 5)


def small_in_a_large_frame(frame: Image, side: int, place: tuple[int, int] = (800, 300)) -> Image:
    """A talking head shrunk to `side` pixels a side, in a grey frame of 1280×720."""
    canvas = np.full((720, 1280, 3), 128, np.uint8)
    x, y = place
    canvas[y : y + side, x : x + side] = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    return canvas


def test_a_small_face_is_found_by_a_close_look_and_followed(extractor: FaceExtractor) -> None:
    """The head fills about three fifths of the clip: 48 px a side makes a face of about 27 px."""
    frames = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=40)[:6]
    small = [small_in_a_large_frame(frame, 48) for frame in frames]
    assert not len(extractor._detector.detect(small[0]))
    found = extractor.extract([[frame] for frame in small])
    assert found.present.all()
    assert found.last.small
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 * [1280, 720]
    assert np.abs(centres - [824, 324]).max() < 24


class CountingDetector:
    """The shipped detector, which records its searches and close looks."""

    def __init__(self, inner: StarterDetector) -> None:
        self.name, self.threshold, self.digest = inner.name, inner.threshold, inner.digest
        self.takes_grey = inner.takes_grey
        self._inner = inner
        self.close: list[str] = []
        self.searches: list[str] = []

    def detect(self, image: Image) -> NDArray[np.float32]:
        self.searches.append("all")
        return self._inner.detect(image)

    def detect_main(self, image: Image, *, brief: bool = False) -> tuple[NDArray[np.float32], bool]:
        self.searches.append("brief" if brief else "main")
        return self._inner.detect_main(image, brief=brief)

    def detect_close(self, image: Image, near: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        self.close.append("whole" if near is None else "near")
        return self._inner.detect_close(image, near)


def test_close_looks_are_rare_and_small(detector: StarterDetector, extractor: FaceExtractor) -> None:
    counting = CountingDetector(detector)
    counted = FaceExtractor(counting, extractor._encoder)
    empty = np.full((720, 1280, 3), 90, np.uint8)
    counted.extract([[empty, empty]] * 10)
    assert counting.close == ["whole"] * 3
    counting.close.clear()
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    counted.extract([[np.asarray(cv2.resize(frame, (720, 720)), np.uint8)]] * 6)
    assert counting.close == []
    counted.extract([[small_in_a_large_frame(frame, 48)] * 2] * 6)
    assert counting.close == ["whole", *["near"] * 11]


@pytest.mark.parametrize("first", range(9))
def test_a_small_face_is_read_from_its_first_frame_on(extractor: FaceExtractor, first: int) -> None:
    """The search at full size comes later, and the frames before it are searched around its find."""
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    empty = np.full((720, 1280, 3), 128, np.uint8)
    shown = small_in_a_large_frame(head, 48)
    found = extractor.extract([[shown if number >= first else empty] * 2 for number in range(11)])
    assert found.present.tolist() == [number >= first for number in range(11)]
    assert found.count.tolist() == [int(number >= first) for number in range(11)]
    assert (found.boxes.any(axis=1) == found.present).all()


def test_a_small_face_in_a_short_shot_is_found(detector: StarterDetector, extractor: FaceExtractor) -> None:
    """One shot of a small face between two shots without one, all within the four snippets of one search."""
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    dark, light = np.full((720, 1280, 3), 20, np.uint8), np.full((720, 1280, 3), 230, np.uint8)
    shown = small_in_a_large_frame(head, 48)
    counting = CountingDetector(detector)
    counted = FaceExtractor(counting, extractor._encoder)
    found = counted.extract([[dark] * 2, [shown] * 2, [shown] * 2, [light] * 2])
    assert found.present.tolist() == [False, True, True, False]
    assert counting.close == ["whole", "whole", *["near"] * 3, "whole"]
    assert not found.last.small


def test_a_small_face_that_is_lost_is_looked_for_again(extractor: FaceExtractor) -> None:
    """It jumps out of its surroundings, and is read in each snippet all the same."""
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    left, right = (small_in_a_large_frame(head, 48, (x, 300)) for x in (100, 1100))
    found = extractor.extract([[left]] * 5 + [[right]] * 7)
    assert found.present.all()
    assert (found.boxes[:5, 0] < 0.5).all()
    assert (found.boxes[5:, 0] > 0.5).all()


def test_a_track_continues_in_the_next_call(detector: StarterDetector, extractor: FaceExtractor) -> None:
    counting = CountingDetector(detector)
    counted = FaceExtractor(counting, extractor._encoder)
    empty = np.full((720, 1280, 3), 90, np.uint8)
    track = None
    for _ in range(2):
        track = counted.extract([[empty]] * CLOSE_EVERY, track).last
    assert counting.close == ["whole"] * 2
    assert track == FaceTrack(snippets=2 * CLOSE_EVERY)
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    track = counted.extract([[small_in_a_large_frame(head, 48)]] * CLOSE_EVERY, track).last
    assert track.small
    counting.close.clear()
    counted.extract([[small_in_a_large_frame(head, 48)]] * CLOSE_EVERY, track)
    assert counting.close == ["near"] * CLOSE_EVERY


def test_a_window_around_a_box_stays_in_the_picture() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    for box in ([0, 0, 20, 20], [1270, 700, 1300, 730], [600, 300, 640, 350], [-50, -50, -20, -20]):
        window, corner = around(image, np.array(box, np.float32), 1.0)
        assert min(window.shape[:2]) >= 1
        assert (corner >= 0).all()
        assert corner[0] + window.shape[1] <= 1280
        assert corner[1] + window.shape[0] <= 720


def test_faces_are_counted(extractor: FaceExtractor) -> None:
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    head = cv2.resize(frame, (240, 240), interpolation=cv2.INTER_AREA)
    two = np.full((360, 640, 3), 120, np.uint8)
    two[60:300, 40:280], two[60:300, 360:600] = head, head[:, ::-1]
    found = extractor.extract([[two], [two[:, :320]]])
    assert found.count.tolist() == [2, 1]


def large_head(frame: Image, beside: Image | None = None) -> Image:
    """A talking head whose face fills half of the height of 640x360, and optionally a smaller one beside it."""
    picture = np.full((360, 640, 3), 120, np.uint8)
    picture[:, :360] = cv2.resize(frame, (360, 360), interpolation=cv2.INTER_AREA)
    if beside is not None:
        picture[200:244, 480:524] = cv2.resize(beside, (44, 44), interpolation=cv2.INTER_AREA)
    return picture


def test_the_result_of_a_very_large_face_does_not_need_a_search_for_small_ones(
    detector: StarterDetector, unmirrored: FaceExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [
        large_head(frame) for frame in frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=20)
    ]
    assert [detector.detect_main(frame)[1] for frame in frames] == [False] * len(frames)
    snippets = [frames[i : i + 2] for i in range(0, len(frames), 2)]
    found = unmirrored.extract(snippets)
    monkeypatch.setattr(face, "COUNT_EVERY", 1)
    searched = [[frame] for frame in frames]
    all_of_it = unmirrored.extract(searched)
    assert found.present.all()
    means = [all_of_it.face[i : i + 2].mean(0) for i in range(0, len(frames), 2)]
    np.testing.assert_allclose(found.face, means, atol=1e-4)
    np.testing.assert_array_equal(found.count, all_of_it.count[::2])


def test_a_later_picture_of_a_snippet_is_searched_briefly(
    detector: StarterDetector, extractor: FaceExtractor
) -> None:
    """A plain face is enough there; one that only the second look shows is found as before."""
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    plain, small = (np.full((360, 640, 3), 120, np.uint8) for _ in range(2))
    plain[60:260, 40:240] = cv2.resize(head, (200, 200), interpolation=cv2.INTER_AREA)
    small[200:260, 480:540] = cv2.resize(head, (60, 60), interpolation=cv2.INTER_AREA)
    assert [detector.detect_main(plain, brief=brief)[1] for brief in (False, True)] == [True, False]
    assert [detector.detect_main(small, brief=brief)[1] for brief in (False, True)] == [True, True]
    assert len(detector.detect_main(small, brief=True)[0]) == 1
    counting = CountingDetector(detector)
    counted = FaceExtractor(counting, extractor._encoder)
    found = counted.extract([[plain, np.roll(plain, 1, 1)], [small, np.roll(small, 1, 1)]])
    assert counting.searches == ["all", "brief", "main", "brief"]
    assert found.present.all()


def test_small_faces_beside_a_very_large_one_are_counted_now_and_then(
    detector: StarterDetector, extractor: FaceExtractor
) -> None:
    frames = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=20)[:6]
    pictures = [large_head(frame, beside=frames[0]) for frame in frames]
    counting = CountingDetector(detector)
    found = FaceExtractor(counting, extractor._encoder).extract([[picture] for picture in pictures])
    assert counting.searches == ["all", "main", "main", "main", "all", "main"]
    assert found.count.tolist() == [2] * 6


def test_a_false_large_face_hides_no_small_one(detector: StarterDetector, extractor: FaceExtractor) -> None:
    class Mistaken(CountingDetector):
        """A detector that returns the grey half of a picture as a dominant face."""

        def detect_main(self, image: Image, *, brief: bool = False) -> tuple[NDArray[np.float32], bool]:
            self.searches.append("brief" if brief else "main")
            return np.array([[0.9, 320, 60, 560, 300]], np.float32), False

    mistaken = Mistaken(detector)
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    picture = np.full((360, 640, 3), 120, np.uint8)
    picture[60:260, 40:240] = cv2.resize(head, (200, 200), interpolation=cv2.INTER_AREA)
    found = FaceExtractor(mistaken, extractor._encoder).extract([[np.roll(picture, i, 1)] for i in range(2)])
    assert mistaken.searches == ["all", "main", "all"]
    assert found.present.tolist() == [True, True]


def test_equal_frames_are_searched_once(detector: StarterDetector, unmirrored: FaceExtractor) -> None:
    head, other = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=60)[:2]
    counting = CountingDetector(detector)
    counted = FaceExtractor(counting, unmirrored._encoder)
    found = counted.extract([[head, head.copy()], [head.copy(), other]])
    assert len(counting.searches) == 2
    apart = counted.extract([[head], [other]]).face
    np.testing.assert_allclose(found.face, [apart[0], apart.mean(0)], atol=1e-4)
    last_pixel = head.copy()
    last_pixel[-1, -1] ^= 255
    counting.searches.clear()
    counted.extract([[head, last_pixel]])
    assert len(counting.searches) == 2


def test_a_real_talking_head_is_seen_in_every_snippet(extractor: FaceExtractor) -> None:
    frames = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=20)
    found = extractor.extract([[frame] for frame in frames])
    assert found.present.mean() >= 0.9
    assert np.linalg.norm(found.face, axis=1)[found.present].min() > 0
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2])[found.present].T
    assert ((width > 0.1) & (height > 0.1)).all()


def test_batches_equal_one_call(extractor: FaceExtractor) -> None:
    frames = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=40)[:6]
    snippets = [frames[0:2], frames[2:4], frames[4:6]]
    whole = extractor.extract(snippets)
    first = extractor.extract(snippets[:1])
    rest = extractor.extract(snippets[1:], previous=first.last)
    np.testing.assert_allclose(whole.face, np.concatenate([first.face, rest.face]), atol=1e-4)
    np.testing.assert_array_equal(whole.present, np.concatenate([first.present, rest.present]))


def test_a_snippet_is_the_mean_of_its_frames(unmirrored: FaceExtractor) -> None:
    frames = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=40)[:2]
    both = unmirrored.extract([frames])
    apart = unmirrored.extract([[frames[0]], [frames[1]]])
    np.testing.assert_allclose(both.face[0], apart.face.mean(0), atol=1e-4)


def test_the_only_frame_of_a_snippet_is_read_on_both_sides(extractor: FaceExtractor) -> None:
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=40)[0]
    alone = extractor.extract([[frame]])
    turned = extractor.extract([[np.ascontiguousarray(frame[:, ::-1])]])
    same = extractor.extract([[frame, frame]])
    np.testing.assert_allclose(alone.face[0], same.face[0], atol=1e-4)
    # A face and its mirror image differ only by where the detector sees them.
    assert np.corrcoef(alone.face[0], turned.face[0])[0, 1] > 0.98


def test_recall_against_yunet_on_real_clips(detector: StarterDetector) -> None:
    """A slice of experiments/face_detector.py: which has the measured figures.

    The limit on false boxes is slightly above them.
    """
    from experiments.face_detector import Reference, Tally, measure_clip

    reference = Reference(data_folder("weights") / YUNET)
    total = Tally()
    for folder in ("clips", "clips_labelled"):
        for clip in sorted(data_folder(folder).glob("*.m[po][4v]")):
            total.add(measure_clip(clip, detector, reference, every=50, sheets=None))
    assert total.faces > 100
    assert total.found >= 0.9 * total.faces
    assert total.false <= 0.2 * total.boxes


def test_yunet_is_run_as_opencv_runs_it() -> None:
    from experiments.face_detector import Reference

    weights = data_folder("weights") / YUNET
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    ours, theirs = YuNet(weights).detect(frame), Reference(weights).detect(frame)
    np.testing.assert_allclose(ours, theirs[theirs[:, 0] >= 0.7], rtol=1e-3, atol=0.1)


def test_yunet_of_fixed_size_finds_the_same_face() -> None:
    folder = data_folder("weights")
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    fixed = YuNet(folder / "yunet_n_320_320.onnx").detect(frame)
    free = YuNet(folder / YUNET).detect(frame)
    assert fixed.shape == free.shape
    assert box_iou(fixed[:1, 1:], free[:1, 1:])[0, 0] > 0.8


def test_yunet_is_used_if_installed(tmp_path: Path) -> None:
    assert load_detector(DETECTOR, yunet=tmp_path / "missing.onnx").name == "sentiloc-face"
    assert load_detector(DETECTOR, yunet=data_folder("weights") / YUNET).name == "yunet"


def test_a_broken_package_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SentilocError) as missing:
        load_detector(tmp_path)
    assert missing.value.code is ErrorCode.MODEL_UNAVAILABLE
    shutil.copytree(DETECTOR, tmp_path / "other")
    spec = json.loads((tmp_path / "other" / "spec.json").read_text(encoding="utf-8"))
    (tmp_path / "other" / "spec.json").write_text(json.dumps({**spec, "sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(SentilocError) as changed:
        load_detector(tmp_path / "other")
    assert changed.value.code is ErrorCode.SPEC_MISMATCH


def test_grey_pictures_are_treated_as_colour_ones(
    detector: StarterDetector, extractor: FaceExtractor
) -> None:
    frame = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    colour, plain = detector.detect(frame), detector.detect(grey)
    np.testing.assert_allclose(colour, plain, atol=1.0)
    known, found = extractor.extract([[frame]]), extractor.extract([[grey]])
    assert found.present.all()
    assert np.corrcoef(known.face[0], found.face[0])[0, 1] > 0.999


class Sided:
    """An encoder of one side: it returns the mean brightness of the left half of each crop, and records crops."""

    is_mirror_averaged, checks, size, margin, dim = False, True, 48, 1.05, 1

    def __init__(self) -> None:
        self.crops: list[NDArray[np.uint8]] = []

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.crops += list(crops)
        left = np.array([[crop[:, :24].mean()] for crop in crops], np.float32).reshape(-1, 1)
        return left, np.full(len(crops), 0.99, np.float32)


def test_every_other_frame_is_read_mirrored(detector: StarterDetector) -> None:
    """A face that is lit from one side has the mean of both sides, however often it is read."""
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    lit = (head * np.linspace(0.4, 1.0, head.shape[1])[None, :, None]).astype(np.uint8)
    moved, again = np.roll(lit, 2, 1), np.roll(lit, 4, 1)
    encoder = Sided()
    extractor = FaceExtractor(detector, encoder)  # type: ignore[arg-type]
    found = extractor.extract([[lit, moved], [again, again.copy()]])
    # The two frames of the first snippet are read once each, the frame that the second repeats on both sides.
    assert len(encoder.crops) == 4
    first, second, third, fourth = (crop.astype(int) for crop in encoder.crops)
    assert np.abs(first - second[:, ::-1]).mean() < 12 < np.abs(first - second).mean()
    assert np.array_equal(third, fourth[:, ::-1])
    whole = np.mean([first.mean(), second.mean()])
    np.testing.assert_allclose(found.face[:, 0], whole, rtol=0.03)


def test_a_network_that_averages_sides_reads_none_mirrored(detector: StarterDetector) -> None:
    encoder = Sided()
    encoder.is_mirror_averaged = True
    head = frames_of(data_folder("clips") / "LivePortrait__d10.mp4", every=400)[0]
    FaceExtractor(detector, encoder).extract([[head, np.roll(head, 2, 1)]])  # type: ignore[arg-type]
    one, other = (crop.astype(int) for crop in encoder.crops)
    assert np.abs(one - other).mean() < 12
