"""Evaluates runs of CTEN and GIM on a split: accuracy and mAP, or F1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.cli.training.runs import Run


def score_run(run: Run, split: str, data: Path | None) -> dict[str, float]:
    """Metrics by name. GIM's data has no splits. On the run's own data folder, the leave-one-subject-out metrics are
    returned; on another folder (`data`), all videos are scored.
    """
    return _emotion(run, split, data) if run.task == "emotion" else _expression(run, data)


def _emotion(run: Run, split: str, data: Path | None) -> dict[str, float]:
    from sentiloc.cli.training.train_systems import score_cten
    from sentiloc.model.cten.export import load_cten

    network, classes = load_cten(run.checkpoint)
    return score_cten(network, run.data_folder(data), split, classes)


def _expression(run: Run, data: Path | None) -> dict[str, float]:
    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.gim.datasets import load_expression_items
    from sentiloc.model.gim.evaluation import evaluate_items
    from sentiloc.model.gim.export import load_gim
    from sentiloc.model.gim.spec import TRUTH_FILE

    folder = run.data_folder(data)
    # The run's network was trained on all subjects of this folder, so it cannot be scored on them.
    if data is None or folder.resolve() == run.data:
        metrics: dict[str, float] = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))[
            "test"
        ]
        if not metrics:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{folder / TRUTH_FILE}: missing, or of one subject, so no data are new to the run",
            )
        return metrics
    spec = parse_stored_spec(folder / "spec.json")
    if spec.flow is None:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{folder / 'spec.json'}: has no flow stream")
    counts = evaluate_items(load_gim(run.checkpoint), load_expression_items(folder, spec.flow))
    return {f"F1 {name}": round(row.f1, 4) for name, row in counts.items()}
