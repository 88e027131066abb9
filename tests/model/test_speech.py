"""The audio encoder: any length, absent snippets, gain, and the same numbers in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from sentiloc.model.extractors.logmel import SILENT_VALUE, serving_log_mel
from sentiloc.model.extractors.speech import SpeechConfig, SpeechEncoder, SpeechHeads, VoiceReader

SMALL = SpeechConfig(dim=16, bands=4, hidden=12, dilations=(1, 2))


def _encoder(config: SpeechConfig | None = None) -> SpeechEncoder:
    torch.manual_seed(0)
    encoder = SpeechEncoder(config)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn(module.num_features)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    torch.nn.init.normal_(encoder.absent)
    return encoder.eval()


def _audio(batch: int, time: int) -> Tensor:
    samples = 0.1 * np.random.default_rng(3).standard_normal((batch, time * 10240)).astype(np.float32)
    return torch.from_numpy(np.stack([serving_log_mel(row, time) for row in samples]))


@torch.inference_mode()
@pytest.mark.parametrize("time", [1, 2, 7, 40])
def test_any_length_gives_one_embedding_per_snippet(time: int) -> None:
    embedding = _encoder()(_audio(2, time), torch.ones(2, time, dtype=torch.bool))
    assert embedding.shape == (2, time, 512)
    assert torch.isfinite(embedding).all()


@torch.inference_mode()
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30, -7.0])
def test_values_of_absent_snippets_change_nothing(garbage: float) -> None:
    encoder, audio, present = _encoder(SMALL), _audio(1, 9), torch.ones(1, 9)
    present[0, 3:5] = 0
    spoiled = audio.clone()
    spoiled[0, 3:5] = garbage
    torch.testing.assert_close(encoder(spoiled, present), encoder(audio, present), rtol=0, atol=0)


@torch.inference_mode()
def test_padding_with_absent_snippets_is_the_same_as_none() -> None:
    encoder, audio = _encoder(SMALL), _audio(1, 6)
    padded = torch.cat([torch.full((1, 4, 32, 60), SILENT_VALUE), audio, torch.zeros(1, 11, 32, 60)], dim=1)
    present = torch.zeros(1, 21)
    present[:, 4:10] = 1
    expected = encoder(audio, torch.ones(1, 6))
    torch.testing.assert_close(encoder(padded, present)[:, 4:10], expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_all_absent_is_the_learned_state() -> None:
    encoder = _encoder(SMALL)
    embedding = encoder(_audio(2, 3), torch.zeros(2, 3))
    torch.testing.assert_close(embedding, encoder.absent.expand(2, 3, -1))


@torch.inference_mode()
@pytest.mark.parametrize("gain", [-15.0, 15.0])
def test_gain_hardly_changes_the_embedding(gain: float) -> None:
    encoder, audio, present = _encoder(SMALL), _audio(1, 5), torch.ones(1, 5)
    louder = encoder(audio + gain / 80, present)
    torch.testing.assert_close(louder, encoder(audio, present), rtol=0.02, atol=0.02)


@torch.inference_mode()
def test_context_ends_within_ten_snippets() -> None:
    encoder, audio, present = _encoder(), _audio(1, 40), torch.ones(1, 40)
    changed = audio.clone()
    changed[:, 30:] = _audio(1, 10) * 0.5
    same = (encoder(audio, present) - encoder(changed, present)).abs().amax(dim=(0, 2)) < 1e-6
    assert same[:20].all()
    assert not same[28]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpeechEncoder, Path]:
    encoder, path = _encoder(), tmp_path_factory.mktemp("onnx") / "speech.onnx"
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
    torch.onnx.export(
        encoder,
        (_audio(2, 24), torch.ones(2, 24)),
        str(path),
        input_names=["audio", "present"],
        output_names=["embedding"],
        dynamic_shapes=(axes, axes),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return encoder, path


@torch.inference_mode()
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 7), (1, 64)])
def test_onnx_runtime_agrees_with_torch(exported: tuple[SpeechEncoder, Path], batch: int, time: int) -> None:
    encoder, path = exported
    audio, present = _audio(batch, time), torch.ones(batch, time)
    present[0, time // 2 + 1 :] = 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = session.run(None, {"audio": audio.numpy(), "present": present.numpy()})[0]
    np.testing.assert_allclose(told, encoder(audio, present).numpy(), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_reader_gives_log_probabilities_that_silence_does_not_change() -> None:
    reader = VoiceReader(_encoder(SMALL), SpeechHeads(16, 7)).eval()
    audio, present = _audio(1, 9), torch.ones(1, 9)
    present[0, 4:] = 0
    read = reader(audio, present)
    assert read.shape == (1, 9, reader.outputs) and reader.outputs == 24
    sums = [part.exp().sum(-1) for part in read[:, :4].split([4, 3, 7, 3, 7], dim=-1)]
    torch.testing.assert_close(torch.stack(sums), torch.ones(5, 1, 4))
    assert not read[:, 4:].any()
    torch.testing.assert_close(reader(audio[:, :4], present[:, :4]), read[:, :4], rtol=1e-4, atol=1e-5)
