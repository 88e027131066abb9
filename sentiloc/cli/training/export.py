"""`sentiloc export`: turns a checkpoint into a model package for serving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentiloc.cli.destinations import named_folder
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.cli.training.runs import Run
    from sentiloc.model.proposals.calibration import Calibration
    from sentiloc.model.spec import ModelSpec


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a checkpoint in one.")],
    package: Annotated[
        Path,
        typer.Argument(
            metavar="PACKAGE",
            parser=named_folder,
            help="Package folder to write network, spec and calibration to.",
        ),
    ],
    spec: Annotated[
        Path | None,
        typer.Option(help="Spec to serve with, instead of the run's own: spec.json, or a folder with one."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the package, instead of its folder's.")] = None,
    version: Annotated[str, typer.Option(help="Version of the package.")] = "1.0.0",
) -> None:
    """Write a model package for serving, after comparing its outputs with PyTorch."""
    from sentiloc.cli.training.runs import open_run, require_package_folder
    from sentiloc.model.package import CALIBRATION_FILE, NETWORK_FILES, write_calibration

    opened = open_run(run)
    require_package_folder(package, opened.folder)
    found = _spec(opened, spec)
    found = replace(found, name=name or package.resolve().name, version=version)
    difference = _write_network(opened, found, package)
    calibration, note = _calibration(opened)
    write_calibration(calibration, package)
    typer.echo(f"{package / NETWORK_FILES[opened.task]}: differs from PyTorch by at most {difference:.1e}")
    typer.echo(f"{package / CALIBRATION_FILE}: {note}")


def _write_network(run: Run, spec: ModelSpec, package: Path) -> float:
    if run.task != "sentiment":
        from sentiloc.cli.training.train_systems import export_system

        return export_system(run.task, run.checkpoint, spec, package)
    from sentiloc.model.files import write_whole
    from sentiloc.model.fsenet.checkpoint import load_fsenet, network_state
    from sentiloc.model.fsenet.export import export_onnx
    from sentiloc.model.package import NETWORK_FILE, WEIGHTS_FILE
    from sentiloc.model.training.checkpoint import save_atomic

    network = load_fsenet(run.checkpoint)
    difference = export_onnx(network, spec, package / NETWORK_FILE)
    save_atomic(network_state(network), package / WEIGHTS_FILE)
    write_whole(package / "spec.json", spec.to_json() + "\n")
    return difference


def _spec(run: Run, given: Path | None) -> ModelSpec:
    """The given spec with the run's threshold, else the spec next to the checkpoint."""
    from sentiloc.cli.training.runs import SPEC
    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.spec import PUBLISHED

    own = run.folder / SPEC
    if given is None and not own.exists():
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{own}: missing; name with --spec the features that the run was trained on",
        )
    trained = parse_stored_spec(own) if own.exists() else None
    if given is None and trained is not None:
        # The published features name no extractor that this project has.
        return with_service_extractors(trained) if trained.name == PUBLISHED else trained
    path = given / "spec.json" if given is not None and given.is_dir() else given or own
    found = parse_stored_spec(path)
    if run.task == "expression" and found.flow is None:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: has no flow stream, which the run reads")
    return replace(found, confidence_threshold=trained.confidence_threshold) if trained else found


def with_service_extractors(spec: ModelSpec) -> ModelSpec:
    """The spec of the published layout, with the Kinetics I3D if only that one is in the cache."""
    from sentiloc.cli.training.extract import with_cached_i3d

    if spec.face is not None or spec.visual is not None:
        typer.echo(
            "trained on the published features. The service uses other extractors than the benchmark, so its "
            "results will differ",
            err=True,
        )
    return with_cached_i3d(spec)


def _calibration(run: Run) -> tuple[Calibration, str]:
    """The calibration that training fitted for the selected checkpoint; raw scores for any other checkpoint."""
    from sentiloc.cli.training.runs import BEST, CALIBRATION
    from sentiloc.model.package import read_calibration
    from sentiloc.model.proposals.calibration import Calibration

    fitted = run.folder / CALIBRATION
    # Without held-out videos there is no best epoch, and the last one is what the run chose.
    selected = run.checkpoint.name == BEST or not (run.folder / BEST).exists()
    if not fitted.exists() or not selected:
        why = f"{run.checkpoint.name} is not the selected one" if fitted.exists() else f"there is no {fitted}"
        return Calibration(), f"confidences are raw scores, not calibrated: {why}"
    found = read_calibration(fitted)
    note = "confidences are calibrated on the run's held-out videos"
    return found, note if found.calibrated else "confidences are raw scores: the run could not calibrate them"
