"""Build hook: refuses a checkout whose package lacks its folders, instead of building a wheel that does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Folders of the repository that are part of the package through symbolic links.
LINKED = ("app", "client", "exported", "model", "worker")


class CompletePackage(BuildHookInterface):
    """Checks the links before anything is packed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Raise RuntimeError where git wrote a link as a file, as on Windows."""
        missing = [name for name in LINKED if not Path(self.root, "sentiloc", name).is_dir()]
        if missing:
            raise RuntimeError(
                f"sentiloc/{missing[0]} is not a folder: this checkout has no symbolic links, which the package "
                "needs. On Windows, clone it inside WSL or run the Docker image; elsewhere, run "
                "`git config core.symlinks true && git checkout -- sentiloc`"
            )
