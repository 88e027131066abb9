"""Environment variables that look like settings and are none, such as misspelled ones: pydantic ignores them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from sentiloc.app.settings import Settings

_PREFIX = "SENTILOC_"
# Read elsewhere: by the client, the command line, the cache of weights and a supervised worker, and by the tests.
_OTHERS = {
    *("SERVER", "API_KEY", "JOB_WEBHOOK_SECRET", "DEBUG", "CACHE_DIR", "HEARTBEAT_FD"),
    *("DATA", "GOLDEN", "CLIP", "OLDER_RELEASE"),
}


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that no part of Sentiloc reads, sorted by name. Empty values do not count."""
    known = [name.upper() for name in Settings.model_fields]
    # Pydantic reads names in any case.
    named = {
        name.upper().removeprefix(_PREFIX): name
        for name, value in environment.items()
        if value and name.upper().startswith(_PREFIX)
    }
    return [_sentence(named[short], short, known) for short in sorted(named.keys() - {*known, *_OTHERS})]


def _sentence(name: str, short: str, known: list[str]) -> str:
    close = get_close_matches(short, known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {_PREFIX}{close[0]}?" if close else "")
