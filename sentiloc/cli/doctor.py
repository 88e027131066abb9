"""`sentiloc doctor`: checks the installation, its device and its models, and localizes a test clip."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.settings.unknown import unknown_settings
from sentiloc.app.version import version
from sentiloc.cli.options import override
from sentiloc.model.errors import SentilocError

_LIBRARIES = ("av", "celery", "fastapi", "kombu", "numpy", "onnxruntime", "opencv-python-headless", "redis")
_OPTIONAL = {
    "matplotlib": "for plot",
    "onnxruntime-gpu": "for CUDA",
    "onnxruntime-openvino": "for OpenVINO",
    "torch": "to train",
}
# Room for one upload of the default maximum size.
_LEAST_DISK = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; `ok` is None if there is nothing to check, or if the check lacked permission."""

    name: str
    ok: bool | None
    detail: str


class UnseenError(Exception):
    """A check found no fault, but could not check everything. The message names what is missing."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    skip_test: Annotated[bool, typer.Option("--skip-test", help="Do not localize a test clip.")] = False,
) -> None:
    """Check this installation. Exit status: 0 everything needed works, 1 something needed is broken."""
    # Without flags, this only validates the settings and reports a bad one in one line.
    override()
    settings = get_settings()
    findings = []
    for finding in _findings(settings, skip_test):
        findings.append(finding)
        if not as_json:
            _print(finding)
    broken = [finding.name for finding in findings if finding.ok is False]
    if as_json:
        typer.echo(json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}))
    else:
        typer.echo(
            f"Broken: {', '.join(broken)}." if broken else "Everything works: `sentiloc serve` starts it."
        )
    if broken:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    mark, colour = {
        True: ("ok", typer.colors.GREEN),
        False: ("BROKEN", typer.colors.RED),
        None: ("", None),
    }[finding.ok]
    typer.echo(f"{typer.style(f'{mark:>6}', fg=colour)}  {finding.name:<10} {finding.detail}")


def _findings(settings: Settings, skip_test: bool) -> Iterator[Finding]:
    checks: dict[str, Callable[[Settings], str]] = {
        "device": _device,
        "models": _models,
        "redis": _redis,
        "disk": _disk,
    }
    if not skip_test:
        # Last, because it takes seconds. Each finding is printed as it comes.
        checks["self-test"] = _self_test
    yield Finding(
        name="sentiloc",
        ok=None,
        detail=f"{version()}, Python {platform.python_version()}, {platform.platform()}",
    )
    yield _libraries()
    yield Finding(name="optional", ok=None, detail=_optional())
    # Not a fault: it may be a setting of another release.
    for line in unknown_settings(os.environ):
        yield Finding(name="settings", ok=None, detail=line)
    yield Finding(name="limits", ok=None, detail=_limits(settings))
    for name, check in checks.items():
        yield _try(name, check, settings)


def _try(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name=name, ok=True, detail=check(settings))
    except UnseenError as unseen:
        return Finding(name=name, ok=None, detail=f"warning: {unseen}")
    except SentilocError as error:
        return Finding(name=name, ok=False, detail=f"{error.detail} ({error.code})")
    # Whatever a check raises, the other checks still run.
    except Exception as error:
        return Finding(name=name, ok=False, detail=f"{type(error).__name__}: {error}")


def _libraries() -> Finding:
    missing = [name for name in _LIBRARIES if not _version(name)]
    # The GPU and OpenVINO builds provide the same import under another distribution name.
    if "onnxruntime" in missing and any(_version(f"onnxruntime-{build}") for build in ("gpu", "openvino")):
        missing.remove("onnxruntime")
    detail = (
        f"missing: {', '.join(missing)}; run in Sentiloc's folder: pip install ."
        if missing
        else _versions(_LIBRARIES)
    )
    return Finding(name="libraries", ok=not missing, detail=detail)


def _optional() -> str:
    missing = [f"{name} ({_OPTIONAL[name]})" for name in _OPTIONAL if not _version(name)]
    absent = f"not installed: {', '.join(missing)}" if missing else ""
    return "; ".join(part for part in (_versions(tuple(_OPTIONAL)), absent) if part)


def _versions(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in names if _version(name))


def _version(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return ""


def _device(settings: Settings) -> str:
    """Run the default model's network on the configured device."""
    from sentiloc.model.package import load_package
    from sentiloc.worker.runtime.onnx_session import create_session, device_name

    package = load_package(settings.model, settings.models_dir)
    session = create_session(package.network, settings.device, settings.threads)
    return f"{device_name(session)} (SENTILOC_DEVICE={settings.device})"


