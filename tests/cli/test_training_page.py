"""The commands of docs/training.md fit together."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_a_run_is_resumed_with_the_options_it_was_started_with() -> None:
    """Other options are refused, because the network and its losses would change within the run."""
    lines = re.findall(r"^sentiloc train .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    commands = [shlex.split(line, comments=True) for line in lines]
    resumed = [words for words in commands if "--resume" in words]
    assert resumed
    for words in resumed:
        assert [word for word in words if word != "--resume"] in commands, words
