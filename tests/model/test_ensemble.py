"""Several networks served as one: their mean, one audio encoder, the same numbers in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sentiloc.model.fsenet.ensemble import Ensemble, LinearReadout
from sentiloc.model.fsenet.export import export_onnx
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.streams import LogMelEncoder
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec

CONFIG = FSENetConfig(
    visual_dim=None, audio_shape=(512,), face_dim=6, width=16, heads=2, saliency_width=8, class_width=4
)
FRAMES, MELS = 32, 60


def _member(
    seed: int, *, audio: int = 12, face: int = 4, whole_face: int = 6, of: FSENetConfig = CONFIG
) -> LinearReadout:
    """A network that sees `audio` values projected from 512, and `face` values projected from `whole_face`."""
    torch.manual_seed(seed)
    network = FSENet(replace(of, audio_shape=(audio,), face_dim=face, standardized=seed > 0))
    return LinearReadout(
        network, audio=torch.randn(audio, 512) / 22, face=torch.randn(face, whole_face)
    ).eval()


@torch.inference_mode()
def test_an_ensemble_is_the_mean_of_its_members_on_encoded_audio() -> None:
    members, encoder = [_member(0), _member(1)], LogMelEncoder(FRAMES, MELS).eval()
    ensemble = Ensemble(members, encoder, (FRAMES, MELS)).eval()
    audio, face = torch.randn(2, 5, FRAMES, MELS), torch.randn(2, 5, 6)
    heard = torch.rand(2, 5) > 0.3
    audio[~heard] = 1e9
    found = ensemble(None, audio, face, audio_present=heard)
    encoded = encoder(audio * heard[..., None, None], heard)
    each = [member(None, encoded, face, None, heard) for member in members]
    torch.testing.assert_close(found.scores, (each[0].scores + each[1].scores) / 2)
    torch.testing.assert_close(found.saliency, (each[0].saliency + each[1].saliency) / 2)
    assert ensemble.config.audio_shape == (FRAMES, MELS)


def test_members_of_different_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="same streams"):
        Ensemble([_member(0), _member(1, whole_face=7)])


@torch.inference_mode()
def test_a_reading_uses_only_its_projections() -> None:
    member = _member(0)
    audio, face = torch.randn(2, 5, 512), torch.randn(2, 5, 6)
    expected = member.network(None, audio @ member.audio.T, face @ member.face.T)
    torch.testing.assert_close(member(None, audio, face).scores, expected.scores)
    with pytest.raises(ValueError, match="not what is read"):
        LinearReadout(member.network, audio=member.audio, face=torch.randn(5, 6))


def test_an_exported_ensemble_equals_the_original(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="x", version="1", visual=None, audio=AudioStream(), face=FaceStream(encoder="e", dim=6)
    )
    # The export takes longer the more parts there are: one member has one stage, the other none.
    long, short = replace(CONFIG, stage2=False), replace(CONFIG, stage1=False, stage2=False, gsp=False)
    members = [_member(0, of=long), _member(1, of=short)]
    ensemble = Ensemble(members, LogMelEncoder(FRAMES, MELS).eval(), (FRAMES, MELS))
    assert export_onnx(ensemble, spec, tmp_path / "fsenet.onnx") < 1e-4
    assert (tmp_path / "fsenet.onnx").exists()


@torch.inference_mode()
def test_an_ensemble_sees_through_one_visual_encoder() -> None:
    torch.manual_seed(2)
    network = FSENet(replace(CONFIG, visual_dim=3, audio_shape=(12,), face_dim=4))
    member = LinearReadout(network, audio=torch.randn(12, 512), face=torch.randn(4, 6)).eval()
    encoder, listener = torch.nn.Linear(9, 3).eval(), LogMelEncoder(FRAMES, MELS).eval()
    ensemble = (
        Ensemble([member]).eval().with_audio_encoder(listener, (FRAMES, MELS)).with_visual_encoder(encoder, 9)
    )
    assert ensemble.config.visual_dim == 9 and ensemble.config.audio_shape == (FRAMES, MELS)
    again = (
        Ensemble([member]).eval().with_visual_encoder(encoder, 9).with_audio_encoder(listener, (FRAMES, MELS))
    )
    visual, audio, face = torch.randn(2, 5, 9), torch.randn(2, 5, FRAMES, MELS), torch.randn(2, 5, 6)
    heard = torch.ones(2, 5, dtype=torch.bool)
    expected = member(encoder(visual), listener(audio, heard), face).scores
    for found in (ensemble, again):
        torch.testing.assert_close(found(visual, audio, face).scores, expected)