def _models(settings: Settings) -> str:
    from sentiloc.model.package import UnknownPackageError, list_packages, shipped_models_dir
    from sentiloc.model.weights import cache_dir

    root = settings.models_dir or shipped_models_dir()
    names = list_packages(root)
    if settings.model not in names:
        there = f"there: {', '.join(names) or 'none'}" if root.is_dir() else "there is no such folder"
        raise UnknownPackageError(f"no package {settings.model!r} in {root}; {there}")
    described = [_described(root / name, settings) for name in names]
    return f"{', '.join(described)}; fetched weights in {cache_dir()}"


def _described(package: Path, settings: Settings) -> str:
    """A package's name, whether it is the default, and its missing weights. The default must not lack any."""
    from sentiloc.model.spec import load_spec
    from sentiloc.model.weights import i3d_weights, require_i3d

    is_default, visual = package.name == settings.model, load_spec(package / "spec.json").visual
    notes = ["default"] if is_default else []
    try:
        if visual is not None:
            require_i3d(settings.precision, visual.extractor)
    except SentilocError:
        if is_default or visual is None:
            raise
        notes.append(f"weights are missing; run: sentiloc weights pull {i3d_weights(visual.extractor)}")
    return f"{package.name} ({'; '.join(notes)})" if notes else package.name


def _redis(settings: Settings) -> str:
    from redis import ResponseError

    from sentiloc.app.redis.client import connect
    from sentiloc.cli.server.redis_server import find_redis_server

    if settings.redis_url is None:
        return f"private, by `sentiloc serve`: {find_redis_server()}"
    with connect(settings) as client:
        info = client.info("server")
        kind = (
            f"Valkey {info['valkey_version']}"
            if "valkey_version" in info
            else f"Redis {info['redis_version']}"
        )
        answers = f"{kind} answers at SENTILOC_REDIS_URL"
        try:
            # Without it, a crash of this Redis loses jobs that were accepted.
            return f"{answers}; appendonly {client.config_get('appendonly').get('appendonly', '?')}"
        except ResponseError as error:
            # Managed services refuse the command.
            raise UnseenError(f"{answers}; its appendonly cannot be seen: {error}") from error


def _disk(settings: Settings) -> str:
    folder = settings.data_dir.expanduser().resolve()
    # The folder is created at the first start, so before that the disk is that of a parent.
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise OSError(f"nothing can be written in {existing}, where {folder} is; set SENTILOC_DATA_DIR")
    free = shutil.disk_usage(existing).free
    words = f"{free / 1024**3:.1f} GiB free for {folder}"
    least = max(_LEAST_DISK, settings.max_upload_bytes)
    if free < least:
        raise OSError(f"{words}; an upload may take {least / 1024**3:.1f} GiB")
    return words


def _limits(settings: Settings) -> str:
    size, hours = settings.max_upload_bytes / 1024**3, settings.max_duration_seconds / 3600
    side, rate = settings.max_side_pixels, settings.max_frame_rate
    return f"videos up to {size:g} GiB, {hours:g} h, {side} pixels a side, {rate:g} frames per second"


def _self_test(settings: Settings) -> str:
    """Localize a clip of three seconds through the whole pipeline."""
    from sentiloc.api import load_model
    from sentiloc.cli.clip import write_test_clip
    from sentiloc.worker.config import runtime_config

    started = time.monotonic()
    model = load_model(settings.model, config=runtime_config(settings))
    loaded = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sentiloc-doctor-") as folder:
        path = Path(folder) / "clip.mp4"
        write_test_clip(path)
        result = model.localize(path)
    duration, took = result.video.duration, time.monotonic() - loaded
    # AAC ends with a whole frame of 1024 samples, so the file is a little longer than 3 s.
    if not 2.9 <= duration <= 3.1 or not result.video.has_audio:
        raise ValueError(f"a clip of 3 seconds with sound was read as {duration:.2f} s")
    return f"a 3 s clip was localized in {took:.1f} s; the models were loaded in {loaded - started:.1f} s"
