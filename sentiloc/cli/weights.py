"""`sentiloc weights`: fetch public weights, check them, convert them once, keep them in the user's cache."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sentiloc.cli.compare_precision import compare
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.weights import (
    WEIGHTS,
    Weights,
    cached_weights,
    find_weights,
    int8_path,
    require_weights,
    verify,
    weights_path,
)

weights_app = typer.Typer(
    help="Fetch weights that cannot be shipped.", no_args_is_help=True, add_completion=False
)

weights_app.command("compare")(compare)

_TIMEOUT_SECONDS = 30.0


@weights_app.command("list")
def list_weights() -> None:
    """Show what can be fetched and what is there."""
    for weights in WEIGHTS.values():
        path = cached_weights(weights.name)
        typer.echo(f"{weights.name:8}{'present' if path else 'missing':10}{path or weights_path(weights)}")
        typer.echo(f"{'':8}{weights.purpose}; {weights.terms}")


@weights_app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(WEIGHTS)}.")],
    source: Annotated[Path | None, typer.Option("--from", help="A file that was fetched elsewhere.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address of the same file.")] = None,
) -> None:
    """Fetch, check and keep one set of weights."""
    weights = find_weights(name)
    path = pull_weights(weights, source, url)
    typer.echo(f"{weights.name}: {path}  ({weights.terms})")


@weights_app.command("quantize")
def quantize(
    videos: Annotated[list[Path], typer.Argument(help="A few typical videos: they set the ranges.")],
) -> None:
    """Make the 8-bit I3D for SENTILOC_PRECISION=int8 from the pulled one, and state its error."""
    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.precision.quantize import quantize as make
    from sentiloc.worker.precision.quantize import sample_snippets

    source, limits = require_weights("i3d"), runtime_config(get_settings()).decode_limits
    error = make(source, int8_path(), sample_snippets(videos, limits), videos)
    typer.echo(
        f"{int8_path()}: on {error.device}, features err by {error.relative:.2%} of the largest, "
        f"cosine >= {error.cosine:.5f}"
    )
    typer.echo("What that does to segments, on other videos: sentiloc weights compare VIDEO...", err=True)


def pull_weights(weights: Weights, source: Path | None = None, url: str | None = None) -> Path:
    """Put the weights into the cache, from the file `source` or else from the net; returns their path.

    Raises `source_missing` if they cannot be got, `invalid_data` if they are not what was asked for,
    `weights_missing` if the conversion lacks sentiloc[train]. A file in the cache is whole or not there.
    """
    if weights.converted:
        _require_converter(weights)
    target = weights_path(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fetched = Path(folder) / "fetched"
        if source is not None:
            _copy(source, fetched)
        else:
            _download(url or weights.url, fetched, weights.max_bytes)
        verify(weights, fetched)
        ready = _convert(fetched, Path(folder) / weights.cached) if weights.converted else fetched
        ready.replace(target)
    return target


def _require_converter(weights: Weights) -> None:
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise SentilocError(
            ErrorCode.WEIGHTS_MISSING,
            f"{weights.name} is converted once, with PyTorch. Run in Sentiloc's folder: pip install '.[train]'; or "
            f"copy {weights.cached} from the cache of a machine that has it to {weights_path(weights)}",
        ) from error


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise SentilocError(ErrorCode.SOURCE_MISSING, f"cannot read {source}: {error.strerror}") from error


def _download(url: str, target: Path, max_bytes: int) -> None:
    import httpx

    typer.echo(f"fetching {url}", err=True)
    try:
        with (
            target.open("wb") as file,
            httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as response,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes():
                if file.tell() + len(chunk) > max_bytes:
                    raise SentilocError(ErrorCode.INVALID_DATA, f"{url} is larger than {max_bytes} bytes")
                file.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SentilocError(
            ErrorCode.SOURCE_MISSING,
            f"cannot fetch {url}: {error}. Fetch it elsewhere and give it with --from FILE",
        ) from error


def _convert(checkpoint: Path, target: Path) -> Path:
    from sentiloc.model.extractors.i3d import export_i3d, read_state

    typer.echo("converting to ONNX, once", err=True)
    export_i3d(read_state(checkpoint), target)
    return target
