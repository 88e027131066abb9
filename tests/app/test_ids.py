"""Ids need no quoting in any tool."""

from __future__ import annotations

import re

from sentiloc.app.ids import new_id


def test_an_id_is_never_taken_for_an_option_of_a_command() -> None:
    # One of 64 unfiltered ids starts with a hyphen: 2,000 ids without one cannot happen by chance.
    drawn = {new_id() for _ in range(2_000)}
    assert len(drawn) == 2_000
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", one) for one in drawn)
