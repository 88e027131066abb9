"""Which format an `Accept` header chooses."""

from __future__ import annotations

import pytest

from sentiloc.app.routes.results.result import negotiate

# Headers that browsers and libraries send by default.
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "json"),
        ("*/*", "json"),
        (CHROMIUM, "html"),  # the report, for people
        ("application/json, text/plain, */*", "json"),
        ("text/csv", "csv"),
        ("text/csv, application/json", "csv"),
        ("application/json, text/csv", "json"),
        ("application/json;q=0.5, text/csv;q=0.9", "csv"),
        ("text/csv;q=0.2, text/vtt;q=0.3", "vtt"),
        ("text/csv;q=0, application/json", "json"),
        ("application/json;q=0, text/csv", "csv"),
        ("*/*;q=0.1, text/vtt", "vtt"),
        ("text/*, application/json;q=0.1, text/csv;q=0.2", "vtt"),
        ("TEXT/CSV ; Q=1.0", "csv"),
        ("text/csv;charset=utf-8;q=0.7, text/vtt;q=0.6", "csv"),
        ("text/vtt;q=much, text/csv;q=0.1", "csv"),
        ("image/png", "json"),
        ("nonsense", "json"),
        (", ".join(["a/b"] * 10_000), "json"),
    ],
)
def test_the_most_wanted_known_format_wins(accept: str, name: str) -> None:
    assert negotiate(accept) == name
