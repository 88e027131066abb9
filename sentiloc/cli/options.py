"""Options shared by several subcommands. A flag overrides its setting, also in child processes."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.settings.unknown import unknown_settings
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

Host = Annotated[str | None, typer.Option(help="Address to listen on  [SENTILOC_HOST, 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="Port  [SENTILOC_PORT, 8000]")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder for all stored data  [SENTILOC_DATA_DIR, sentiloc-data]"),
]


def override(**flags: object) -> None:
    """Write the given flags to the environment and validate all settings."""
    for name, value in flags.items():
        if value is not None:
            os.environ[f"SENTILOC_{name.upper()}"] = str(value)
    # Settings are cached, and may have been read before the flags.
    get_settings.cache_clear()
    get_settings()


def warn_of_unknown_settings() -> None:
    """Log each variable `SENTILOC_…` that nothing reads. It is not an error: it may be a setting of another release."""
    for line in unknown_settings(os.environ):
        logger.warning("%s", line)


def absolute_data_dir(settings: Settings) -> Path:
    """The data folder as an absolute path; it is created if it does not exist."""
    folder = settings.data_dir.expanduser().resolve()
    try:
        # Videos, results and hashes of keys: other users of the machine must not read them.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        detail = f"the data folder {folder} cannot be used: {error.strerror}"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
    return folder
