"""CTEN and GIM on the command line: `sentiloc train --task cten|gim`, and the export of their runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from sentiloc.cli.given import refuse
from sentiloc.cli.training.progress import training_progress
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole

if TYPE_CHECKING:
    from sentiloc.model.cten.items import EmotionItem
    from sentiloc.model.cten.network import CTEN
    from sentiloc.model.cten.training import CTENTrainConfig
    from sentiloc.model.gim.training import GIMTrainConfig
    from sentiloc.model.spec import ModelSpec
    from sentiloc.model.training.epochs import Progress

CHECKPOINT = "best.pt"
SPLITS = ("train", "val", "test", "all")
VAL_FRACTION = 0.15
PAPER_SEGMENTS = 10
"""CTEN's section 4.2."""
Options = dict[str, Any]


def train_system(task: str, data: Path, run: Path, options: Options, given: set[str]) -> dict[str, float]:
    """Train CTEN or GIM on a folder with the options of the command line; returns the metrics by name.

    given: the options that were given, as opposed to defaults. It is a usage error if the data or another option makes
    one of them useless.
    """
    from sentiloc.model.training.parallel import is_first

    train, check = (_train_cten, _check_cten) if task == "cten" else (_train_gim, _check_gim)
    check(data, options, given)
    with training_progress() as progress:
        metrics = train(data, run, options, progress)
    # Of several processes (torchrun), one writes the results.
    if not is_first():
        return {}
    write_whole(run / "result.json", json.dumps(metrics, indent=2) + "\n")
    reached: dict[str, float] = metrics["test"] or metrics["held_out"]
    summary = ", ".join(f"{name} {value}" for name, value in reached.items())
    typer.echo(f"{run / CHECKPOINT}: {summary or 'nothing to test on'}")
    return reached


def _check_cten(data: Path, options: Options, given: set[str]) -> None:
    from sentiloc.model.data.text import read_names

    split = data / "split_val.txt"
    if read_names(split):
        refuse(given, {"val_fraction"}, f"{split} names the held-out videos")
    if options.get("erase") is False:
        refuse(given, {"theta"}, "--no-erase leaves out the erasing, which reads it")


def _check_gim(data: Path, options: Options, given: set[str]) -> None:
    from sentiloc.model.gim.spec import TRUTH_FILE

    if not (data / TRUTH_FILE).exists() and options.get("val_fraction"):
        refuse(given, {"val_fraction"}, f"without {data / TRUTH_FILE} no held-out video selects an epoch")
    if options.get("epochs", 3) < 3:
        refuse(given, {"epochs"}, "GIM trains in three stages of at least one epoch")
    if given >= {"smooth_weight", "norm_weight", "contrast_weight"}:
        refuse(given, {"benchmark"}, "all of its lambdas are given")
    if options.get("strategy") == "hard":
        refuse(given, {"overlap"}, "--strategy hard gives all frames the same label")


def _chosen(options: Options, **names: str) -> Options:
    """The configuration fields that are set by given options."""
    return {field: options[name] for field, name in names.items() if name in options}


