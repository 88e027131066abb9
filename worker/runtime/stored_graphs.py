"""Optimized graphs in the cache, so that ONNX Runtime optimizes a network once and not at every start.

Optimizing takes two thirds of the time that a network takes to open. The result depends on the network, the build of
ONNX Runtime and the processor's instructions, so the name of a stored graph contains all three. Its outputs are
identical to the last bit, because it holds the operations that would run anyway.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import onnxruntime as ort

from sentiloc.model.weights import cache_dir
from sentiloc.worker.runtime.cpu import cpu_info

log = logging.getLogger(__name__)

_CPU = ["CPUExecutionProvider"]
_KEPT = 16
"""The number of stored graphs. Updates of ONNX Runtime leave old ones behind; the oldest are removed."""
_MOST_BYTES = 64 * 1024**2
"""Larger networks are not stored: the time saved is small compared with running them."""
_SUFFIX = ".ort"
_PART = ".part"
# Only these files are ever deleted: the user's folder may contain other files.
_OWN_FILE = re.compile(rf".+-[0-9a-f]{{32}}(?:{re.escape(_SUFFIX)}|\.\w{{8}}{re.escape(_PART)})")
_LONGEST_WRITE = 3600.0
"""Seconds after which an unfinished graph counts as abandoned."""

Options = Callable[[], ort.SessionOptions]


def open_on_cpu(network: Path, options: Options) -> ort.InferenceSession:
    """Open a network for the CPU from its stored graph, or from the network itself, whose graph is then stored.

    A stored graph that cannot be read is replaced. If the cache cannot be written, the network is opened without it.

    Args:
        network: Path of the ONNX file.
        options: Makes new session options without a level of optimization.

    Raises:
        Exception: What ONNX Runtime raises for a network that is missing or broken.
    """
    stored = _place(network)
    if stored is None or not _is_trusted(stored):
        return ort.InferenceSession(str(network), options(), providers=_CPU)
    if stored.is_file():
        # ONNX Runtime has no common exception type; any failure here means a damaged file.
        with suppress(Exception):
            return _open_stored(stored, options())
    return _open_and_store(network, stored, options)


def _open_stored(stored: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    # The stored graph is already optimized; repeating that would cost the time saved.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.load_model_format", "ORT")
    return ort.InferenceSession(str(stored), options, providers=_CPU)


def _open_and_store(network: Path, stored: Path, options: Options) -> ort.InferenceSession:
    partial: Path | None = None
    try:
        # Only this user may write there, because a stored graph replaces the network (`_is_trusted`).
        stored.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(prefix=f"{stored.stem}.", suffix=_PART, dir=stored.parent)
        os.close(handle)
        partial = Path(name)
        storing = options()
        storing.optimized_model_filepath = name
        storing.add_session_config_entry("session.save_model_format", "ORT")
        session = ort.InferenceSession(str(network), storing, providers=_CPU)
        # Renamed when complete, because another process may open the stored graph at any time.
        partial.replace(stored)
        _remove_oldest(stored.parent)
    except Exception as error:
        # A full disk, a folder without permission, or a broken network. The last of these is raised below.
        log.debug("the optimized graph of %s is not stored: %s", network.name, error)
        if partial is not None:
            partial.unlink(missing_ok=True)
        return ort.InferenceSession(str(network), options(), providers=_CPU)
    return session


def _place(network: Path) -> Path | None:
    """The path of this network's optimized graph; None if it is not stored.

    A file's inode, times and size identify its content, as in Git's index. Hashing 25 MB at each start would cost the
    time that is saved.
    """
    try:
        status, folder = network.stat(), cache_dir()
    except (OSError, RuntimeError):
        return None
    if status.st_size > _MOST_BYTES:
        return None
    file = (str(network.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    name = hashlib.sha256(repr((file, ort.__version__, ort.get_build_info(), _processor())).encode())
    return folder / "graphs" / f"{network.stem}-{name.hexdigest()[:32]}{_SUFFIX}"


def _processor() -> tuple[str, ...]:
    """Fields that distinguish processors with different instructions; the last two are those of Arm."""
    return tuple(cpu_info(name) for name in ("model name", "flags", "CPU part", "Features"))


def _is_trusted(stored: Path) -> bool:
    """Whether the folder and the graph, where they exist, belong to this user or to root.

    Otherwise other users could replace a network of the service, because a cache may lie below a folder that everybody
    may write to.
    """
    try:
        owners = {path.stat().st_uid for path in (stored.parent, stored) if path.exists()}
    except OSError:
        return False
    return owners <= {0, os.geteuid()}


def _remove_oldest(folder: Path) -> None:
    """Keep the graphs that were stored last. Another process may be removing the same ones."""
    own = [path for path in folder.iterdir() if _OWN_FILE.fullmatch(path.name) and path.is_file()]
    by_age = sorted(own, key=lambda path: path.stat().st_mtime_ns)
    stored = [path for path in by_age if path.suffix == _SUFFIX]
    # A process that was killed while it wrote leaves its file behind.
    oldest = time.time() - _LONGEST_WRITE
    left = [path for path in by_age if path.suffix == _PART and path.stat().st_mtime < oldest]
    for path in [*stored[:-_KEPT], *left]:
        path.unlink(missing_ok=True)
