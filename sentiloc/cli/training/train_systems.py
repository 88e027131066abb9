"""The other two systems on the command line: `sentiloc train --task cten|gim` and the export of what it leaves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentiloc.cli.training.progress import training_progress
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.model.spec import ModelSpec
    from sentiloc.model.training.epochs import Progress

CHECKPOINT = "best.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What the command line says of a run; `quick` starts from the recipe for a CPU instead of the paper's."""

    quick: bool
    epochs: int | None
    width: int | None
    seed: int


def train_system(task: str, data: Path, run: Path, sizes: Sizes, *, resume: bool = False) -> None:
    """Train CTEN or GIM on a folder; with `resume` go on with the run that was begun there."""
    train = _train_cten if task == "cten" else _train_gim
    with training_progress() as progress:
        figures = train(data, run, sizes, resume, progress)
    (run / "result.json").write_text(json.dumps(figures, indent=2) + "\n")
    said = ", ".join(f"{name} {value}" for name, value in figures["test"].items())
    typer.echo(f"{run / CHECKPOINT}: {said or 'nothing to test on'}")


def _train_cten(data: Path, run: Path, sizes: Sizes, resume: bool, progress: Progress) -> dict[str, Any]:
    """CTEN on `emotions.csv`; accuracy and mAP on the split "test", where the folder has one."""
    from sentiloc.model.cten.datasets import folder_spec, load_emotion_items, read_labels
    from sentiloc.model.cten.export import save_cten
    from sentiloc.model.cten.inputs import modality_dims
    from sentiloc.model.cten.network import CTENConfig
    from sentiloc.model.cten.training import CTENTrainConfig, accuracy, detection, train_cten

    classes = tuple(sorted(set(read_labels(data).values())))
    visual, audio = modality_dims(folder_spec(data))
    wide = sizes.width or (64 if sizes.quick else 2048)
    network = CTENConfig(visual_dim=visual, audio_dim=audio, classes=len(classes), width=wide)
    config = CTENTrainConfig(network=network, seed=sizes.seed)
    config = config.quick() if sizes.quick else config
    config = replace(config, epochs=sizes.epochs or config.epochs)
    items = load_emotion_items(data, "train", classes)
    result = train_cten(config, items, progress, run_dir=run, resume=resume)
    save_cten(result.network, classes, run / CHECKPOINT)
    test: dict[str, float] = {}
    if (data / "split_test.txt").exists():
        items = load_emotion_items(data, "test", classes)
        test["accuracy"] = round(accuracy(result.network, items), 4)
        if any(item.segments for item in items):
            test |= {f"mAP@{tiou}": round(v, 4) for tiou, v in detection(result.network, items).items()}
    return {"config": asdict(config), "classes": classes, "losses": result.losses, "test": test}


def _train_gim(data: Path, run: Path, sizes: Sizes, resume: bool, progress: Progress) -> dict[str, Any]:
    """GIM on `points.csv`: on all subjects, and before, where the folder has the truth, with each left out."""
    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.gim.datasets import load_expression_items
    from sentiloc.model.gim.export import save_gim
    from sentiloc.model.gim.network import GIMConfig
    from sentiloc.model.gim.training import GIMTrainConfig, leave_one_subject_out, train_gim

    spec = parse_stored_spec(data / "spec.json")
    if spec.flow is None:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{data / 'spec.json'}: has no flow stream")
    items = load_expression_items(data, spec.flow)
    config = GIMTrainConfig(
        network=GIMConfig(inputs=spec.flow.inputs, width=sizes.width or 64), seed=sizes.seed
    )
    config = config.quick() if sizes.quick else config
    if sizes.epochs is not None:
        stages = (1, min(4, max(sizes.epochs - 2, 1)), max(sizes.epochs - 5, 1))
        config = replace(config, labels=replace(config.labels, stages=stages))
    test: dict[str, float] = {}
    if len({item.subject for item in items}) > 1 and any(item.expressions for item in items):
        counts, _ = leave_one_subject_out(
            config, items, progress=progress, run_dir=run / "left_out", resume=resume
        )
        test = {f"F1 {name}": round(row.f1, 4) for name, row in counts.items()}
    result = train_gim(config, items, progress, run_dir=run, resume=resume)
    save_gim(result.network, run / CHECKPOINT)
    return {
        "config": asdict(config),
        "losses": result.losses,
        "apex_errors": result.apex_errors,
        "test": test,
    }


def export_system(task: str, checkpoint: Path, spec: ModelSpec, package: Path) -> float:
    """Turn such a checkpoint into a package under the name and version of `spec`; the largest difference."""
    if task == "emotion":
        from sentiloc.model.cten.export import emotion_spec, export_cten, load_cten

        network, classes = load_cten(checkpoint)
        return export_cten(network, emotion_spec(spec, classes, spec.name, spec.version), package)
    from sentiloc.model.gim.export import export_gim, load_gim
    from sentiloc.model.gim.spec import expression_spec

    named = expression_spec(spec.name, spec.version, spec.flow)
    return export_gim(load_gim(checkpoint), named, package)
