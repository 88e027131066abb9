"""Several networks served as one: their mean, one audio encoder, the same numbers in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.committee import Committee
from model.export import export_onnx
from model.fsenet import FSENet, FSENetConfig
from model.spec import AudioStream, FaceStream, ModelSpec
from model.streams import LogMelEncoder

CONFIG = FSENetConfig(
    visual_dim=None, audio_shape=(512,), face_dim=6, width=16, heads=2, saliency_width=8, class_width=4
)
FRAMES, MELS = 32, 60


def _member(seed: int) -> FSENet:
    torch.manual_seed(seed)
    return FSENet(CONFIG).eval()


@torch.inference_mode()
def test_a_committee_says_the_mean_of_what_its_members_say_of_encoded_audio() -> None:
    members, encoder = [_member(0), _member(1)], LogMelEncoder(FRAMES, MELS).eval()
    committee = Committee(members, encoder, (FRAMES, MELS)).eval()
    audio, face = torch.randn(2, 5, FRAMES, MELS), torch.randn(2, 5, 6)
    heard = torch.rand(2, 5) > 0.3
    audio[~heard] = 1e9
    found = committee(None, audio, face, audio_present=heard)
    encoded = encoder(audio * heard[..., None, None], heard)
    each = [member(None, encoded, face, audio_present=heard) for member in members]
    torch.testing.assert_close(found.scores, (each[0].scores + each[1].scores) / 2)
    torch.testing.assert_close(found.saliency, (each[0].saliency + each[1].saliency) / 2)
    assert committee.config.audio_shape == (FRAMES, MELS)


def test_members_of_different_streams_are_refused() -> None:
    other = FSENet(FSENetConfig(visual_dim=None, audio_shape=(512,), face_dim=7, width=16, heads=2))
    with pytest.raises(ValueError, match="same streams"):
        Committee([_member(0), other])


def test_an_exported_committee_computes_what_it_computes_here(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="x", version="1", visual=None, audio=AudioStream(), face=FaceStream(encoder="e", dim=6)
    )
    committee = Committee([_member(0), _member(1)], LogMelEncoder(FRAMES, MELS).eval(), (FRAMES, MELS))
    assert export_onnx(committee, spec, tmp_path / "fsenet.onnx") < 1e-4
    assert (tmp_path / "fsenet.onnx").exists()
