"""Scores of answers to real-world clips: neutral time marked, files with the right label, and confidence.

Times are counted at snippet centres of the answer's own grid. A file's answer is the label that covers more time, or
"none". Two people labelled the files independently; `sure` means that they agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.starter.development import NOTHING, LabelledClip
from sentiloc.model.evaluation.metrics import GroundTruthSegment, evaluate_detections
from sentiloc.model.segments import BoolArray, Proposal, Segment
from sentiloc.model.spec import CLASSES

_TALKING = ("interview", "news", "talking head", "vlog")
# Seconds.
_TIME_STEP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A system's answer for one file: segments, and where faces are seen (T,), on a grid of `step` seconds."""

    duration: float
    step: float
    segments: tuple[Segment, ...]
    face_present: BoolArray

    def marked(self, label: str) -> BoolArray:
        """The snippets (T,) whose centre lies in a segment of a label."""
        centres = (np.arange(len(self.face_present)) + 0.5) * self.step
        held = np.zeros(len(centres), bool)
        for segment in self.segments:
            if segment.label == label:
                held |= (centres >= segment.start) & (centres < segment.end)
        return held

    @property
    def share(self) -> float:
        """Share of the snippets that are marked."""
        return _mean(self.marked("positive") | self.marked("negative"))

    @property
    def dominant(self) -> str:
        """The label with more marked time (negative if equal), or "none"."""
        positive, negative = self.marked("positive").sum(), self.marked("negative").sum()
        if not positive + negative:
            return NOTHING
        return "positive" if positive > negative else "negative"

    def surest(self, label: str) -> float:
        """Highest confidence of a label; 0 if it does not occur."""
        return max((s.confidence for s in self.segments if s.label == label), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScores:
    """Metrics of one system on labelled clips: shares of time in per cent, and counts of files."""

    neutral_marked: float
    with_sound: float
    nobody: float
    talking: float
    false_faces: float
    right: int
    wrong: int
    nothing: int
    accuracy: float
    mean_recall: float
    sure_labels: int
    sure_labels_right: int


def score_clips(clips: Sequence[LabelledClip], answers: Mapping[str, Answer]) -> ClipScores:
    """All metrics of a system's answers by file name; clips without an answer are left out."""
    pairs = [(clip, answers[clip.file]) for clip in clips if clip.file in answers]
    sure = [(c, a) for c, a in pairs if c.sure]
    neutral = [(c, a) for c, a in sure if c.neutral]
    told = [a.dominant == c.sentiment for c, a in sure if c.sentiment in CLASSES]
    silent = [a.dominant == NOTHING for c, a in sure if c.sentiment in CLASSES]
    classes = [(NOTHING if c.neutral else c.sentiment, a) for c, a in sure if c.sentiment != "mixed"]
    confident = [label == truth for truth, a in classes for label in CLASSES if a.surest(label) >= 0.9]
    return ClipScores(
        neutral_marked=_marked(neutral),
        with_sound=_marked([(c, a) for c, a in neutral if not c.quiet]),
        nobody=_marked([(c, a) for c, a in neutral if c.empty]),
        talking=_marked([(c, a) for c, a in neutral if c.voice and not c.empty and c.kind in _TALKING]),
        false_faces=_faces([a for c, a in pairs if c.empty]),
        right=sum(told),
        wrong=len(told) - sum(told) - sum(silent),
        nothing=sum(silent),
        accuracy=100 * _mean([truth == a.dominant for truth, a in classes]),
        mean_recall=100
        * _mean([_mean([a.dominant == c for t, a in classes if t == c]) for c in (*CLASSES, NOTHING)]),
        sure_labels=len(confident),
        sure_labels_right=sum(confident),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UntrimmedScores:
    """Metrics of untrimmed videos in per cent: average mAP@0.1:0.3, and time labelled right by kind."""

    average_map: float
    time_right: float
    time_right_neutral: float


Truth = Mapping[str, tuple[float, list[GroundTruthSegment]]]
"""Duration in seconds and labelled segments of each video."""


def read_untrimmed(labels: Path) -> Truth:
    """Read the ground truth from a `labels.json` in TSL300's format."""
    names = {"n": "negative", "p": "positive"}
    return {
        video: (
            float(entry["duration"]),
            [
                GroundTruthSegment(names[a["label"]], float(a["segment"][0]), float(a["segment"][1]))
                for a in entry["annotations"]
            ],
        )
        for video, entry in json.loads(labels.read_text(encoding="utf-8"))["database"].items()
    }


def score_untrimmed(truth: Truth, answers: Mapping[str, Answer], *, floor: float = 0.5) -> UntrimmedScores:
    """Metrics of a system's answers by video name; only segments with a confidence of at least `floor` mark time."""
    emotional = [video for video, (_, spans) in truth.items() if spans and video in answers]
    calm = [video for video, (_, spans) in truth.items() if not spans and video in answers]
    found = {
        video: [Proposal(s.label, s.confidence, s.start, s.end) for s in answers[video].segments]
        for video in (*emotional, *calm)
    }
    precision = (
        evaluate_detections({v: truth[v][1] for v in emotional}, found).average_map if emotional else 0
    )
    return UntrimmedScores(
        average_map=100 * precision,
        time_right=100 * _mean([_time_right(*truth[v], answers[v], floor) for v in emotional]),
        time_right_neutral=100 * _mean([_time_right(*truth[v], answers[v], floor) for v in calm]),
    )


def _time_right(duration: float, spans: Sequence[GroundTruthSegment], answer: Answer, floor: float) -> float:
    times = np.arange(0, duration, _TIME_STEP)
    wanted, found, best = (np.zeros(len(times)) for _ in range(3))
    for label, start, end in spans:
        wanted[(times >= start) & (times < end)] = 1 + CLASSES.index(label)
    for s in answer.segments:
        inside = (times >= s.start) & (times < s.end) & (s.confidence > best) & (s.confidence >= floor)
        found[inside], best[inside] = 1 + CLASSES.index(s.label), s.confidence
    return _mean(wanted == found)


def _marked(pairs: Sequence[tuple[LabelledClip, Answer]]) -> float:
    """Share of the files' time that is marked, in per cent."""
    total = sum(answer.duration for _, answer in pairs)
    return 100 * sum(a.share * a.duration for _, a in pairs) / total if total else float("nan")


def _faces(answers: Sequence[Answer]) -> float:
    total = sum(answer.duration for answer in answers)
    return 100 * sum(_mean(a.face_present) * a.duration for a in answers) / total if total else float("nan")


def _mean(values: Sequence[float] | Sequence[bool] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
