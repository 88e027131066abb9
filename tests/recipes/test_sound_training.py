"""The audio encoder's second training stage: held-out people, batches, and resumption."""

from __future__ import annotations

import hashlib
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.starter.averaging import AveragedRun
from recipes.starter.sound.bank import SoundBank, excerpt
from recipes.starter.sound.build import check_indexes
from recipes.starter.sound.compose import BURST_TEMPO, SoundComposer, with_another_voice
from recipes.starter.sound.net import SoundNet, encoder_state, load_sound_net, load_voice_reader
from recipes.starter.sound.overdriven import overdrive
from recipes.starter.sound.packages import PACKAGES, SoundPackage, unpack
from recipes.starter.sound.recordings import (
    NEGATIVE,
    NEUTRAL,
    NO_VOICE,
    POSITIVE,
    Recording,
    read_recordings,
    recordings_of,
)
from recipes.starter.sound.rows import SoundBatch
from recipes.starter.sound.scores import false_sentiment, heard, held_out_sounds
from recipes.starter.sound.teacher import Teacher, at_frames
from recipes.starter.sound.tones import tone
from recipes.starter.sound.train import SoundTraining, open_run
from recipes.starter.sources.wheels import unpack_wheel
from recipes.starter.voices.augment import decode
from recipes.starter.voices.data import EMOTIONS, LogMels, Utterance
from sentiloc.model.extractors.logmel import SAMPLE_RATE, SILENT_VALUE
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.extractors.speech import SpeechConfig
from tests.support.shared_files import data_folder

SMALL = SpeechConfig(dim=16, bands=4, hidden=16, dilations=(1,), dropout=0.0)
UTTERANCES = [
    Utterance(file=f"{speaker}{emotion}", corpus="nemo", speaker=speaker, emotion=emotion)
    for speaker in ("a", "b")
    for emotion in range(len(EMOTIONS))
]
KINDS = ("speech", "laughter", "crying", "screaming", "music", "noise")
FRAMES_OF_TAKE = 150


def _log_mels(recordings: int, frames: int, seed: int = 5) -> LogMels:
    values = np.random.default_rng(seed).normal(0.2, 0.3, (recordings * frames, 60))
    return LogMels(values.astype(np.float16), np.arange(recordings + 1) * frames)


def _bank() -> SoundBank:
    """Two owners of every kind, the second one held out; each kind is loud in bands of its own."""
    recordings = [
        Recording(
            path=Path(kind), source="s", label=kind, event=kind, owner=f"{kind}{side}", held_out=side == 1
        )
        for kind in KINDS
        for side in range(2)
    ]
    mels = _log_mels(len(recordings), FRAMES_OF_TAKE)
    targets = np.zeros((len(mels.frames), len(EVENTS)), np.uint8)
    for number, recording in enumerate(recordings):
        inside = slice(number * FRAMES_OF_TAKE, (number + 1) * FRAMES_OF_TAKE)
        place = KINDS.index(recording.event) * 9
        mels.frames[inside, place : place + 9] += np.float16(1.0)
        targets[inside, recording.event_index] = 255
    numbers = np.arange(len(recordings))
    return SoundBank(
        recordings=recordings, mels=mels, targets=targets, recording=numbers, version=np.zeros_like(numbers)
    )


@pytest.fixture(scope="module")
def composer() -> SoundComposer:
    items = list(range(len(UTTERANCES)))
    return SoundComposer(UTTERANCES, [_log_mels(len(items), 120)], _log_mels(3, 900), items, _bank())


def test_owners_are_on_one_side_only_and_every_kind_is_on_both() -> None:
    sounds = data_folder("sounds")
    recordings = recordings_of(sounds)
    sides: dict[tuple[str, str], bool] = {}
    for recording in recordings:
        owner = (recording.source, recording.owner)
        assert sides.setdefault(owner, recording.held_out) == recording.held_out
    for event in ("speech", "laughter", "crying", "screaming", "applause", "music", "noise"):
        assert {r.held_out for r in recordings if r.event == event} == {False, True}


def test_labels_of_a_recording() -> None:
    says = {r.event: r.sentiment for r in _bank().recordings}
    assert says == {
        "speech": NEUTRAL,
        "laughter": POSITIVE,
        "crying": NEGATIVE,
        "screaming": NEGATIVE,
        "music": NO_VOICE,
        "noise": NO_VOICE,
    }


@pytest.mark.parametrize("long", [False, True])
def test_batches_are_repeatable_and_consistent(composer: SoundComposer, long: bool) -> None:
    batch = composer.batch(np.random.default_rng(3), long=long)
    again = composer.batch(np.random.default_rng(3), long=long)
    np.testing.assert_array_equal(batch.audio, again.audio)
    assert np.isfinite(batch.audio).all()
    assert batch.events.shape == batch.known.shape == (*batch.present.shape, len(EVENTS))
    assert 0 <= batch.events.min() <= batch.events.max() <= 1
    assert np.all(batch.known[batch.present == 0] == 0)
    assert np.all(batch.targets.sum(axis=2) <= 1 + 1e-6)
    assert set(batch.sentiment) <= {-1, 0, 1, 2}


