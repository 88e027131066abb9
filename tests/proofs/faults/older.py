"""The last release, from this repository's history, as processes beside today's."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tests.support.fleet import Member
from tests.support.services import ROOT

OLDER_RELEASE = os.environ.get("SENTILOC_OLDER_RELEASE", "35c4a6a")
"""The last commit of release 1.0.0; any other commit of that layout can be set by `SENTILOC_OLDER_RELEASE`."""


def checkout(folder: Path, revision: str = OLDER_RELEASE) -> Path:
    """The files of a revision of this repository."""
    if not folder.exists():
        command = ["git", "-C", str(ROOT), "archive", revision]
        packed = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    return folder


def older_command(*arguments: str) -> list[str]:
    """The command line of the last release. Its packages lay at the top: `app`, `cli`, `worker`."""
    return [sys.executable, "-P", "-c", "from cli.main import main; main()", *arguments]


def older_environment(environment: dict[str, str], tree: Path) -> dict[str, str]:
    """An environment in which `older_command` finds that tree's code, and not today's."""
    return {**environment, "PYTHONPATH": str(tree)}


@dataclass
class OlderMember(Member):
    """A process of the last release. Its `environment` is one of `older_environment`."""

    def command(self, *arguments: str) -> list[str]:
        """Its command line."""
        return older_command(*arguments)
