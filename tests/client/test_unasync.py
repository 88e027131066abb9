"""The blocking client is generated from the asynchronous one."""

from __future__ import annotations

import runpy
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "clients/python/unasync.py"


def test_the_blocking_client_is_up_to_date() -> None:
    generator = runpy.run_path(str(GENERATOR))
    written = {path.name: path.read_text(encoding="utf-8") for path in generator["TARGET"].glob("*.py")}
    assert written == generator["generated"](), "run `python clients/python/unasync.py`"