def _train_cten(data: Path, run: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Train CTEN on `emotions.csv`. The epoch is selected on the split "val", or on a share of "train"; accuracy and
    mAP are measured on the split "test", if the folder has one.
    """
    from sentiloc.cli.training.runs import wandb_project, write_outcome
    from sentiloc.model.cten.datasets import (
        LABEL_FILE,
        SEGMENT_FILE,
        folder_spec,
        load_emotion_items,
        read_labels,
        validation_items,
    )
    from sentiloc.model.cten.export import CONFIDENCE_THRESHOLD, emotion_spec, save_cten
    from sentiloc.model.cten.training import held_out_confidence, train_cten
    from sentiloc.model.data.text import read_names
    from sentiloc.model.training.parallel import is_first
    from sentiloc.model.training.record import make_record

    # The order of a set differs between processes; a resumed run must give every class its old index.
    classes = tuple(sorted(set(read_labels(data).values())))
    config = _cten_config(data, options, len(classes))
    number = config.network.segments
    items = load_emotion_items(data, "train", classes, number)
    items, val = validation_items(
        data, items, classes, options.get("val_fraction", VAL_FRACTION), config.seed, number
    )
    files = [data / n for n in (LABEL_FILE, SEGMENT_FILE, "spec.json", *(f"split_{s}.txt" for s in SPLITS))]
    record = {"task": "emotion"} | make_record(data, files, (data / "features").glob("*/*/*.npy"))
    record |= wandb_project(options)
    result = train_cten(
        config,
        items,
        progress,
        val_items=val,
        run_dir=run,
        resume=options.get("resume", False),
        record=record,
    )
    if not is_first():
        return {}
    save_cten(result.network, classes, run / CHECKPOINT)
    spec = emotion_spec(folder_spec(data), classes, run.resolve().name, "1", number)
    fitted = held_out_confidence(result.network, val, classes)
    if not fitted.calibration.calibrated:
        # The fitted threshold applies to calibrated confidence, but this run shows raw scores.
        fitted = replace(fitted, threshold=CONFIDENCE_THRESHOLD)
    write_outcome(run, spec, fitted)
    test = score_cten(result.network, data, "test", classes) if read_names(data / "split_test.txt") else {}
    held_out = {"held-out accuracy": round(_accuracy(result.network, val), 4)} if val else {}
    return {
        "config": asdict(config),
        "classes": classes,
        "losses": result.losses,
        "best_epoch": result.best_epoch,
        "held_out": held_out,
        "test": test,
    }


def _cten_config(data: Path, options: Options, classes: int) -> CTENTrainConfig:
    from sentiloc.model.cten.datasets import folder_spec
    from sentiloc.model.cten.inputs import modality_dims
    from sentiloc.model.cten.network import CTENConfig
    from sentiloc.model.cten.training import CTENTrainConfig

    visual, audio = modality_dims(folder_spec(data))
    quick = options["recipe"] == "quick"
    # 2048 is the paper's.
    width = options.get("width", 64 if quick else 2048)
    network = CTENConfig(visual_dim=visual, audio_dim=audio, classes=classes, width=width)
    if options["recipe"] == "paper":
        network = replace(network, segments=PAPER_SEGMENTS)
    network = replace(network, **_chosen(options, intra="intra", inter="inter", segments="segments"))
    if "modalities" in options:
        network = replace(network, modalities=parse_modalities(options["modalities"], options))
    config = CTENTrainConfig(network=network, seed=options.get("seed", 0))
    named = _chosen(
        options,
        epochs="epochs",
        batch_size="batch_size",
        learning_rate="learning_rate",
        theta="theta",
        erasing="erase",
    )
    return replace(config.quick() if quick else config, **named)


def parse_modalities(text: str, options: Options) -> Literal["AV", "A", "V"]:
    """CTEN's modalities from letters; a usage error for other letters, or for `--inter` with one alone."""
    letters = set(text.upper())
    if not letters or letters - set("AV"):
        raise typer.BadParameter("CTEN reads A and V", param_hint="--modalities")
    if letters == set("AV"):
        return "AV"
    if options.get("inter"):
        raise typer.BadParameter("needs both modalities", param_hint="--inter")
    return "A" if letters == {"A"} else "V"


def _accuracy(network: CTEN, items: Sequence[EmotionItem]) -> float:
    from sentiloc.model.cten.training import accuracy

    return accuracy(network, items)


def score_cten(network: CTEN, data: Path, split: str, classes: tuple[str, ...]) -> dict[str, float]:
    """Accuracy on a split, and mAP if it has annotated segments."""
    from sentiloc.model.cten.datasets import load_emotion_items
    from sentiloc.model.cten.training import accuracy, detection

    items = load_emotion_items(data, split, classes, network.config.segments)
    found = {"accuracy": round(accuracy(network, items), 4)}
    if any(item.segments for item in items):
        found |= {f"mAP@{tiou}": round(v, 4) for tiou, v in detection(network, items).items()}
    return found


def _train_gim(data: Path, run: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Train GIM on `points.csv` with all subjects.

    If the folder has ground truth, first train with each subject left out.
    """
    from sentiloc.cli.training.runs import wandb_project, write_outcome
    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.evaluation.confidence import without_held_out
    from sentiloc.model.gim.datasets import load_expression_items
    from sentiloc.model.gim.export import save_gim
    from sentiloc.model.gim.leave_one_out import hold_out, leave_one_subject_out, left_out_confidence
    from sentiloc.model.gim.spec import (
        CONFIDENCE_THRESHOLD,
        FLOW_FOLDER,
        FRAME_RATE,
        POINT_FILE,
        TRUTH_FILE,
        expression_spec,
    )
    from sentiloc.model.gim.training import train_gim
    from sentiloc.model.training.parallel import is_first
    from sentiloc.model.training.record import make_record

    spec = parse_stored_spec(data / "spec.json")
    if spec.flow is None:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{data / 'spec.json'}: has no flow stream")
    items = load_expression_items(data, spec.flow)
    config, share = _gim_config(spec.flow.inputs, options), options.get("val_fraction", VAL_FRACTION)
    if not any(item.expressions for item in items):
        share = 0.0  # Without ground truth nothing selects an epoch, so every video is trained on.
    files = [data / POINT_FILE, data / TRUTH_FILE, data / "spec.json"]
    record = {"task": "expression"} | make_record(data, files, (data / FLOW_FOLDER).glob("*.npy"))
    record |= wandb_project(options)
    shared: dict[str, Any] = {"resume": options.get("resume", False), "record": record}
    test, fitted = (
        {},
        without_held_out("no subject was left out: expressions.csv and two subjects are needed"),
    )
    if len({item.subject for item in items}) > 1 and any(item.expressions for item in items):
        left_out = leave_one_subject_out(
            config, items, progress=progress, run_dir=run / "left_out", val_fraction=share, **shared
        )
        test = {f"F1 {name}": round(row.f1, 4) for name, row in left_out.counts.items()}
        fitted = left_out_confidence(left_out, items, FRAME_RATE)
    kept, val = hold_out(items, share, config.seed)
    result = train_gim(config, kept, progress, val_items=val, run_dir=run, **shared)
    if not is_first():
        return {}
    save_gim(result.network, run / CHECKPOINT)
    if not fitted.calibration.calibrated:
        fitted = replace(fitted, threshold=CONFIDENCE_THRESHOLD)  # Of raw scores, as in `_train_cten`.
    write_outcome(run, expression_spec(run.resolve().name, "1", spec.flow), fitted)
    return {
        "config": asdict(config),
        "losses": result.losses,
        "apex_errors": result.apex_errors,
        "best_epoch": result.best_epoch,
        "held_out": {},
        "test": test,
    }


def _gim_config(inputs: int, options: Options) -> GIMTrainConfig:
    from sentiloc.model.gim.losses import CAS_ME_2, SAMM_LV
    from sentiloc.model.gim.network import GIMConfig
    from sentiloc.model.gim.training import GIMTrainConfig

    config = GIMTrainConfig(
        network=GIMConfig(inputs=inputs, width=options.get("width", 64)), seed=options.get("seed", 0)
    )
    config = config.quick() if options["recipe"] == "quick" else config
    if "benchmark" in options:
        config = replace(config, weights=CAS_ME_2 if options["benchmark"] == "casme2" else SAMM_LV)
    labels = replace(config.labels, **_chosen(options, strategy="strategy", overlap="overlap"))
    if "durations" in options:
        labels = replace(labels, durations=parse_durations(options["durations"]))
    if "epochs" in options:
        epochs = options["epochs"]
        # The proportions of the default stages (1, 4 and 95 epochs) for a shorter run; each stage has at
        # least one epoch.
        labels = replace(labels, stages=(1, min(4, max(epochs - 2, 1)), max(epochs - 5, 1)))
    weights = replace(
        config.weights,
        **_chosen(options, smooth="smooth_weight", norm="norm_weight", contrast="contrast_weight"),
    )
    named = _chosen(options, batch_size="batch_size", learning_rate="learning_rate", intensity="intensity")
    return replace(config, labels=labels, weights=weights, **named)


def parse_durations(text: str) -> tuple[int, int]:
    """k_c of macro and micro from "32,16"; a usage error for anything else."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r} is not two numbers of frames, as 32,16", param_hint="--durations")
    return int(parts[0]), int(parts[1])


def export_system(task: str, checkpoint: Path, spec: ModelSpec, package: Path) -> float:
    """Turn a checkpoint of CTEN or GIM into a package with the name and version of `spec`.

    Returns the largest difference of its outputs from PyTorch's.
    """
    if task == "emotion":
        from sentiloc.model.cten.export import emotion_spec, export_cten, load_cten

        network, classes = load_cten(checkpoint)
        named = emotion_spec(spec, classes, spec.name, spec.version, network.config.segments)
        # A spec of features has the threshold of sentiment.
        if spec.task == task:
            named = replace(named, confidence_threshold=spec.confidence_threshold)
        return export_cten(network, named, package)
    from sentiloc.model.gim.export import export_gim, load_gim
    from sentiloc.model.gim.spec import expression_spec

    named = replace(
        expression_spec(spec.name, spec.version, spec.flow), confidence_threshold=spec.confidence_threshold
    )
    return export_gim(load_gim(checkpoint), named, package)
