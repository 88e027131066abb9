"""`sentiloc weights compare VIDEO...`: the effect of another precision of the visual network on your own videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sentiloc.cli.given import finite, naming

if TYPE_CHECKING:
    from sentiloc.worker.precision.precision import Effect


def compare(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEO", help="Typical videos that the 8-bit network was not calibrated on."),
    ],
    precision: Annotated[
        Literal["int8", "bfloat16", "float16"], typer.Option(help="Precision to compare with float32.")
    ] = "int8",
    model: Annotated[
        str | None, typer.Option(help="Model package; default: the setting SENTILOC_MODEL.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, callback=finite, help="Minimum confidence of a segment; default: the package's."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a precision of the visual network with float32, on SENTILOC_DEVICE: features, scores and segments."""
    from dataclasses import replace

    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.precision.precision import compare as measure
    from sentiloc.worker.precision.precision import load_both

    settings = get_settings()
    with naming(model):
        pipeline, other = load_both(runtime_config(settings), model or settings.model, precision)
    options = pipeline.default_options
    options = options if threshold is None else replace(options, threshold=threshold)
    effect = measure(pipeline, other, videos, options)
    if as_json:
        typer.echo(json.dumps({"precision": precision, "threshold": options.threshold, **effect.to_dict()}))
        return
    for line in describe(effect, precision, options.threshold):
        typer.echo(line)


def describe(effect: Effect, precision: str, threshold: float) -> list[str]:
    """The comparison as readable lines."""
    features, segments = effect.features, effect.segments
    noise = "" if features.of_variation is None else f"; error {features.of_variation:.0%} of their variation"
    lines = [
        f"float32 → {precision}, {effect.videos} videos, {effect.snippets} snippets",
        f"features    off by at most {features.largest:.2%} of the largest, {features.mean:.2%} of the mean on "
        f"average; cosine >= {features.cosine:.5f}{noise}",
        f"scores      off by at most {effect.score_largest:.4f}, {effect.score_mean:.4f} on average",
        f"segments    {segments.before} → {segments.after} at confidence {threshold:g}: {segments.kept} the same, "
        f"{segments.vanished} vanished, {segments.appeared} appeared, {segments.relabelled} with another label",
    ]
    # These are means over the kept segments.
    if segments.kept:
        lines.append(
            f"            matching segments share {segments.tiou:.1%} of their time; confidence off by at most "
            f"{segments.confidence_largest:.4f}, {segments.confidence_mean:.4f} on average"
        )
    return lines
