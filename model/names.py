"""File names for display and for links. Names of local files may contain any byte except a slash."""

from __future__ import annotations

import re
from unicodedata import category, normalize
from urllib.parse import quote, unquote, urlsplit

_JOINERS = "\u200c\u200d"
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def shown_name(name: str) -> str:
    """A name as text that every format can represent, without unprintable characters.

    Bytes that are not UTF-8, which Python represents as surrogates, are replaced. `video` if nothing is left.
    """
    if name and name.isprintable():
        return name
    shown = (_NO_CHARACTER if _is_surrogate(one) else one for one in name if _is_shown(one))
    return "".join(shown) or "video"


def link_to(name: str) -> str:
    """A name, or a path, as a URL: the bytes that the file has on disk, percent-encoded."""
    # Not `os.fsencode`, because the server's own encoding does not apply to the names of uploads.
    return quote(name.encode("utf-8", "surrogateescape"))


def folder_path(folder: str) -> str:
    """The path of a folder, without a slash at its end: the folder is a path, of Windows too, or a `file:` URL."""
    if folder.lower().startswith("file:"):
        place = urlsplit(folder)
        host = "" if place.netloc.lower() in ("", "localhost") else f"//{place.netloc}"
        path = f"{host}{unquote(place.path, errors='surrogateescape')}"
        folder = path[1:] if _DRIVE.match(path[1:]) else path
    elif _DRIVE.match(folder) or folder.startswith("\\\\"):
        # Elsewhere a backslash may be part of a name.
        folder = folder.replace("\\", "/")
    return folder.rstrip("/")


def folded(name: str) -> str:
    """A key that is equal for names of one file if the file system ignores case and the encoding of accents, as on
    Windows and macOS.
    """
    return normalize("NFC", normalize("NFC", name).casefold())


def is_text(name: str) -> bool:
    """Whether a name is UTF-8. Linux allows any bytes in a name; Python represents invalid ones as surrogates."""
    return not any(_is_surrogate(one) for one in name)


def _is_surrogate(character: str) -> bool:
    return category(character) == "Cs"


def _is_shown(character: str) -> bool:
    # `isprintable` also refuses the spaces of Japanese titles and the joiners of emojis.
    return character.isprintable() or character in _JOINERS or category(character) in ("Cs", "Zs")
