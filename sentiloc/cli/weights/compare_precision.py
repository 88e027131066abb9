"""`sentiloc weights compare VIDEO...`: the effect of a cheaper visual stream on your own videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sentiloc.cli.given import finite, naming

if TYPE_CHECKING:
    from sentiloc.worker.precision.precision import Effect


_Videos = Annotated[
    list[Path],
    typer.Argument(metavar="VIDEO", help="Typical videos that the 8-bit network was not calibrated on."),
]
_Precision = Annotated[
    Literal["float32", "int8", "bfloat16", "float16"],
    typer.Option(
        help="Precision to compare with float32; float32 itself shows the effect of a stride alone."
    ),
]
_Stride = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=32,
        help="With N, the network reads every N-th snippet; default: SENTILOC_VISUAL_STRIDE.",
    ),
]
_ByShots = Annotated[
    bool | None,
    typer.Option(
        help="The network also reads the first snippet of each shot; default: SENTILOC_VISUAL_BY_SHOTS."
    ),
]


def compare(
    videos: _Videos,
    precision: _Precision = "int8",
    visual_stride: _Stride = None,
    visual_by_shots: _ByShots = None,
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
    """Compare a cheaper visual stream with float32 on every snippet, on SENTILOC_DEVICE: features, scores, segments."""
    from dataclasses import replace

    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.precision.precision import compare as measure
    from sentiloc.worker.precision.precision import load_both

    settings = get_settings()
    config = runtime_config(settings)
    stride = visual_stride or config.visual_stride
    by_shots = config.visual_by_shots if visual_by_shots is None else visual_by_shots
    if precision == "float32" and stride == 1:
        raise typer.BadParameter("float32 on every snippet is the reference: give --visual-stride, too")
    if visual_by_shots and stride == 1:
        raise typer.BadParameter(
            "--visual-by-shots changes nothing on every snippet: give --visual-stride, too"
        )
    config = replace(config, visual_stride=stride, visual_by_shots=by_shots)
    with naming(model):
        pipeline, other = load_both(config, model or settings.model, precision)
    options = pipeline.default_options
    options = options if threshold is None else replace(options, threshold=threshold)
    effect = measure(pipeline, other, videos, options)
    if as_json:
        how = {"precision": precision, "visual_stride": stride, "visual_by_shots": by_shots}
        typer.echo(json.dumps({**how, "threshold": options.threshold, **effect.to_dict()}))
        return
    for line in describe(effect, precision + _which(stride, by_shots=by_shots), options.threshold):
        typer.echo(line)


def _which(stride: int, *, by_shots: bool) -> str:
    """The text ", one snippet of N ..." for the label; empty if the network reads every snippet."""
    if stride == 1:
        return ""
    return f", one snippet of {stride}" + (" and the first of each shot" if by_shots else "")


def describe(effect: Effect, change: str, threshold: float) -> list[str]:
    """The comparison as readable lines. `change` names the variant that is compared with float32."""
    features, segments = effect.features, effect.segments
    noise = "" if features.of_variation is None else f"; error {features.of_variation:.0%} of their variation"
    lines = [
        f"float32 → {change}, {effect.videos} videos, {effect.snippets} snippets",
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
