"""The detector's network: the assignment of cells to faces, the loss, and the equality of the export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from recipes.starter.detector.compose import Composer
from recipes.starter.detector.data import Material
from recipes.starter.detector.grey import take_grey
from recipes.starter.detector.package import SERVED_STEM, SERVED_WIDTH
from recipes.starter.detector.people import silhouette
from recipes.starter.folded import load_folded
from sentiloc.model.extractors.face_boxes import FloatArray, box_iou, match_faces, suppress
from sentiloc.model.extractors.face_detector import (
    OPSET,
    FaceDetector,
    Targets,
    assign,
    cell_centres,
    detection_loss,
    export_onnx,
)
from sentiloc.worker.features.face_detection import read_spec

HEIGHT, WIDTH = 128, 160
SHIPPED = Path(__file__).parents[2] / "exported" / "face-detector"


def faces(*boxes: tuple[float, float, float, float]) -> torch.Tensor:
    """One image's faces (1, 4, 4), padded with zeros."""
    padded = torch.zeros(1, 4, 4)
    if boxes:
        padded[0, : len(boxes)] = torch.tensor(boxes)
    return padded


@pytest.mark.parametrize(("side", "stride"), [(20, 8), (60, 16), (120, 32)])
def test_a_face_belongs_to_the_level_of_its_size(side: float, stride: float) -> None:
    box = (70 - side / 2, 60 - side / 2, 70 + side / 2, 60 + side / 2)
    targets = assign(faces(box), faces(), HEIGHT, WIDTH)
    centres, strides = cell_centres(HEIGHT, WIDTH)
    chosen = targets.positive[0]
    assert chosen.any()
    assert set(strides[chosen].tolist()) == {stride}
    assert (centres[chosen] - torch.tensor([70.0, 60.0])).abs().max() < max(stride, side / 4)
    assert torch.equal(targets.boxes[0][chosen], torch.tensor(box).expand(int(chosen.sum()), 4))


def test_ignored_faces_count_neither_way() -> None:
    targets = assign(faces(), faces((0, 0, 64, 64)), HEIGHT, WIDTH)
    centres, _ = cell_centres(HEIGHT, WIDTH)
    assert not targets.positive.any()
    assert torch.equal(targets.counted[0], ~(centres < 64).all(-1))


def test_the_loss_falls_with_better_boxes_and_scores() -> None:
    targets = assign(faces((40, 30, 100, 100)), faces(), HEIGHT, WIDTH)
    right = targets.boxes.clone()
    right[~targets.positive] = torch.tensor([0.0, 0.0, 8.0, 8.0])
    sure = torch.where(targets.positive, 6.0, -6.0)
    good = detection_loss(sure, right, targets)
    assert good < 0.05
    assert detection_loss(sure, right + 10, targets) > good + 0.2
    assert detection_loss(-sure, right, targets) > good + 1


def test_the_loss_of_an_empty_image_is_finite_and_has_a_gradient() -> None:
    logits = torch.zeros(1, len(cell_centres(HEIGHT, WIDTH)[1]), requires_grad=True)
    targets = assign(faces(), faces(), HEIGHT, WIDTH)
    detection_loss(logits, torch.zeros(1, logits.shape[1], 4), targets).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad > 0).all()


