"""Both log-mel variants: compared with librosa's own chain, and with the published TSL300 features."""

from __future__ import annotations

import json
from pathlib import Path

import av
import librosa
import numpy as np
import pytest

from sentiloc.model.extractors import logmel
from sentiloc.model.segments import FloatArray
from tests.support.shared_files import data_folder, golden_folder

TSL300_TOLERANCE_DB = 0.02


def _speechlike(seconds: float) -> FloatArray:
    time = np.arange(int(seconds * logmel.SAMPLE_RATE)) / logmel.SAMPLE_RATE
    carrier = np.sin(2 * np.pi * (150 + 30 * np.sin(2 * np.pi * 3 * time)) * time)
    noise = np.random.default_rng(1).standard_normal(len(time))
    return (0.2 * carrier * np.abs(np.sin(4 * time)) + 0.01 * noise).astype(np.float32)


def _decoded(path: Path) -> tuple[FloatArray, int]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(frames, axis=1), int(container.streams.audio[0].rate)


def test_serving_rule_is_the_centred_spectrogram_of_the_whole_recording() -> None:
    samples = _speechlike(3.3)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=1024, hop_length=320, n_mels=60, pad_mode="constant"
    )
    expected = (librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T + 50) / 80
    rows = logmel.serving_log_mel(samples).reshape(-1, 60)
    assert len(rows) % 32 == 0
    np.testing.assert_allclose(rows[: len(expected)], expected, rtol=0, atol=1e-5)


def test_a_sound_is_in_the_snippet_of_its_time() -> None:
    samples = np.zeros(4 * logmel.SNIPPET_SAMPLES, np.float32)
    samples[2 * logmel.SNIPPET_SAMPLES + 4000] = 1.0
    loud = logmel.serving_log_mel(samples).max(axis=(1, 2)) > logmel.SILENT_VALUE + 0.1
    assert loud.tolist() == [False, False, True, False]


def test_gain_shifts_by_its_decibels() -> None:
    samples = _speechlike(1.0)
    difference = logmel.serving_log_mel(samples * 10) - logmel.serving_log_mel(samples)
    assert np.median(difference) == pytest.approx(20 / 80, abs=1e-4)


@pytest.mark.parametrize("snippets", [1, 3, 9])
def test_time_is_cut_or_padded_to_the_requested_length(snippets: int) -> None:
    features = logmel.serving_log_mel(_speechlike(2.0), snippets)
    assert features.shape == (snippets, 32, 60)
    assert np.all(features[5:] == np.float32(logmel.SILENT_VALUE))


def test_no_samples_are_no_snippets_or_silence() -> None:
    assert logmel.serving_log_mel(np.empty(0, np.float32)).shape == (0, 32, 60)
    assert np.all(logmel.serving_log_mel(np.empty(0, np.float32), 2) == np.float32(logmel.SILENT_VALUE))


def test_published_features_are_reproduced() -> None:
    """The reference's chain: 16-bit mono at the file's rate, soxr_hq to about 2049 * fps, librosa."""
    folder, clips = golden_folder("logmel"), data_folder("clips")
    expected = np.load(folder / "logmel.npz")
    for name, facts in json.loads((folder / "logmel.json").read_text(encoding="utf-8"))["clips"].items():
        samples, rate = _decoded(clips / name)
        assert rate == facts["source_rate"]
        assert logmel.tsl300_sample_rate(facts["fps"]) == facts["rate"]
        decibels = logmel.tsl300_decibels(samples, rate, facts["fps"])
        assert decibels.shape == expected[name].shape == (facts["frames"], 60)
        np.testing.assert_allclose(decibels, expected[name], rtol=0, atol=TSL300_TOLERANCE_DB)
        assert np.abs(decibels - expected[name]).mean() < 1e-4


def test_published_rule_has_two_frames_per_video_frame() -> None:
    for fps in (24.0, 25.0, 29.97, 60.0):
        frames_per_second = logmel.tsl300_sample_rate(fps) / logmel.TSL300_HOP
        assert frames_per_second / fps == pytest.approx(2.0, rel=2e-3)


def test_published_rule_in_snippets_is_scaled_and_padded() -> None:
    samples = _speechlike(2.0)
    decibels = logmel.tsl300_decibels(samples, 16_000, 25.0)
    features = logmel.tsl300_log_mel(samples, 16_000, 25.0, 5)
    assert features.shape == (5, 32, 60)
    rows = features.reshape(-1, 60)
    np.testing.assert_allclose(rows[: len(decibels)], (decibels + 50) / 80, atol=1e-6)
    assert np.all(rows[len(decibels) :] == rows[: len(decibels)].min())
