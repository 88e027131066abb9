"""File names in headers: those of uploads, as clients send them, and those of files that are sent."""

from __future__ import annotations

from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import quote

from python_multipart.multipart import parse_options_header

from sentiloc.model.names import shown_name

# The longest file name of common file systems.
MAX_NAME = 255
_UNSAFE = frozenset('"\\%;/')


def display_name(name: str) -> str:
    """A client's name for a file, without folders and unprintable characters; `video` if nothing is left."""
    # Old Windows clients send the whole path.
    base = name.replace("\\", "/").rpartition("/")[2]
    return shown_name(base[:MAX_NAME])


def sent_disposition(kind: str, name: str) -> str:
    """The `Content-Disposition` of a file that is sent, `attachment` or `inline`.

    RFC 6266, appendix D: `filename` comes first, for clients such as curl that do not know `filename*`.
    """
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in _UNSAFE else "_" for char in name
    )
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def disposition_name(disposition: str) -> str:
    """The file name in a `Content-Disposition` header; empty if there is none.

    `filename*` (RFC 5987, also in the numbered pieces of RFC 2231) wins over `filename`, as RFC 6266 asks. RFC 7578
    forbids it in forms, but .NET and some Java clients send it. Encoded words (RFC 2047), which mail libraries write,
    are decoded. A form that cannot be decoded is skipped.

    Args:
        disposition: the header's value, its bytes decoded as Latin-1.
    """
    _, options = parse_options_header(disposition)
    plain = options.get(b"filename", b"").decode("utf-8", "replace")
    return _extended_name(disposition) or _decoded_words(plain)


def _extended_name(disposition: str) -> str:
    if "filename*" not in disposition.lower():
        return ""
    message = Message()
    try:
        message["Content-Disposition"] = disposition
        values = [
            value
            for key, value in message.get_params(header="Content-Disposition") or []
            if key == "filename"
        ]
        # The library gives an extended value as a tuple, and a plain one as text.
        extended = [value for value in values if isinstance(value, tuple)]
        return collapse_rfc2231_value((extended or values)[0])
    except (LookupError, ValueError, TypeError):
        return ""


def _decoded_words(name: str) -> str:
    if "=?" not in name:
        return name
    try:
        return str(make_header(decode_header(name)))
    except (LookupError, ValueError, MessageError):
        return name
