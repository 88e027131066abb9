"""Pictures without people and fonts from Debian packages, by name, version and digest."""

from __future__ import annotations

from pathlib import Path

from recipes.starter.sources.debian import unpack_package

PACKAGES = {
    "gnome-backgrounds=43.1-1": "a670dea21572652127d6e55f9cdb3a226d0037854fdbfd037003c7d00ee0dc4e",
    "mate-backgrounds=1.26.0-1": "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
    "plasma-workspace-wallpapers=4:5.27.5-2": "32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
    "ukui-wallpapers=20.04.3-1.1": "6d49be70152e6d603163458e177e501deb0be8f2916389ccbfcf59b0d7fc0262",
    "tuxpaint-stamps-default=2022.06.04-1": "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    "extremetuxracer-data=0.8.2-1": "8ce6c82e6fb89549d284f43f6c4b0a9d82e6c0e5da753bee0ef419276a21470c",
    "gcompris-qt-data=3.1-2": "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    "warzone2100-data=4.3.3-3": "53ad292569e0bf9d16de1642d13629f29ed5dfb68896787e4c65ac60edc07d3d",
    "fonts-bebas-neue=3.0-2": "fdc713c8323e967f17e0f86fdda358af11b905bb4732551afbff75decdfd2bb4",
    "fonts-cantarell=0.303.1-1": "8fdf5687d9e2ce70456664519025a6b48fbaaadbc5b1cfbf8b09f72c2dc5f09b",
    "fonts-comfortaa=3.001-3": "33c65e81b201177a56e6528f7ea5fd6b19f2db0bb6f4f95346b9483691851929",
    "fonts-dancingscript=1.2-2": "987b8182611e1f3d9e7b19a82787614470dd8c4ed894a4dedbebc2308703b216",
    "fonts-humor-sans=1.0-4": "84bd0c40b65dc345e05396a4ffb64282c14fbbb6e7079126eeabc92bd9fe7311",
    "fonts-inconsolata=001.010-6": "bb5015c631cd47aa7d9d6e0ecd101f0e1234300f935e7719ea32ed9b640f0ac4",
    "fonts-lato=2.0-2.1": "86f50af146a7df9eca4e69f0262e73e708908435ebfa833df797adfa08843bc5",
    "fonts-liberation=1:1.07.4-11": "efd381517f958b01969343634ffcbdd60056be7779af84c6f53a005090430204",
    "fonts-linuxlibertine=5.3.0-6": "5c77471e910189b3e4e2eda2b1c5f549ddcaf4de8f9640b97773643970d29087",
    "fonts-lobster=2.0-2.1": "9379824d3f3bc44844aa07cb9ad4e6bfd99a785e34668c5dba410947b715dc1b",
    "fonts-roboto-slab=1.100263+20170512-2": "bbc315d672de850a7c980bc2283e41b4f322fd5a2b2bb2d00f07c15983b950b1",
}


def unpack_all(folder: Path) -> Path:
    """Fetch and unpack into `folder` whatever is missing there; returns `folder`.

    Raises ValueError if a fetched file has another digest than the recipe states.
    """
    for package, digest in PACKAGES.items():
        name, _, version = package.partition("=")
        unpack_package(name, version, digest, folder)
    return folder
