"""Cursors of paged lists: opaque texts that only the list itself interprets."""

from __future__ import annotations

import base64

from sentiloc.app.http.problems import ProblemCode, TypedProblem


class InvalidCursor(TypedProblem):
    """The cursor was not made by this list."""

    of_status = 422
    of_code = ProblemCode.INVALID_CURSOR
    example = "This is not a cursor of this list. Start again without a cursor."


def encode_cursor(text: str) -> str:
    """The text as a cursor. It is encoded so that clients treat it as opaque; it must contain nothing secret."""
    # Without padding, which would have to be escaped in URLs.
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The text of a cursor; raises `InvalidCursor`."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise InvalidCursor from error
