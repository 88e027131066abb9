"""`sentiloc train`: FSENet on extracted or published features. Every row of the paper's ablation tables is
a switch.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from sentiloc.model.fsenet.network import FSENetConfig
    from sentiloc.model.fsenet.train import TrainConfig

Option = typer.Option
Data = Annotated[Path, typer.Argument(help="Folder of features and labels (see docs/training.md).")]
Run = Annotated[Path, Option("--output", "-o", help="Run folder: config, log, best.pt, last.pt.")]
Task = Annotated[
    Literal["fsenet", "cten", "gim"],
    Option(help="Which system: sentiment, emotions or expressions (docs/other_systems.md)."),
]
Recipe = Annotated[
    Literal["paper", "quick", "starter"],
    Option(
        help="Where hyper-parameters start from; quick is for a CPU. starter rebuilds the shipped package."
    ),
]
Supervision = Annotated[
    Literal["point", "video", "full"], Option(help="Labels that training reads (Table 1).")
]
Spec = Annotated[Path | None, Option(help="Package or spec.json that the features must match.")]
Points = Annotated[Path | None, Option(help="Point label file, if not the folder's own.")]
Modalities = Annotated[str, Option(help="Streams to use: letters of A, V, F (Tables 4 and 9).")]
Stage1 = Annotated[bool, Option(help="Face-guided attention, eq. 1 (Table 5).")]
Stage2 = Annotated[bool, Option(help="Audio-visual attention, eq. 2 (Table 5).")]
Gsp = Annotated[bool, Option(help="Global sentiment perception, eq. 3 and 10 (Table 5).")]
PseudoLabel = Annotated[
    Literal["full", "threshold", "step", "none", "gaussian"],
    Option(help="Eq. 8 or part of it (Table 6); gaussian: GIM's soft labels in place of eq. 7."),
]
Frame = Annotated[bool, Option(help="L_frame, eq. 11 (Table 7).")]
FrameGlo = Annotated[bool, Option(help="L_frame of the global scores, eq. 11 (Table 7).")]
Contrast = Annotated[bool, Option(help="PSSC contrast, eq. 4-6 (Table 7).")]
Window = Annotated[int, Option(min=1, help="Window of eq. 7 in snippets (Table 8).")]
Beta = Annotated[float, Option(min=0, max=1, help="Floor of eq. 7 (Table 8).")]
Tau = Annotated[float, Option(min=0, max=1, help="Non-sentiment threshold of eq. 8.")]
Share = Annotated[int, Option(min=1, help="K = T // k of eq. 5 (Fig. 5).")]
Distance = Annotated[Literal["cosine", "dot", "l1", "l2"], Option(help="Similarity of eq. 4 (Table 10).")]
Lambda1 = Annotated[float, Option(min=0, help="Weight of the frame losses, eq. 12 (Fig. 6).")]
Lambda2 = Annotated[float, Option(min=0, help="Weight of the contrast, eq. 12 (Fig. 6).")]
Gamma = Annotated[float, Option(min=0, help="Exponent of the focal loss.")]
Base = Annotated[Literal["paper", "bce"] | None, Option(help="Base loss, if not by supervision.")]
Inside = Annotated[bool, Option(help="Eq. 8's sum inside windows too, as printed.")]
Erasing = Annotated[
    float | None, Option(min=0, max=1, help="With video supervision: CTEN's erasing, at this theta (0.7).")
]
Prototype = Annotated[Literal["anchor", "own"], Option(help="Prototype of the negatives in eq. 6.")]
Served = Annotated[
    Literal["cas", "global", "mean"], Option(help="Scores that inference uses: eq. 9, 10 or both.")
]
Epochs = Annotated[int | None, Option(min=1, help="Instead of the recipe's.")]
BatchSize = Annotated[int | None, Option(min=1, help="Instead of the recipe's.")]
LearningRate = Annotated[float | None, Option(min=0, help="Instead of the recipe's.")]
Width = Annotated[int | None, Option(help="Feature width d; the paper has 512.")]
AttentionWindow = Annotated[int | None, Option(min=1, help="Local attention: snippets to either side.")]
StreamDropout = Annotated[
    float | None, Option(min=0, max=1, help="Hide whole streams, to learn their absence.")
]
ValFraction = Annotated[float | None, Option(min=0, max=0.9, help="Held-out share of train, for selection.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"], Option(help="auto: bf16 where the device has it.")
]
Seed = Annotated[int | None, Option(help="Seed of everything random.")]
Resume = Annotated[bool, Option("--resume", help="Go on with the run in the folder.")]


def train(
    data: Data,
    run: Run,
    task: Task = "fsenet",
    recipe: Recipe = "paper",
    supervision: Supervision = "point",
    spec: Spec = None,
    points: Points = None,
    modalities: Modalities = "AVF",
    stage1: Stage1 = True,
    stage2: Stage2 = True,
    gsp: Gsp = True,
    pseudo_label: PseudoLabel = "full",
    frame: Frame = True,
    frame_glo: FrameGlo = True,
    sc: Contrast = True,
    w: Window = 7,
    beta: Beta = 0.6,
    tau: Tau = 0.95,
    k: Share = 8,
    distance: Distance = "cosine",
    lambda1: Lambda1 = 1.0,
    lambda2: Lambda2 = 0.05,
    gamma: Gamma = 2.0,
    base: Base = None,
    add_inside: Inside = False,
    contrast: Prototype = "anchor",
    erasing: Erasing = None,
    fusion: Served = "cas",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    width: Width = None,
    attention_window: AttentionWindow = None,
    stream_dropout: StreamDropout = None,
    val_fraction: ValFraction = None,
    precision: Precision = "auto",
    seed: Seed = None,
    resume: Resume = False,
) -> None:
    """Train FSENet on features; the best checkpoint is chosen on held-out training videos.

    With --recipe starter, DATA is the folder of faces, voices and clips that the shipped package is built from.
    """
    if task != "fsenet":
        from sentiloc.cli.training.train_systems import Sizes, train_system

        sizes = Sizes(quick=recipe == "quick", epochs=epochs, width=width, seed=seed or 0)
        train_system(task, data, run, sizes, resume=resume)
        return
    if recipe == "starter":
        _rebuild_starter(data, run, seed or 0)
        return
    options = {name: value for name, value in locals().items() if value is not None}
    _train_fsenet(data, run, _network(data, spec, modalities, options), points, options)


def _train_fsenet(
    data: Path, run: Path, network: FSENetConfig, points: Path | None, options: dict[str, Any]
) -> None:
    from sentiloc.cli.training.progress import training_progress
    from sentiloc.model.fsenet.datasets import load_items
    from sentiloc.model.fsenet.train import split_items
    from sentiloc.model.fsenet.train import train as run_training

    config, is_full = _config(network, options), options["supervision"] == "full"
    items = load_items(data, "train", network, points_file=points, need_points=not is_full)
    kept, held_out = split_items(items, config.val_fraction, config.seed)
    typer.echo(f"{len(kept)} videos to train on, {len(held_out)} held out", err=True)
    with training_progress() as progress:
        result = run_training(
            config, kept, held_out, run_dir=run, resume=options["resume"], progress=progress
        )
    if held_out:
        typer.echo(f"{run / 'best.pt'}: mAP {result.best_map:.4f} held out, epoch {result.best_epoch}")
    else:
        typer.echo(f"{run / 'last.pt'}: no video was held out, so nothing was selected")


def _rebuild_starter(data: Path, run: Path, seed: int) -> None:
    """Extractors that are missing, sequences, FSENet, calibration; the package replaces the shipped one."""
    import logging

    from recipes.starter.build import PACKAGE, build
    from sentiloc.model.package import shipped_models_dir

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    fitted = build(data, run, shipped_models_dir() / PACKAGE, seed)
    typer.echo(f"{shipped_models_dir() / PACKAGE}: calibration error {fitted.calibration_error:.3f} held out")


def _network(data: Path, spec: Path | None, modalities: str, options: dict[str, Any]) -> FSENetConfig:
    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.fsenet.datasets import folder_config
    from sentiloc.model.fsenet.network import FSENetConfig

    letters = set(modalities.upper())
    if not letters or letters - set("AVF"):
        raise typer.BadParameter("letters of A, V and F", param_hint="--modalities")
    wanted = None if spec is None else parse_stored_spec(spec / "spec.json" if spec.is_dir() else spec)
    network = folder_config(data, "train", wanted, **_of(FSENetConfig, options))
    return replace(
        network,
        visual_dim=network.visual_dim if "V" in letters else None,
        audio_shape=network.audio_shape if "A" in letters else None,
        face_dim=network.face_dim if "F" in letters else None,
    )


def _config(network: FSENetConfig, options: dict[str, Any]) -> TrainConfig:
    from sentiloc.model.fsenet.losses import LossConfig
    from sentiloc.model.fsenet.train import RECIPES, TrainConfig

    recipe = RECIPES[options["recipe"]]
    loss = replace(recipe.loss, **_of(LossConfig, options))
    return replace(recipe, **{**_of(TrainConfig, options), "network": network, "loss": loss})


def _of(config: type, options: dict[str, Any]) -> dict[str, Any]:
    """The options that a configuration class has a field for."""
    names = {field.name for field in fields(config)}
    return {name: value for name, value in options.items() if name in names}