def test_the_export_equals_the_network_at_other_sizes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    detector = FaceDetector(width=16).eval()
    export_onnx(detector, tmp_path / "detector.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 192), dtype=np.uint8)
    found = session.run(None, {"image": image})[0]
    with torch.inference_mode():
        logits, boxes = detector(torch.from_numpy(image)[:, None].float() / 127.5 - 1)
    np.testing.assert_allclose(found[..., 0], logits.sigmoid().numpy(), atol=1e-4)
    np.testing.assert_allclose(found[..., 1:], boxes.numpy(), atol=1e-3)


class _OfColours(torch.nn.Module):
    """A detector as packages before had it: RGB uint8 (batch, height, width, 3) in."""

    def __init__(self, detector: FaceDetector) -> None:
        super().__init__()
        self.detector = detector
        self.luma: torch.Tensor
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114])[:, None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits, boxes = self.detector((image.float() @ self.luma).permute(0, 3, 1, 2) / 127.5 - 1.0)
        return torch.cat((logits.sigmoid()[..., None], boxes), -1)


def test_an_older_detector_takes_grey_after_a_change_of_its_first_steps(tmp_path: Path) -> None:
    network, spec = tmp_path / "detector.onnx", tmp_path / "spec.json"
    example = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    module = _OfColours(FaceDetector(width=16)).eval()
    torch.onnx.export(
        module,
        (example,),
        network,
        input_names=["image"],
        dynamic_axes={"image": {0: "batch", 1: "height", 2: "width"}},
        opset_version=OPSET,
        dynamo=False,
    )
    spec.write_text(json.dumps({"network": network.name, "sha256": "", "input": {"colour": "RGB"}}))
    grey = np.random.default_rng(0).integers(0, 256, (2, 64, 96), dtype=np.uint8)
    before = onnxruntime.InferenceSession(network).run(None, {"image": np.repeat(grey[..., None], 3, -1)})[0]
    take_grey(tmp_path)
    assert read_spec(tmp_path)["input"] == {"colour": "grey", "layout": "NHW"}
    after = onnxruntime.InferenceSession(network).run(None, {"image": grey})[0]
    np.testing.assert_allclose(after, before, atol=1e-4)
    with pytest.raises(ValueError, match="RGB"):
        take_grey(tmp_path)


def test_cells_match_the_positions_of_the_network_s_boxes() -> None:
    detector = FaceDetector(width=16).eval()
    with torch.inference_mode():
        _, boxes = detector(torch.zeros(1, 1, HEIGHT, WIDTH))
    centres, strides = cell_centres(HEIGHT, WIDTH)
    assert boxes.shape == (1, len(strides), 4)
    middle = (boxes[0, :, :2] + boxes[0, :, 2:]) / 2
    assert ((middle - centres).abs().amax(1) < strides).all()


def test_a_few_steps_learn_one_picture() -> None:
    torch.manual_seed(0)
    detector = FaceDetector(width=16)
    image = torch.zeros(1, 1, HEIGHT, WIDTH)
    image[..., 30:90, 40:100] = 1
    targets = assign(faces((40, 30, 100, 90)), faces(), HEIGHT, WIDTH)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=5e-3)
    losses = [step(detector, optimizer, image, targets) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def step(
    detector: FaceDetector, optimizer: torch.optim.Optimizer, image: torch.Tensor, targets: Targets
) -> float:
    """One optimization step; returns the loss before it."""
    logits, boxes = detector(image)
    loss = detection_loss(logits, boxes, targets)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    rows = np.array(
        [[0.7, 0, 0, 10, 10], [0.9, 1, 0, 11, 10], [0.8, 50, 50, 60, 60], [0.2, 80, 80, 90, 90]], np.float32
    )
    kept = suppress(rows, 0.5, 0.4)
    assert kept[:, 0].tolist() == pytest.approx([0.9, 0.8])
    assert suppress(rows, 0.95, 0.4).shape == (0, 5)


@pytest.mark.parametrize("boxes", [2, 3, 12, 80, 200])
def test_suppression_follows_its_definition(boxes: int) -> None:
    random = np.random.default_rng(boxes)
    corners, sides = random.random((boxes, 2)) * 60, random.random((boxes, 2)) * 40
    # Rounded scores, so that some are equal, and a box without an area.
    scores = np.round(random.random(boxes), 1)
    sides[0] = 0
    rows = np.column_stack([scores, corners, corners + sides]).astype(np.float32)
    kept: list[FloatArray] = []
    for row in sorted(rows[rows[:, 0] >= 0.3], key=lambda row: -row[0]):
        if all(box_iou(row[None, 1:], other[None, 1:])[0, 0] <= 0.4 for other in kept):
            kept.append(row)
    assert np.array_equal(suppress(rows, 0.3, 0.4), np.stack(kept))


def test_overlap_and_matching_use_each_reference_once() -> None:
    square = np.array([[0, 0, 10, 10]], np.float32)
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], np.float32)
    assert box_iou(square, found)[0].tolist() == pytest.approx([1.0, 0.9, 0.0])
    assert match_faces(found, square).tolist() == [0, -1, -1]
    assert match_faces(found, square[:0]).tolist() == [-1, -1, -1]


def test_training_starts_from_the_shipped_detector() -> None:
    torch.manual_seed(0)
    package = SHIPPED / "detector.onnx"
    colour = json.loads((SHIPPED / "spec.json").read_text())["input"]["colour"]
    images = torch.randint(0, 256, (4, 64, 96), dtype=torch.uint8)
    luminance = images[:, None].float() / 127.5 - 1
    detector = FaceDetector(SERVED_WIDTH, SERVED_STEM)
    assert load_folded(detector, package, [luminance[:2], luminance[2:]]) == []
    fed = images.numpy() if colour == "grey" else np.repeat(images.numpy()[..., None], 3, -1)
    expected = onnxruntime.InferenceSession(package).run(None, {"image": fed})[0]
    with torch.inference_mode():
        logits, boxes = detector.eval()(luminance)
    np.testing.assert_allclose(expected[..., 0], logits.sigmoid(), atol=1e-4)
    np.testing.assert_allclose(expected[..., 1:], boxes, atol=0.05)


@pytest.mark.parametrize("pictures", [0, 3])
def test_composed_scenes_repeat_and_their_boxes_are_usable(pictures: int) -> None:
    rng = np.random.default_rng(0)
    material = Material(
        pictures=tuple(rng.integers(0, 256, (90, 140 + 40 * i), dtype=np.uint8) for i in range(pictures)),
        photos=rng.integers(0, 256, (4, 112, 112), dtype=np.uint8),
        photo_boxes=np.tile(np.array([21, 10, 92, 105], np.float32), (4, 1)),
        small_faces=rng.integers(0, 256, (4, 48, 48), dtype=np.uint8),
        small_boxes=np.tile(np.array([6, 2, 42, 46], np.float32), (4, 1)),
        frames=rng.integers(0, 256, (2, 270, 360), dtype=np.uint8),
        frame_boxes=np.tile(np.array([120, 60, 220, 220], np.float32), (2, 1)),
    )
    composer, seen = Composer(material), 0
    for number in range(30):
        first = composer.twins(np.random.default_rng(number), 96, 160)
        second = composer.twins(np.random.default_rng(number), 96, 160)
        for one, other in zip(first, second, strict=True):
            assert one.image.shape == (96, 160)
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.faces, other.faces)
            assert (one.faces[:, 2:] > one.faces[:, :2]).all()
            seen += len(one.faces)
    assert seen > 10


def test_a_person_is_cut_from_an_unevenly_lit_wall() -> None:
    y, x = np.mgrid[:270, :360].astype(np.float32)
    frame = (170 - 0.0006 * (x - 180) ** 2 - 0.1 * y).astype(np.uint8)
    person = ((x - 180) / 60) ** 2 + ((y - 110) / 80) ** 2 < 1
    person |= ((x - 180) / 120) ** 2 + ((y - 270) / 90) ** 2 < 1
    frame[person] = 70
    frame[100:120, 170:190] = 168
    opacity = silhouette(frame, np.array([140, 50, 220, 170], np.float32)) > 127
    assert (opacity & person).sum() / (opacity | person).sum() > 0.95
