"""Accuracy of the audio encoder: `python -m experiments.sound --data DIR --weights FILE --packages DIR --bank DIR`.

DIR of the data holds speech/, sounds/ and weights/; FILE is the `sound_encoder.pt` of `recipes.starter.sound.train`.
All test data are held out from training. Voices are those of the held-out speakers of `recipes.starter.splits`. Their
metric is the recall of negative, positive and non-sentiment (unweighted mean over the three, then over corpora; chance
is 33 %) in these conditions:

- clean: each utterance alone, as recorded;
- worse: each utterance after a random chain of speed, rooms, far microphones, band limits and codecs, in
  noise, babble or music at 5 to 25 dB;
- joined: all utterances of a speaker in random order, half a second apart, as one long recording;
- quiet, overdriven: 35 dB fainter in 16 bits, and 20 dB louder cut off at full scale, then brought to the usual level.

Sounds are the held-out ones of `recipes.starter.sound.recordings`, by kind and source: how often a recording, or a
snippet, is classified as negative or positive, and how often its event has the highest posterior. Calm voices are also
measured over held-out music.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.starter.sound.bank import SoundBank, excerpt, open_bank
from recipes.starter.sound.net import SoundNet, load_sound_net
from recipes.starter.sound.scores import false_sentiment, heard, held_out_sounds
from recipes.starter.voices.augment import Wave, coloured_noise, decode, music, vary
from recipes.starter.voices.data import LogMels, Utterance, as_snippets, frames_of, join_log_mels, read_index
from recipes.starter.voices.scores import held_out_items, predict, recalls, unweighted_recall
from sentiloc.model.extractors.logmel import FRAMES, MELS, SILENT_VALUE, normalize_level

ROOT = Path(__file__).parents[1]
SEED = 1234
# Half a second of frames of 20 ms.
GAP_FRAMES = 25
FAINT_DB, LOUD_DB, MUSIC_DB = -35.0, 20.0, -5.0
Report = dict[str, list[float]]


def worsen(wave: Wave, voices: Sequence[Wave], random: np.random.Generator) -> Wave:
    """Degrade a recording, then add noise, other voices or music at 5 to 25 dB below the voice."""
    varied = vary(wave, random)
    kind = int(random.integers(3))
    if kind == 0:
        noise = coloured_noise(len(varied), random)
    elif kind == 1:
        chosen = random.choice(len(voices), 6)
        noise = np.mean([np.resize(voices[i], len(varied)) for i in chosen], axis=0).astype(np.float32)
    else:
        noise = music(len(varied), random)
    snr = random.uniform(5, 25)
    level = np.sqrt(np.square(varied).mean() / (np.square(noise).mean() + 1e-12)) * 10 ** (-snr / 20)
    return varied + noise * np.float32(level)


def at_gain(wave: Wave, gain: float) -> NDArray[np.float16]:
    """Log-mel of samples recorded in 16 bits at `gain` dB too loud, then normalized to the usual level."""
    louder = wave * np.float32(10 ** (gain / 20))
    stored = np.clip(np.round(louder * 32768), -32768, 32767).astype(np.float32) / np.float32(32768)
    frames = frames_of(stored)
    levelled, _ = normalize_level(as_snippets(frames, SILENT_VALUE))
    return levelled.reshape(-1, MELS)[: len(frames)].astype(np.float16)


def read_log_mels(folder: Path, utterances: Sequence[Utterance]) -> dict[str, LogMels]:
    """Log-mels of utterances by condition."""
    waves = [decode(str(folder / utterance.file)) for utterance in utterances]
    voices = waves[::40]
    worse = [worsen(wave, voices, np.random.default_rng((SEED, i))) for i, wave in enumerate(waves)]
    return {
        "clean": join_log_mels([frames_of(wave) for wave in waves]),
        "worse": join_log_mels([frames_of(wave) for wave in worse]),
        "quiet": join_log_mels([at_gain(wave, FAINT_DB) for wave in waves]),
        "overdriven": join_log_mels([at_gain(wave, LOUD_DB) for wave in waves]),
    }


def predict_joined(net: SoundNet, mels: LogMels, utterances: Sequence[Utterance]) -> NDArray[np.int64]:
    """Class of every utterance, predicted within a recording of all utterances of its speaker."""
    predicted = np.zeros(len(utterances), np.int64)
    random = np.random.default_rng(SEED)
    for who in sorted({(utterance.corpus, utterance.speaker) for utterance in utterances}):
        items = [i for i, utterance in enumerate(utterances) if (utterance.corpus, utterance.speaker) == who]
        order = random.permutation(items)
        predicted[order] = _predict_row(net, [mels[item] for item in order])
    return predicted


def _predict_row(net: SoundNet, parts: Sequence[NDArray[np.float16]]) -> NDArray[np.int64]:
    gap = np.full((GAP_FRAMES, MELS), SILENT_VALUE, np.float16)
    frames = np.concatenate([piece for part in parts for piece in (part, gap)])
    audio = torch.from_numpy(as_snippets(frames, SILENT_VALUE))[None]
    owner = np.repeat(np.arange(2 * len(parts)), [n for part in parts for n in (len(part), GAP_FRAMES)])
    tail = audio.shape[1] * FRAMES - len(owner)
    rows = np.pad(owner, (0, tail), constant_values=-1).reshape(-1, FRAMES)
    weights = np.stack([(rows == 2 * i).mean(axis=1) for i in range(len(parts))]).astype(np.float32)
    with torch.inference_mode():
        embedding = net.encoder(audio, torch.ones(audio.shape[:2]))[0]
        classes: NDArray[np.int64] = (
            net.heads.utterances(embedding, torch.from_numpy(weights))[0].argmax(1).numpy()
        )
    return classes


def encoder_speed(net: SoundNet) -> float:
    """Seconds of one core for an hour of sound, encoder only."""
    audio, present = torch.zeros(1, 256, FRAMES, MELS), torch.ones(1, 256)
    with torch.inference_mode():
        net.encoder(audio, present)
        start = time.process_time()
        net.encoder(audio, present)
        spent = time.process_time() - start
    return spent * 3600 / (256 * 0.64)


def measure_voices(net: SoundNet, data: Path) -> dict[str, Report]:
    """Recalls per condition and corpus."""
    index = read_index(data / "speech")
    utterances = [index[item] for item in held_out_items(index)]
    mels, items = read_log_mels(data / "speech", utterances), list(range(len(utterances)))
    predicted = {name: predict(net, part, items).argmax(axis=1) for name, part in mels.items()}
    predicted["joined"] = predict_joined(net, mels["clean"], utterances)
    return {name: recalls(utterances, items, classes) for name, classes in predicted.items()}


def measure_sounds(net: SoundNet, bank: SoundBank) -> dict[str, dict[str, float]]:
    """Shares per kind and source, and per kind over all sources."""
    rows = {
        kind: {"recordings": float(len(row["negative"])), **{k: mean(v) for k, v in row.items()}}
        for kind, row in held_out_sounds(net, bank).items()
    }
    return {**rows, "speech over music": over_music(net, bank), "all": false_sentiment(net, bank)}


def over_music(net: SoundNet, bank: SoundBank) -> dict[str, float]:
    """Held-out calm voices with held-out music 5 dB below: the share classified as negative or positive."""
    random = np.random.default_rng(SEED)
    takes = [(take, bank.recordings[bank.recording[take]]) for take in bank.takes(held_out=True, clean=True)]
    music = [excerpt(decode(str(r.path))) for _, r in takes if r.source == "warzone2100-music"]
    called = []
    for _, recording in takes:
        if recording.event == "speech":
            wave = decode(str(recording.path))
            under = np.resize(music[int(random.integers(len(music)))], len(wave))
            gain = np.sqrt(np.square(wave).mean() / (np.square(under).mean() + 1e-9)) * 10 ** (MUSIC_DB / 20)
            called += heard(net, frames_of(wave + under * np.float32(gain)))[1].argmax(axis=1).tolist()
    return {"negative_snippets": mean(np.equal(called, 0)), "positive_snippets": mean(np.equal(called, 1))}


def mean(values: Sequence[float] | NDArray[np.bool_]) -> float:
    """Mean; NaN if there are no values."""
    return round(float(np.mean(values)), 4) if len(values) else float("nan")


def print_table(reports: dict[str, Report]) -> None:
    """One line per condition and corpus, in per cent."""
    print(f"{'condition':10}{'corpus':10}{'negative':>10}{'positive':>10}{'neutral':>10}{'UAR':>10}")
    for condition, report in reports.items():
        for corpus, values in report.items():
            row = [*values, float(np.mean(values))]
            print(f"{condition:10}{corpus:10}" + "".join(f"{100 * value:10.1f}" for value in row))
        print(f"{condition:10}{'mean':10}{'':30}{100 * unweighted_recall(report):10.1f}")


def print_sounds(rows: dict[str, dict[str, float]]) -> None:
    """One line per kind and source, in per cent of snippets."""
    print(f"{'sound':40}{'negative':>10}{'positive':>10}{'event':>10}")
    for kind, row in rows.items():
        if "negative_snippets" in row:
            values = [row.get(k, float("nan")) for k in ("negative_snippets", "positive_snippets", "event")]
            print(f"{kind:40}" + "".join(f"{100 * value:10.1f}" for value in values))


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the Debian packages")
    parser.add_argument("--bank", type=Path, required=True, help="cache of the sound bank")
    parser.add_argument("--results", type=Path, default=ROOT / "experiments" / "results" / "sound.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    net = load_sound_net(given.weights)
    sounds = measure_sounds(net, open_bank(given.data, given.packages, given.bank))
    print_sounds(sounds)
    reports = measure_voices(net, given.data)
    print_table(reports)
    speed = encoder_speed(net)
    print(f"encoder: {speed:.1f} s of one core for an hour of sound")
    results = {
        "recall": reports,
        "mean_unweighted_recall": {name: unweighted_recall(report) for name, report in reports.items()},
        "sounds": sounds,
        "encoder_core_seconds_per_hour": speed,
        "machine": platform.machine(),
    }
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
