"""Finds a finished run for other commands: its checkpoint, its task, and its training data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentiloc.model.data.text import read_json
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole

if TYPE_CHECKING:
    from sentiloc.model.evaluation.confidence import Confidence
    from sentiloc.model.spec import ModelSpec

CONFIG, SPEC, CALIBRATION = "config.json", "spec.json", "calibration.json"
BEST, LAST = "best.pt", "last.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder; `task` is sentiment, emotion or expression; `data` is None if the run does not state it."""

    folder: Path
    checkpoint: Path
    task: str
    data: Path | None

    def data_folder(self, given: Path | None) -> Path:
        """The data folder: the given one, else the one of the training.

        Raises `invalid_data` if it is missing, and `spec_mismatch` if its features are not those of the run.
        """
        found = given or self.data
        if found is None or not found.is_dir():
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{self.folder / CONFIG}: data folder {found} does not exist; name it with --data",
            )
        self._check_features(found)
        return found

    def _check_features(self, folder: Path) -> None:
        """Raise `spec_mismatch` for features that are not those of the run; published ones have no spec."""
        from sentiloc.model.data.feature_store import parse_stored_spec, read_spec
        from sentiloc.model.spec import PUBLISHED

        stored, own = read_spec(folder), self.folder / SPEC
        if stored is None or not own.exists():
            return
        trained = parse_stored_spec(own)
        if trained.name != PUBLISHED and not trained.reads(stored):
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH,
                f"{folder / SPEC}: features of {stored.name} ({stored.features_hash}), and the run reads those of "
                f"{trained.name} ({trained.features_hash})",
            )


def open_run(path: Path) -> Run:
    """Open a run by its folder or by a checkpoint in it; raises `model_unavailable` for anything else."""
    from sentiloc.model.training.checkpoint import load_checkpoint

    checkpoint = path
    if path.is_dir():
        checkpoint = path / BEST if (path / BEST).exists() else path / LAST
        if checkpoint.name == LAST and checkpoint.exists():
            typer.echo(f"{path / BEST}: missing; {LAST}, the last epoch, is used", err=True)
    content = load_checkpoint(checkpoint)
    folder = checkpoint.parent
    stated = _config(folder).get("data", {}).get("folder")
    return Run(
        folder=folder,
        checkpoint=checkpoint,
        # A checkpoint of FSENet names no task.
        task=str(content.get("task", "sentiment")),
        data=Path(stated) if stated else None,
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    raw = read_json(path) if path.exists() else {}
    if not isinstance(raw, dict) or not isinstance(raw.get("data", {}), dict):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not the configuration of a run")
    return raw


def require_run_folder(run: Path, data: Path) -> None:
    """Refuse a folder for a run that has other contents, whose files would be replaced.

    Raises:
        typer.BadParameter: It is the data folder, or has the spec of features or of a package.
    """
    if run.resolve() == data.resolve():
        raise typer.BadParameter(f"{run} is the data folder; name another one", param_hint="--output")
    if (run / SPEC).exists() and not (run / CONFIG).exists():
        raise typer.BadParameter(
            f"{run} has features or a package, but no run; name another folder", param_hint="--output"
        )


def require_package_folder(package: Path, run: Path) -> None:
    """Refuse a folder for a package that has other contents, whose files would be replaced.

    Raises:
        typer.BadParameter: It is the run, another run, or a folder of features.
    """
    from sentiloc.model.package import NETWORK_FILES

    is_package = any((package / name).exists() for name in NETWORK_FILES.values())
    is_other = any((package / name).exists() for name in (SPEC, CONFIG, "features"))
    if package.resolve() == run.resolve() or (is_other and not is_package):
        raise typer.BadParameter(
            f"{package} has a run or features, but no package; name another folder", param_hint="PACKAGE"
        )


def write_outcome(run: Path, spec: ModelSpec, confidence: Confidence) -> None:
    """Write what export needs besides the weights: the spec with its default threshold, and the calibration."""
    named = replace(spec, confidence_threshold=round(confidence.threshold, 2))
    write_whole(run / SPEC, named.to_json() + "\n")
    write_whole(run / CALIBRATION, confidence.calibration.to_json() + "\n")
    error = "" if confidence.error is None else f", expected calibration error {confidence.error:.3f}"
    typer.echo(f"{run / CALIBRATION}: {confidence.note}{error}", err=True)


def wandb_project(options: dict[str, Any]) -> dict[str, Any]:
    """What `--wandb` adds to a run's record."""
    from sentiloc.model.training.record import WANDB

    return {WANDB: options["wandb"]} if options.get("wandb") else {}
