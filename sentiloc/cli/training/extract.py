"""`sentiloc extract VIDEOS... -o FOLDER`: extracts training features with the serving code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sentiloc.model.spec import ModelSpec


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Video files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Feature folder; created if missing.")],
    spec: Annotated[
        str,
        typer.Option(
            help="A package's name, the path of a spec.json, `i3d`: the paper's three streams, or `flow`: GIM's."
        ),
    ] = "fsenet-starter",
    split: Annotated[str, typer.Option(help="The split of the videos.")] = "train",
) -> None:
    """Extract features of videos, in the folder layout that `sentiloc train` reads; finished ones are skipped."""
    from rich.console import Console
    from rich.progress import track

    from sentiloc.app.settings import get_settings
    from sentiloc.model.data.feature_store import has_features, write_features, write_spec
    from sentiloc.model.errors import SentilocError
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.extraction.extract import load_extractor

    settings = get_settings()
    wanted = _load(spec, settings.models_dir)
    if wanted.flow is not None:
        from sentiloc.cli.training.extract_flow import extract_flows

        raise typer.Exit(code=extract_flows(videos, output, wanted, runtime_config(settings)))
    extractor = load_extractor(wanted, runtime_config(settings))
    console = Console(stderr=True)
    output.mkdir(parents=True, exist_ok=True)
    write_spec(output, extractor.spec)
    failed = 0
    for video in track(videos, description="extracting", console=console):
        if has_features(output, split, video.stem):
            continue
        try:
            extraction = extractor.extract(video, lambda _stage, _done: None)
        except SentilocError as error:
            failed += 1
            console.print(f"{video}: {error.detail} ({error.code})", style="red")
            continue
        info = extraction.info
        write_features(output, split, video.stem, extraction.features, fps=info.fps, duration=info.duration)
    raise typer.Exit(code=1 if failed else 0)


def _load(spec: str, models_dir: Path | None) -> ModelSpec:
    from sentiloc.model.package import load_package
    from sentiloc.model.spec import load_spec

    if spec == "flow":
        from sentiloc.model.gim.spec import expression_spec

        return expression_spec("flow", "1")
    if spec == "i3d":
        return with_weights_at_hand(_three_streams())
    if spec.endswith(".json"):
        return with_weights_at_hand(load_spec(Path(spec)))
    return load_package(spec, models_dir).spec


def _three_streams() -> ModelSpec:
    """The streams of the paper: I3D, log-mel sound, and faces by the shipped encoder."""
    from sentiloc.model.package import extractor_id, shipped_models_dir
    from sentiloc.model.spec import FaceStream, ModelSpec

    face = FaceStream(encoder=extractor_id(shipped_models_dir() / "expression"))
    return ModelSpec(name="three-streams", version="1", face=face)


def with_weights_at_hand(spec: ModelSpec) -> ModelSpec:
    """The spec, with the Kinetics I3D if that is the only one in the cache.

    The feature folder's spec then names it, and so does every package trained on the folder.
    """
    from sentiloc.model.weights import IMAGENET_I3D, KINETICS_I3D, WEIGHTS, cached_weights

    if spec.visual is None or spec.visual.extractor != IMAGENET_I3D or cached_weights("i3d"):
        return spec
    if not cached_weights("i3d-kinetics"):
        return spec
    typer.echo(f"{KINETICS_I3D}: {WEIGHTS['i3d-kinetics'].caution}", err=True)
    return replace(spec, visual=replace(spec.visual, extractor=KINETICS_I3D))
