"""The packages that drawn faces come from, by name, version and digest, with their terms.

- `dicebear-styles` (data of 30 artists' avatar styles): each style has its own licence, CC0 1.0 or CC BY 4.0, and
  Avataaars "free for personal and commercial use"; `meta.license` in each definition states it.
- `@lobehub/fluent-emoji-3d` (Microsoft's Fluent Emoji, MIT), `@twemoji/svg` (graphics CC BY 4.0), Noto Color Emoji
  (OFL 1.1), and OpenMoji (CC BY-SA 4.0), which is for testing only.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from recipes.starter.sources.debian import unpack_package
from recipes.starter.sources.unpacking import fetch, unpack_once
from recipes.starter.sources.wheels import unpack_wheel

STYLES = ("dicebear-styles", "10.6.0", "5a5b0b9c534d133fa06f1dd29f280139995965b32b08c5635a69cc6afc30930d")
NOTO = (
    "fonts-noto-color-emoji",
    "2.042-0+deb12u1",
    "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
)
EMOJI = {
    "fluent": (
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
    "twemoji": ("@twemoji/svg", "15.0.0", "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3"),
    "openmoji": ("openmoji", "17.0.0", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68"),
}


def unpack_npm(name: str, version: str, sha256: str, folder: Path) -> Path:
    """`folder/name` with the package's files; it is fetched and unpacked first if it is missing.

    Raises ValueError if the fetched file has another digest than the recipe states.
    """
    # The name that `npm pack` gives to the file of a scoped package.
    plain = name.removeprefix("@").replace("/", "-")

    def unpack(unfinished: Path) -> None:
        command = ["npm", "pack", "--silent", f"{name}@{version}"]
        with tarfile.open(fetch(command, folder / "downloads", f"{plain}-{version}.tgz", sha256)) as archive:
            archive.extractall(unfinished, filter="data")

    return unpack_once(folder / plain, unpack)


def unpack_all(folder: Path) -> Path:
    """Fetch and unpack into `folder` whatever is missing there; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    unpack_wheel(*STYLES, folder)
    unpack_package(*NOTO, folder)
    for package in EMOJI.values():
        unpack_npm(*package, folder)
    return folder


def home(source: str, folder: Path) -> Path:
    """The folder of a source's pictures: "styles", "noto", or a name in `EMOJI`."""
    if source == "styles":
        return folder / STYLES[0] / "dicebear_styles"
    if source == "noto":
        return folder / NOTO[0] / "usr" / "share" / "fonts" / "truetype" / "noto"
    package = folder / EMOJI[source][0].removeprefix("@").replace("/", "-") / "package"
    return package / {"fluent": "assets", "twemoji": ".", "openmoji": "color/svg"}[source]