def test_a_pause_in_a_recording_is_skipped() -> None:
    bank = _bank()
    for first, last in zip(bank.mels.offsets[:-1], bank.mels.offsets[1:], strict=True):
        bank.mels.frames[first : last - 20] = np.float16(SILENT_VALUE)
    items = list(range(len(UTTERANCES)))
    composer = SoundComposer(UTTERANCES, [_log_mels(len(items), 120)], _log_mels(3, 900), items, bank)
    for number in range(6):
        batch = composer.batch(np.random.default_rng(number), long=number % 2 == 1)
        assert np.isfinite(batch.audio).all()
        assert np.all(batch.weights.sum(axis=1) > 0)


def test_training_never_draws_held_out_items() -> None:
    bank = _bank()
    held_out = {i for i, r in enumerate(bank.recordings) if r.held_out}
    marked = LogMels(bank.mels.frames.copy(), bank.mels.offsets)
    for number in held_out:
        marked.frames[marked.offsets[number] : marked.offsets[number + 1]] = np.nan
    items = list(range(len(UTTERANCES)))
    spoiled = SoundBank(
        recordings=bank.recordings,
        mels=marked,
        targets=bank.targets,
        recording=bank.recording,
        version=bank.version,
    )
    composer = SoundComposer(UTTERANCES, [_log_mels(len(items), 120)], _log_mels(3, 900), items, spoiled)
    for number in range(4):
        batch = composer.batch(np.random.default_rng(number), long=number % 2 == 1)
        assert np.isfinite(batch.audio).all()


def _loss(batch: SoundBatch, net: SoundNet) -> torch.Tensor:
    return net.loss(batch)


def test_an_interrupted_run_resumes(composer: SoundComposer, tmp_path: Path) -> None:
    def run(folder: Path, steps: int) -> AveragedRun[SoundNet]:
        start = tmp_path / "start.pt"
        if not start.exists():
            torch.manual_seed(0)
            torch.save(encoder_state(SoundNet(SMALL)), start)
        run = open_run(folder, SoundTraining(steps=4, learning_rate=1e-2), start)
        batches = composer.batches(0, run.step)
        for _ in range(steps):
            run.take_step(partial(_loss, next(batches)))
        run.save()
        return run

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "halves", 2)
    halves = run(tmp_path / "halves", 2)
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(halves.average.state_dict()[name], value)
    with pytest.raises(ValueError, match="another training"):
        open_run(tmp_path / "whole", SoundTraining(steps=4, seed=1), None)


def test_a_short_training_separates_kinds_of_sound(
    composer: SoundComposer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Kinds differ by their bands alone here, so another vocal tract would make one kind of the other.
    monkeypatch.setattr("recipes.starter.sound.compose.BURST_TRACT", (1.0, 1.0))
    torch.manual_seed(0)
    start = tmp_path / "start.pt"
    torch.save(encoder_state(SoundNet(SMALL)), start)
    run = open_run(tmp_path / "run", SoundTraining(steps=60, learning_rate=1e-2), start)
    batches = composer.batches(0)
    for _ in range(60):
        run.take_step(partial(_loss, next(batches)))
    bank = _bank()
    takes = bank.takes(held_out=True)
    events = np.stack([heard(run.average.eval(), bank.take(take)[0])[2].mean(axis=0) for take in takes])
    labels = np.array([bank.recordings[bank.recording[take]].event_index for take in takes])
    own = np.array([events[i, label] for i, label in enumerate(labels)])
    others = np.array([np.delete(events[:, label], i).mean() for i, label in enumerate(labels)])
    assert own.mean() > 1.3 * others.mean()
    report = false_sentiment(run.average, bank)
    assert report["music_negative"] + report["noise_negative"] < 0.5
    assert set(held_out_sounds(run.average, bank)) == {f"{kind} s" for kind in KINDS}


def test_the_reader_gives_embedding_readings_and_events(tmp_path: Path) -> None:
    path = tmp_path / "sound_encoder.pt"
    torch.save(encoder_state(SoundNet(SMALL)), path)
    reader = load_voice_reader(path, whole=True)
    audio, present = torch.randn(2, 5, 32, 60), torch.ones(2, 5)
    present[1, 3:] = 0
    with torch.inference_mode():
        read = reader(audio, present)
        readings = load_voice_reader(path)(audio, present)
    assert read.shape == (2, 5, reader.outputs) == (2, 5, 16 + 24 + len(EVENTS))
    torch.testing.assert_close(read[..., 16:], readings)
    events = read[..., -len(EVENTS) :]
    assert 0 < events[0].min() <= events[0].max() < 1
    assert torch.all(events[1, 3:] == 0)
    net = load_sound_net(path)
    torch.testing.assert_close(torch.sigmoid(net.events(net.encoder(audio, present)))[0], events[0])


def test_overdriven_samples_are_cut_off_at_full_scale() -> None:
    tone = 0.1 * np.sin(np.arange(SAMPLE_RATE) * 0.2).astype(np.float32)
    loud = overdrive(tone, np.random.default_rng(1))
    assert np.abs(loud).max() <= 1
    assert np.sqrt(np.square(loud).mean()) > 0.15


def test_test_tones_sound_and_differ() -> None:
    random = np.random.default_rng(2)
    waves = [tone(random) for _ in range(12)]
    for wave in waves:
        assert np.isfinite(wave).all()
        assert np.sqrt(np.square(wave).mean()) == pytest.approx(0.1, rel=1e-3)
    spectra = np.stack([np.abs(np.fft.rfft(wave)) for wave in waves])
    assert len(set(spectra.argmax(axis=1).tolist())) > 8


def test_an_excerpt_is_the_middle() -> None:
    wave = np.arange(90 * SAMPLE_RATE, dtype=np.float32)
    part = excerpt(wave)
    assert wave[len(wave) // 2] in part
    assert len(part) < len(wave)
    np.testing.assert_array_equal(excerpt(wave[:100]), wave[:100])


def test_a_package_that_is_not_the_one_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = SoundPackage(name="x", version="1", sha256="0" * 64, folder="usr", kind="music")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\necho not the package > x_1_all.deb\n", encoding="utf-8")
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(ValueError, match="digest"):
        unpack(package, tmp_path / "packages")
    assert len({p.sha256 for p in PACKAGES}) == len(PACKAGES)


def test_a_wheel_that_is_not_the_one_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "python"
    pip.write_text("#!/bin/sh\necho not the wheel > a_b-1-py3-none-any.whl\n", encoding="utf-8")
    pip.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(pip))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="digest"):
        unpack_wheel("a-b", "1", "0" * 64, tmp_path)
    assert not (tmp_path / "a-b").exists()


