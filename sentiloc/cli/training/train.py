"""`sentiloc train`: FSENet, CTEN or GIM on extracted or published features. Every row of the papers' ablation tables
is an option; `--config FILE` reads them from YAML.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiloc.cli.destinations import named_folder
from sentiloc.cli.given import given_options
from sentiloc.cli.training.runs import require_run_folder
from sentiloc.cli.training.start import load_start, started_network
from sentiloc.cli.training.train_options import BY_NAME, OPTIONS, RUN, read_option_file
from sentiloc.cli.training.unread import check_given, check_read
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.model.data.items import Item
    from sentiloc.model.fsenet.network import FSENetConfig
    from sentiloc.model.fsenet.train import TrainConfig

Figures = dict[str, float]


def train(context: typer.Context, data: Path, run: Path, **options: Any) -> None:
    """Train FSENet, CTEN or GIM on features; the best checkpoint is chosen on held-out training videos.

    With --recipe starter, DATA is the folder of faces, voices and clips from which the shipped package is built.
    On several GPUs: `torchrun --nproc-per-node GPUS -m sentiloc train ...`.
    """
    # `read_config` has merged the file into the other options already.
    options.pop("config")
    given = given_options(context) & set(options)
    check_given(given, options)
    if options.pop("deterministic"):
        make_deterministic()
    from sentiloc.model.training.parallel import is_first, joined

    seeds = options.pop("seeds")
    with joined():
        if seeds is None:
            train_once(data, run, options, given)
            return
        from sentiloc.cli.training.seeds import aggregate, parse_seeds

        found = {
            seed: train_once(data, run / f"seed-{seed}", {**options, "seed": seed}, given)
            for seed in parse_seeds(seeds)
        }
        if is_first():
            aggregate(found, run)


def train_once(data: Path, run: Path, options: dict[str, Any], given: set[str]) -> Figures:
    """Run one training; returns its metrics on held-out videos by name."""
    chosen = {name: value for name, value in options.items() if value is not None}
    if options["recipe"] != "starter":
        require_run_folder(run, data)
    if options["task"] != "fsenet":
        from sentiloc.cli.training.train_systems import train_system

        return train_system(options["task"], data, run, chosen, given)
    if options["recipe"] == "starter":
        _rebuild_starter(data, run, chosen.get("seed", 0))
        return {}
    network = _network(data, chosen.get("spec"), chosen.get("modalities"), _given(chosen, given))
    if "start" in chosen:
        network = started_network(chosen["start"], network, given)
    return _train_fsenet(data, run, network, chosen.get("points"), _given(chosen, given))


def _given(options: dict[str, Any], given: set[str]) -> dict[str, Any]:
    """The options that were given, and the required ones. The recipe decides the others."""
    always = {"task", "recipe", "supervision", "resume", "precision", "seed"}
    return {name: value for name, value in options.items() if name in given | always}


def make_deterministic() -> None:
    """Let PyTorch use only deterministic operations, and raise if there is none."""
    import os

    import torch

    # cuBLAS is deterministic only with a workspace of fixed size, and reads this at its first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # The benchmark times several algorithms, and another one may win in the next run.
    torch.backends.cudnn.benchmark = False


def _train_fsenet(
    data: Path, run: Path, network: FSENetConfig, points: Path | None, options: dict[str, Any]
) -> Figures:
    from sentiloc.cli.training.progress import training_progress
    from sentiloc.cli.training.runs import wandb_project, write_outcome
    from sentiloc.model.fsenet.datasets import folder_spec, load_items
    from sentiloc.model.fsenet.scoring import evaluate_items, held_out_confidence
    from sentiloc.model.fsenet.train import split_items
    from sentiloc.model.fsenet.train import train as run_training
    from sentiloc.model.package import extractor_id, shipped_models_dir
    from sentiloc.model.training.parallel import is_first

    config = _config(network, options)
    items = load_items(data, "train", network, points_file=points, supervision=config.loss.supervision)
    kept, held_out = split_items(items, config.val_fraction, config.seed)
    _check_held_out(data, held_out)
    typer.echo(f"{len(kept)} videos to train on, {len(held_out)} held out", err=True)
    _report_unlabelled(config.loss.supervision, kept)
    record, initial = _record(data, points, items) | wandb_project(options), None
    if "start" in options:
        before = load_start(options["start"])
        initial, record["start"] = before.state_dict(), str(options["start"])
    with training_progress() as progress:
        result = run_training(
            config,
            kept,
            held_out,
            run_dir=run,
            resume=options.get("resume", False),
            progress=progress,
            record=record,
            initial=initial,
        )
    # Of several processes (torchrun), one writes the results.
    if not is_first():
        return {}
    if "start" in options and held_out:
        earlier = evaluate_items(before, held_out).average_map
        typer.echo(f"{options['start']}: mAP {earlier:.4f} on the same held-out videos")
    try:
        spec = folder_spec(data, network, extractor_id(shipped_models_dir() / "expression"))
        write_outcome(run, spec, held_out_confidence(result.network, held_out))
    except SentilocError as error:
        # Some published features, such as faces of 1024 values, have no extractor here.
        typer.echo(f"{error.detail}: the run can be evaluated, not served", err=True)
    if not held_out:
        typer.echo(f"{run / 'last.pt'}: no video was held out, so nothing was selected")
        return {}
    typer.echo(f"{run / 'best.pt'}: mAP {result.best_map:.4f} held out, epoch {result.best_epoch}")
    return {"mAP": result.best_map}


def _report_unlabelled(supervision: str, items: list[Item]) -> None:
    """Report which videos count as videos without sentiment because they have no label."""
    from sentiloc.model.data.text import listed

    unlabelled = {
        "point": [item.name for item in items if not item.points],
        "video": [item.name for item in items if not item.video_classes().any()],
        "full": [item.name for item in items if not item.segments],
    }[supervision]
    if unlabelled:
        what = "segment" if supervision == "full" else "point"
        typer.echo(
            f"{len(unlabelled)} of them without a {what} count as without sentiment: {listed(unlabelled)}",
            err=True,
        )


def _check_held_out(data: Path, held_out: list[Item]) -> None:
    from sentiloc.model.fsenet.annotations import USUAL_SEGMENTS, find_segments

    if not held_out or any(item.segments for item in held_out):
        return
    where = find_segments(data)
    more = f" and {len(held_out) - 1} more" if held_out[1:] else ""
    raise SentilocError(
        ErrorCode.INVALID_DATA,
        f"{where or data / USUAL_SEGMENTS}: {'' if where else 'missing; '}no segment of {held_out[0].name}{more}, held "
        "out to choose the best checkpoint; add segments, or train with --val-fraction 0",
    )


def _record(data: Path, points: Path | None, items: list[Item]) -> dict[str, Any]:
    from sentiloc.model.fsenet.annotations import label_files
    from sentiloc.model.training.record import make_record

    names = {item.name for item in items}
    features = [path for path in (data / "features" / "train").glob("*/*.npy") if path.stem in names]
    return make_record(data, label_files(data, points), features)


def _rebuild_starter(data: Path, run: Path, seed: int) -> None:
    """Rebuild the starter: missing extractors, sequences, FSENet, calibration.

    The new package replaces the shipped one.
    """
    import logging

    from sentiloc.model.package import shipped_models_dir

    try:
        from recipes.starter.build import PACKAGE, build
    except ModuleNotFoundError as error:
        # A missing library of the recipes is reported elsewhere.
        if (error.name or "").partition(".")[0] != "recipes":
            raise
        detail = (
            "the recipes are not installed; run `python -m sentiloc train` in a checkout of the repository"
        )
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    fitted = build(data, run, shipped_models_dir() / PACKAGE, seed)
    typer.echo(f"{shipped_models_dir() / PACKAGE}: calibration error {fitted.calibration_error:.3f} held out")


def _network(data: Path, spec: Path | None, modalities: str | None, options: dict[str, Any]) -> FSENetConfig:
    """The network for a folder's streams. Named streams must exist."""
    from sentiloc.model.data.feature_store import parse_stored_spec, read_spec
    from sentiloc.model.fsenet.datasets import folder_config
    from sentiloc.model.fsenet.network import FSENetConfig
    from sentiloc.model.fsenet.train import RECIPES

    letters = set((modalities or "AVF").upper())
    if not letters or letters - set("AVF"):
        raise typer.BadParameter("letters of A, V and F", param_hint="--modalities")
    wanted = None if spec is None else parse_stored_spec(spec / "spec.json" if spec.is_dir() else spec)
    shared = {} if "recipe" not in options else _shape(RECIPES[options["recipe"]].network)
    own = read_spec(data)
    if own is not None and own.flow is not None:
        detail = f"{data / 'spec.json'}: the folder contains the flow of faces, which --task gim reads"
        raise SentilocError(ErrorCode.SPEC_MISMATCH, detail)
    try:
        network = folder_config(data, "train", wanted, **{**shared, **_of(FSENetConfig, options)})
    except ValueError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"not a network: {error}") from error
    # AVF is the default, and many folders lack a stream; only named streams must exist.
    missing = sorted(letters - {name[0].upper() for name in network.streams}) if letters != set("AVF") else []
    if missing:
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{data / 'features' / 'train'}: no features for --modalities {', '.join(missing)}",
        )
    return replace(
        network,
        visual_dim=network.visual_dim if "V" in letters else None,
        audio_shape=network.audio_shape if "A" in letters else None,
        face_dim=network.face_dim if "F" in letters else None,
    )


