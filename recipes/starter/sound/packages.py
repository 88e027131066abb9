"""Real music and telephone prompts from Debian packages, by name, version and digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recipes.starter.debian import unpack_package

_AUDIO = (".ogg", ".opus", ".wav")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundPackage:
    """A Debian package: `sha256` of its file, `folder` in it that holds the sounds, whether it is held out."""

    name: str
    version: str
    sha256: str
    folder: str
    kind: str
    held_out: bool = False


PACKAGES = (
    SoundPackage(
        name="wesnoth-1.16-music",
        version="1:1.16.9-1",
        sha256="f9bc3cde92b4ab30db5d7b85f89b4bcc3d788dd92602956d0347250850bf59bb",
        folder="usr/share/games/wesnoth",
        kind="music",
    ),
    SoundPackage(
        name="supertux-data",
        version="0.6.3-2",
        sha256="a6ad8865972f1dbb5e7b49f4e1b381dd16a68f3028a3502cfeaca2400285d27f",
        folder="usr/share/games/supertux2/music",
        kind="music",
    ),
    SoundPackage(
        name="warzone2100-music",
        version="4.3.3-3",
        sha256="d3b2c9f90ea5438d45d4aff18339a03ec808e1affa9dac91f7dad61cb15ee64e",
        folder="usr/share/games/warzone2100/music",
        kind="music",
        held_out=True,
    ),
    SoundPackage(
        name="asterisk-core-sounds-en-wav",
        version="1.6.1-1",
        sha256="2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
        folder="usr/share/asterisk/sounds",
        kind="calm",
    ),
    SoundPackage(
        name="asterisk-core-sounds-fr-wav",
        version="1.6.1-1",
        sha256="8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e",
        folder="usr/share/asterisk/sounds",
        kind="calm",
    ),
    SoundPackage(
        name="asterisk-core-sounds-es-wav",
        version="1.6.1-1",
        sha256="9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903",
        folder="usr/share/asterisk/sounds",
        kind="calm",
        held_out=True,
    ),
)


def unpack(package: SoundPackage, folder: Path) -> list[Path]:
    """The sound files of a package, sorted; fetched and unpacked into `folder` first where they are missing.

    Raises `ValueError` where the fetched file is not the one that the recipe was made with.
    """
    home = unpack_package(package.name, package.version, package.sha256, folder)
    return sorted(path for path in (home / package.folder).rglob("*") if path.suffix in _AUDIO)
