"""How well the audio encoder hears sentiment: `python -m experiments.speech --data DIR --weights FILE`.

DIR holds speech/; FILE is the `speech_encoder.pt` of `recipes.starter.voices.train`. Measured on the speakers
that `recipes.starter.splits` keeps out of training, as recall of negative, positive and non-sentiment
(unweighted mean over the three, then over corpora; chance is 33 %):

- clean: each utterance alone, as recorded;
- worse: each utterance after a random chain of speed, rooms, far microphones, band limits and codecs, in
  noise, babble or music at 5 to 25 dB;
- joined: all utterances of a speaker in random order, half a second apart, heard as one long recording.
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

from recipes.starter.voices.augment import Wave, coloured_noise, decode, music, vary
from recipes.starter.voices.data import LogMels, Utterance, as_snippets, frames_of, join_log_mels, read_index
from recipes.starter.voices.net import SpeechNet, load_speech_net
from recipes.starter.voices.scores import held_out_items, predict, recalls, unweighted_recall
from sentiloc.model.extractors.logmel import FRAMES, MELS, SILENT_VALUE

ROOT = Path(__file__).parents[1]
SEED = 1234
GAP_FRAMES = 25
Report = dict[str, list[float]]


def worsen(wave: Wave, voices: Sequence[Wave], random: np.random.Generator) -> Wave:
    """What a poor recording does, then noise, other voices or music at 5 to 25 dB below the voice."""
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


def read_log_mels(folder: Path, utterances: Sequence[Utterance]) -> tuple[LogMels, LogMels]:
    """Clean and worse log-mels of utterances."""
    waves = [decode(str(folder / utterance.file)) for utterance in utterances]
    voices = waves[::40]
    worse = [worsen(wave, voices, np.random.default_rng((SEED, i))) for i, wave in enumerate(waves)]
    return join_log_mels([frames_of(w) for w in waves]), join_log_mels([frames_of(w) for w in worse])


def predict_joined(net: SpeechNet, mels: LogMels, utterances: Sequence[Utterance]) -> NDArray[np.int64]:
    """Class of every utterance, heard among the others of its speaker."""
    told = np.zeros(len(utterances), np.int64)
    random = np.random.default_rng(SEED)
    for who in sorted({(utterance.corpus, utterance.speaker) for utterance in utterances}):
        items = [i for i, utterance in enumerate(utterances) if (utterance.corpus, utterance.speaker) == who]
        order = random.permutation(items)
        told[order] = _predict_row(net, [mels[item] for item in order])
    return told


def _predict_row(net: SpeechNet, parts: Sequence[NDArray[np.float16]]) -> NDArray[np.int64]:
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


def encoder_speed(net: SpeechNet) -> float:
    """Seconds of one core for an hour of sound, encoder only."""
    audio, present = torch.zeros(1, 256, FRAMES, MELS), torch.ones(1, 256)
    with torch.inference_mode():
        net.encoder(audio, present)
        start = time.process_time()
        net.encoder(audio, present)
        spent = time.process_time() - start
    return spent * 3600 / (256 * 0.64)


def measure(data: Path, weights: Path) -> dict[str, Report]:
    """Recalls per condition and corpus."""
    index = read_index(data / "speech")
    utterances = [index[item] for item in held_out_items(index)]
    clean, worse = read_log_mels(data / "speech", utterances)
    net, items = load_speech_net(weights), list(range(len(utterances)))
    told = {
        "clean": predict(net, clean, items).argmax(axis=1),
        "worse": predict(net, worse, items).argmax(axis=1),
        "joined": predict_joined(net, clean, utterances),
    }
    return {name: recalls(utterances, items, classes) for name, classes in told.items()}


def print_table(reports: dict[str, Report]) -> None:
    """One line per condition and corpus, in per cent."""
    print(f"{'condition':10}{'corpus':10}{'negative':>10}{'positive':>10}{'neutral':>10}{'UAR':>10}")
    for condition, report in reports.items():
        for corpus, values in report.items():
            row = [*values, float(np.mean(values))]
            print(f"{condition:10}{corpus:10}" + "".join(f"{100 * value:10.1f}" for value in row))
        print(f"{condition:10}{'mean':10}{'':30}{100 * unweighted_recall(report):10.1f}")


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results" / "speech.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reports = measure(arguments.data, arguments.weights)
    print_table(reports)
    speed = encoder_speed(load_speech_net(arguments.weights))
    print(f"encoder: {speed:.1f} s of one core for an hour of sound")
    results = {
        "recall": reports,
        "mean_unweighted_recall": {name: unweighted_recall(report) for name, report in reports.items()},
        "encoder_core_seconds_per_hour": speed,
        "machine": platform.machine(),
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