def _shape(network: FSENetConfig) -> dict[str, Any]:
    """A recipe's network options except the streams, which depend on the data."""
    streams = {"visual_dim", "audio_shape", "face_dim", "classes"}
    return {
        field.name: getattr(network, field.name) for field in fields(network) if field.name not in streams
    }


def _config(network: FSENetConfig, options: dict[str, Any]) -> TrainConfig:
    from sentiloc.model.fsenet.losses import LossConfig
    from sentiloc.model.fsenet.train import RECIPES, TrainConfig

    recipe = RECIPES[options["recipe"]]
    loss = replace(recipe.loss, **_of(LossConfig, options))
    check_read(options, network, loss)
    return replace(recipe, **{**_of(TrainConfig, options), "network": network, "loss": loss})


def _of(config: type, options: dict[str, Any]) -> dict[str, Any]:
    """The options for which a configuration class has a field."""
    names = {field.name for field in fields(config)}
    return {name: value for name, value in options.items() if name in names}


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Read options from a YAML file. The command line takes precedence.

    Raises `invalid_data`, naming file and key, for an unknown option or an invalid value.
    """
    # During shell completion, parsing must not fail.
    if path is None or context.resilient_parsing:
        return path
    values = {}
    for key, value in read_option_file(path).items():
        name = str(key).replace("-", "_")
        if name not in BY_NAME:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {key}: there is no such option")
        problem = BY_NAME[name].problem(value)
        if problem:
            raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: {key}: {problem}")
        values[name] = value
    context.default_map = {**(context.default_map or {}), **values}
    return path


def _signature() -> inspect.Signature:
    """The signature for typer: the arguments, and the options of `train_options.py`."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    # Eager: it sets the defaults of the other options, so it is read first.
    config = Annotated[
        Path | None,
        typer.Option(
            callback=read_config, is_eager=True, help="YAML file with options by name.", rich_help_panel=RUN
        ),
    ]
    fixed = [
        ("context", typer.Context, inspect.Parameter.empty),
        (
            "data",
            Annotated[
                Path,
                typer.Argument(metavar="DATA", help="Folder of features and labels (see docs/training.md)."),
            ],
            inspect.Parameter.empty,
        ),
        (
            "run",
            Annotated[
                Path,
                typer.Option(
                    "--output",
                    "-o",
                    parser=named_folder,
                    metavar="PATH",
                    help="Run folder: config, log, best.pt, last.pt.",
                ),
            ],
            inspect.Parameter.empty,
        ),
        ("config", config, None),
    ]
    table = [(option.name, option.annotation, option.default) for option in OPTIONS]
    return inspect.Signature(
        [
            inspect.Parameter(name, keyword, annotation=kind, default=default)
            for name, kind, default in (*fixed, *table)
        ]
    )


train.__signature__ = _signature()  # type: ignore[attr-defined]
