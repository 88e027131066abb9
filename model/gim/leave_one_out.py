"""Leave-one-subject-out training and evaluation of GIM (MEGC2021), and the calibration fitted on its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sentiloc.model.evaluation.confidence import Confidence, fit_confidence
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.gim.evaluation import evaluate_items, spot_items
from sentiloc.model.gim.items import ExpressionItem
from sentiloc.model.gim.labels import EXPRESSIONS
from sentiloc.model.gim.spotting import DEFAULT_RULE, Counts, SpottedExpression, SpottingRule, add_counts
from sentiloc.model.gim.training import GIMResult, GIMTrainConfig, train_gim
from sentiloc.model.segments import Proposal
from sentiloc.model.training.epochs import Progress

EVERYTHING = SpottingRule(min_contrast=0.0)
"""Every expression that serving could show, whatever its contrast."""


def hold_out(
    items: Sequence[ExpressionItem], fraction: float, seed: int
) -> tuple[list[ExpressionItem], list[ExpressionItem]]:
    """Items to train on and a share of them for choosing the epoch; the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(items))[: round(fraction * len(items))]
    held = set(order.tolist())
    kept = [item for index, item in enumerate(items) if index not in held]
    return kept, [item for index, item in enumerate(items) if index in held]


class LeftOut(NamedTuple):
    """The outcome of leave-one-subject-out: counts by class and overall, the runs, and the expressions found in each
    video by the network that never saw its subject.
    """

    counts: dict[str, Counts]
    runs: list[GIMResult]
    found: dict[str, list[SpottedExpression]]


def leave_one_subject_out(
    config: GIMTrainConfig,
    items: Sequence[ExpressionItem],
    rule: SpottingRule = DEFAULT_RULE,
    progress: Progress | None = None,
    *,
    run_dir: Path | None = None,
    resume: bool = False,
    val_fraction: float = 0.0,
    record: dict[str, Any] | None = None,
) -> LeftOut:
    """MEGC2021: each subject is spotted by a network that never saw them; counts are added up over all.

    run_dir: it contains a folder for each subject's run; with `resume`, finished runs are not trained again.
    val_fraction: share of the other subjects' videos that chooses the epoch; 0 takes the last one.
    """
    rows, runs = [], []
    raw: dict[str, list[SpottedExpression]] = {}
    for number, subject in enumerate(sorted({item.subject for item in items})):
        folder = None if run_dir is None else run_dir / f"subject-{number:02d}"
        own = [item for item in items if item.subject == subject]
        others, val = hold_out([i for i in items if i.subject != subject], val_fraction, config.seed)
        run = train_gim(config, others, progress, val_items=val, run_dir=folder, resume=resume, record=record)
        rows.append(evaluate_items(run.network, own, rule))
        # Without a minimum contrast, because the calibration must also see weak proposals.
        raw |= dict(zip((i.name for i in own), spot_items(run.network, own, EVERYTHING), strict=True))
        runs.append(run)
    counts = {name: add_counts(row[name] for row in rows) for name in (*EXPRESSIONS, "overall")}
    return LeftOut(counts, runs, raw)


def left_out_confidence(left_out: LeftOut, items: Sequence[ExpressionItem], frame_rate: float) -> Confidence:
    """Fit a calibration on expressions found in unseen subjects; correct at MEGC2021's IoU of 0.5."""
    found = {
        name: [
            Proposal(
                # Offsets are inclusive frames, so the segment ends with the next frame.
                EXPRESSIONS[row.class_index],
                row.score,
                row.onset / frame_rate,
                (row.offset + 1) / frame_rate,
            )
            for row in rows
        ]
        for name, rows in left_out.found.items()
    }
    truth = {
        item.name: [
            GroundTruthSegment(EXPRESSIONS[e.class_index], e.onset / frame_rate, (e.offset + 1) / frame_rate)
            for e in item.expressions
        ]
        for item in items
    }
    return fit_confidence(found, truth, tiou=0.5)
