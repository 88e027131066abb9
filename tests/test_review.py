"""The commands that docs/security.md and docs/reliability.md name exist, and each row of the review has one."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from tests.proofs.review import commands
from tests.support.services import ROOT
from tests.worker.test_confine import REFUSED
from tests.worker.test_lying_decoder import LIES

PAGES = ("docs/security.md", "docs/reliability.md")
ROWS = 19


def named(pattern: str) -> list[str]:
    found = (re.findall(pattern, (ROOT / page).read_text(encoding="utf-8")) for page in PAGES)
    return sorted({command for commands in found for command in commands})


def names_in(path: Path) -> list[str]:
    """The names by which `-k` finds the tests of a file, parametrized ids left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [f"{path.name} {name}" for name in functions if name.startswith("test")]


def test_every_row_of_the_review_has_a_command() -> None:
    assert sorted(commands()) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("command", named(r"`pytest ([^`]+)`"))
def test_a_named_test_exists(command: str) -> None:
    words = shlex.split(command)
    wanted = words[words.index("-k") + 1] if "-k" in words else ""
    paths = [ROOT / word for word in words if word.endswith(".py")]
    assert paths and all(path.exists() for path in paths)
    if wanted:
        names = [name for path in paths for name in names_in(path)]
        for part in wanted.split(" or "):
            assert any(part in name for name in names), part


@pytest.mark.parametrize("module", named(r"`python -m ((?:tests|bench)(?:[.]\w+)+)"))
def test_a_named_proof_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("page", PAGES)
def test_every_attack_names_its_own_command(page: str) -> None:
    """A row is moved or put between others more easily than a reference to the row above."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert [cells[0] for cells in table if len(cells) == 4 and cells[2] == "the same"] == []


def test_stated_counts_are_those_of_the_tests() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    lies = re.findall(r"(\d+) of (\d+) (?:lies are|end in) `corrupt_media`", page)
    assert lies == [(str(len(LIES)),) * 2] * 2
    assert re.findall(r"0 of (\d+) attempts succeed", page) == [str(len(REFUSED))] * 2
