"""Ids of jobs, uploads, batches, reels and registered webhooks."""

from __future__ import annotations

import re
import secrets

ID = re.compile(r"[A-Za-z0-9_-]{22}")
"""The form of all ids."""


def new_id() -> str:
    """An unguessable id: 22 characters, at least 127 random bits, safe in URLs, file names and on a command line."""
    # On a command line, a leading hyphen marks an option: `sentiloc result -Ab...` would fail.
    while (drawn := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return drawn
