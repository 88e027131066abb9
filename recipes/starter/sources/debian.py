"""Debian packages as data sources: fetched by name and version and unpacked, never installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from recipes.starter.sources.unpacking import fetch, unpack_once


def unpack_package(name: str, version: str, sha256: str, folder: Path) -> Path:
    """`folder/name` with the package's files; it is fetched and unpacked first if it is missing.

    Raises ValueError if the fetched file has another digest than the recipe states.
    """

    def unpack(unfinished: Path) -> None:
        # apt-get verifies the archive's signature; the digest pins the content for later years.
        command = ["apt-get", "download", f"{name}={version}"]
        # apt-get writes the colon of an epoch as %3a, so the pattern leaves the version out.
        file = fetch(command, folder / "downloads", f"{name}_*.deb", sha256)
        subprocess.run(["dpkg", "-x", str(file), str(unfinished)], check=True)  # noqa: S603, S607

    return unpack_once(folder / name, unpack)
