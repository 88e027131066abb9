"""Hot paths take no more instructions than before: a guard that a busy machine cannot disturb.

Two counts of the same code differ by less than 0.02 %. A change that takes over 5 % more either is intended and counts
anew (`python -m tests.support.hot_paths`), or is a mistake.
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.hot_paths import COUNTED, PATHS, built_with, count

SLACK = 1.05
EXPECTED = json.loads(COUNTED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    """Instructions of one run of each path."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed here")
    if (here := built_with()) != EXPECTED["built with"]:
        pytest.skip(f"counted with other versions: {EXPECTED['built with']}, here {here}")
    return count()


@pytest.mark.parametrize("name", PATHS)
def test_a_hot_path_takes_no_more_instructions_than_before(counts: dict[str, int], name: str) -> None:
    found, expected = counts[name], EXPECTED["instructions"][name]
    assert found <= SLACK * expected, f"{name}: {found / expected - 1:+.1%} instructions"
