"""The location of data sets and reference outputs: beside the repository, or from environment variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


def data_folder(name: str) -> Path:
    """A folder of the data sets, whose parent is `SENTILOC_DATA`; skips the test if it does not exist."""
    return _folder(Path(os.environ.get("SENTILOC_DATA", SHARED / "data")) / name)


def golden_folder(name: str) -> Path:
    """A folder of reference inputs and outputs below `SENTILOC_GOLDEN`; skips the test if it does not exist."""
    return _folder(Path(os.environ.get("SENTILOC_GOLDEN", SHARED / "golden")) / name)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(f"needs the folder {path.parent.name}/{path.name} (SENTILOC_DATA, SENTILOC_GOLDEN)")
    return path