def test_of_a_game_only_screams_count_once_each_and_by_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = SoundPackage(
        name="game",
        version="1",
        sha256="0" * 64,
        folder="sound/player",
        kind="screaming",
        patterns=("*/player/death*.ogg",),
        archive="data.pk3",
        by_folder=True,
    )
    (tmp_path / "packages" / "game").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "packages" / "game" / "data.pk3", "w") as archive:
        for name, sound in {
            "ann/player/death1": "a",
            "ann/player/jump": "b",
            "bob/player/death1": "c",
        }.items():
            archive.writestr(f"sound/player/{name}.ogg", sound)
        archive.writestr("sound/player/copy/player/death2.ogg", "c")
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "index.csv").write_text(
        "file,group,label,speaker_or_recording,seconds\n", encoding="utf-8"
    )
    monkeypatch.setattr("recipes.starter.sound.recordings.PACKAGES", (game,))
    found = read_recordings(tmp_path / "sounds", tmp_path / "packages")
    assert [(r.owner, r.path.stem) for r in found] == [("ann", "death1"), ("bob", "death1")]
    assert {(r.event, r.sentiment, r.held_out) for r in found} == {("screaming", NEGATIVE, False)}


def test_a_burst_of_somebody_else_keeps_its_events_in_place() -> None:
    random = np.random.default_rng(0)
    power = np.full((100, 60), 0.01, np.float32)
    power[40:60, 20:30] = 1.0
    events = (power.max(axis=1, keepdims=True) > 0.5).astype(np.float32)
    lengths, centres = set(), set()
    for _ in range(20):
        changed, told = with_another_voice(power, events, random)
        np.testing.assert_array_equal(changed.max(axis=1) > 0.3, told[:, 0] > 0.5)
        assert 100 / BURST_TEMPO[1] - 1 <= len(changed) <= 100 / BURST_TEMPO[0]
        lengths.add(len(changed))
        centres.add(int(changed.sum(axis=0).argmax()))
    assert len(lengths) > 5
    assert len(centres) > 5


def test_a_data_folder_that_is_not_the_one_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("file\n", encoding="utf-8")
    digest = hashlib.sha256(b"file\n").hexdigest()
    check_indexes(tmp_path, {"index.csv": digest})
    with pytest.raises(ValueError, match="has the digest"):
        check_indexes(tmp_path, {"index.csv": "0" * 64})
    check_indexes(data_folder("speech").parent)


def test_the_teacher_recognizes_a_voice_and_silence() -> None:
    folder = data_folder("weights")
    recording = next(r for r in recordings_of(data_folder("sounds")) if r.source == "librispeech")
    heard = Teacher(folder).listen(decode(str(recording.path)))
    assert EVENTS[int(heard.mean(axis=0).argmax())] == "speech"
    assert at_frames(heard, 100).shape == (100, len(EVENTS))
