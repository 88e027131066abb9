"""Does confidence match the share of correct segments on real video? The share of right segments by stated confidence
and by evidence.

    python -m experiments.reliability --data DATA --answers FOLDER

FOLDER holds the results that `experiments.real_world` wrote of the shipped starter. Every segment that a threshold of 0
would show counts: in a labelled clip that both people are sure of it is right if its label is the clip's, in an
untrimmed video if half of its time has its label. Segments without a face rest on sound alone. The bench is small, so
read the counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.real_world import Bench, open_bench
from experiments.starter import ROOT, STARTER
from recipes.starter.development import HALVES, half_of
from sentiloc.model.package import load_package
from sentiloc.model.proposals.calibration import Calibration, expected_calibration_error
from sentiloc.model.proposals.rule import share_unseen
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Result, parse_result
from sentiloc.model.segments import Segment

RESULTS = Path(__file__).parent / "results" / "reliability.json"
PLOT = ROOT / "docs" / "pictures" / "reliability_real.png"
# Five bins: there are some fifty segments.
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOSTLY = 0.8
"""A stream with at least this share of the evidence, or of the time, counts as the only one."""

Kind = Literal["sound alone", "face alone", "face and sound"]
KINDS: tuple[Kind, ...] = ("sound alone", "face alone", "face and sound")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A segment: its confidence, whether it is right, its evidence, and the half of its video."""

    confidence: float
    right: bool
    kind: Kind
    half: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Segments whose confidence lies between two edges: how many, mean confidence, share right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def kind_of(segment: Segment, unseen: float) -> Kind:
    """What a segment rests on; `unseen` is its share of time without a face."""
    if unseen >= MOSTLY:
        return "sound alone"
    face = segment.evidence.face if segment.evidence else 0.0
    return "face alone" if face >= MOSTLY else "face and sound"


def covered(segment: Segment, spans: Sequence[tuple[str, float, float]]) -> float:
    """Share of a segment's time that has its label; `spans` are label, start and end, and do not overlap."""
    both = sum(
        max(0.0, min(segment.end, end) - max(segment.start, start))
        for label, start, end in spans
        if label == segment.label
    )
    return both / (segment.end - segment.start)


def grade(bench: Bench, results: Mapping[str, Result], calibration: Calibration) -> list[Graded]:
    """Every segment of the sure clips and of the untrimmed videos."""
    graded = []
    for clip in bench.clips:
        if clip.sure and clip.sentiment != "mixed":
            for segment, kind in _shown(results[clip.file], calibration):
                right = segment.label == clip.sentiment
                graded.append(Graded(confidence=segment.confidence, right=right, kind=kind, half=clip.half))
    for video, (_, truth) in bench.untrimmed.items():
        spans = [(row.label, row.start, row.end) for row in truth]
        for segment, kind in _shown(results[video], calibration):
            right = covered(segment, spans) >= 0.5
            graded.append(Graded(confidence=segment.confidence, right=right, kind=kind, half=half_of(video)))
    return graded


def bins(rows: Sequence[Graded]) -> list[Bin]:
    """The bins that are not empty."""
    found = []
    for low, high in pairwise(EDGES):
        inside = [row for row in rows if low <= row.confidence < high or row.confidence == high == 1.0]
        if inside:
            found.append(
                Bin(
                    low=low,
                    high=high,
                    count=len(inside),
                    confidence=float(np.mean([row.confidence for row in inside])),
                    right=float(np.mean([row.right for row in inside])),
                )
            )
    return found


def summarize(rows: Sequence[Graded]) -> dict[str, object]:
    """Counts, means and error of some segments, and their bins."""
    if not rows:
        return {"count": 0}
    sure, right = [row.confidence for row in rows], [float(row.right) for row in rows]
    return {
        "count": len(rows),
        "mean_confidence": float(np.mean(sure)),
        "right": float(np.mean(right)),
        "calibration_error": expected_calibration_error(sure, right, bins=len(EDGES) - 1),
        "bins": [asdict(row) for row in bins(rows)],
    }


def plot(rows: Sequence[Graded], path: Path) -> None:
    """One panel a kind of evidence: share right against stated confidence, with the counts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(KINDS), sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        for half, colour in zip((*HALVES, "all"), ("#c58a2a", "#2c5f8a", "#333333"), strict=True):
            chosen = bins([row for row in rows if row.kind == kind and half in (row.half, "all")])
            marker = "o" if half == "all" else "x"
            axes.plot(
                [b.confidence for b in chosen], [b.right for b in chosen], marker, color=colour, label=half
            )
            for part in chosen if half == "all" else ():
                place = (part.confidence, part.right)
                axes.annotate(str(part.count), place, textcoords="offset points", xytext=(6, -9), fontsize=7)
        axes.set(xlim=(0, 1), ylim=(-0.04, 1.04), xlabel="stated confidence", title=kind)
    panels[0].set_ylabel("share right")
    panels[-1].legend(fontsize=7, loc="lower right")
    figure.savefig(path, metadata={"Software": None})


def _shown(result: Result, calibration: Calibration) -> list[tuple[Segment, Kind]]:
    options = replace(result.options, threshold=0.0)
    found = cut_segments(result.curve, result.video.duration, calibration, options)
    unseen = share_unseen(result.curve.face_present, found, result.curve.step)
    return [(segment, kind_of(segment, share)) for segment, share in zip(found, unseen, strict=True)]


def main() -> None:
    """Grade, print, draw, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True, help="the starter's results by real_world")
    arguments = parser.parse_args()
    bench, package = open_bench(arguments.data), load_package(STARTER)
    results = {
        name: parse_result(
            json.loads((arguments.answers / f"{Path(name).stem}.json").read_text(encoding="utf-8"))
        )
        for name in bench.files
    }
    rows = grade(bench, results, package.calibration)
    report = {
        half: {
            kind: summarize([r for r in rows if kind in (r.kind, "all") and half in (r.half, "all")])
            for kind in (*KINDS, "all")
        }
        for half in (*HALVES, "all")
    }
    for half, kinds in report.items():
        for kind, row in kinds.items():
            print(f"{half:12} {kind:15} {json.dumps({k: v for k, v in row.items() if k != 'bins'})}")
    plot(rows, PLOT)
    RESULTS.write_text(
        json.dumps({"version": package.spec.version, "halves": report}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
