"""The help of every subcommand: it is complete on the screen, and has examples that the command accepts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.markup import render
from typer.testing import CliRunner

from sentiloc.cli.examples import EXAMPLES
from sentiloc.cli.verbs import VERBS, _load, root


def every_command() -> Iterator[tuple[str, Any]]:
    """The commands that do something, by name; groups such as `keys` only hold others."""
    for verb, (module, attribute, _) in VERBS.items():
        command = _load(verb, module, attribute)
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield verb, command
        else:
            yield from ((f"{verb} {name}", one) for name, one in subcommands.items())


COMMANDS = dict(every_command())


def test_every_subcommand_has_examples() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines]
)
def test_an_example_is_accepted_by_its_command(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.rpartition("| ")[2])
    arguments = words[words.index("sentiloc") + 1 + len(name.split()) :]
    for path in (Path(one) for one in arguments if not one.startswith(("-", "https:"))):
        # Some options want a path that exists.
        (path if not path.suffix else path.parent).mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_shows_every_word(name: str) -> None:
    """Text in square brackets that looks like a style of rich would vanish."""
    command = COMMANDS[name]
    texts = [command.help, *(parameter.help for parameter in command.params if hasattr(parameter, "help"))]
    for text in filter(None, texts):
        assert render(text).plain == text


def test_the_help_wraps_paragraphs_and_keeps_examples_on_lines_of_their_own() -> None:
    lines = CliRunner().invoke(root, ["localize", "--help"], env={"COLUMNS": "80"}).stdout.splitlines()
    texts = [line.strip() for line in lines]
    assert set(EXAMPLES["localize"]) <= set(texts)
    start = next(number for number, text in enumerate(texts) if text.startswith("Warnings about"))
    # The first line is as full as the width of the terminal allows.
    assert len(texts[start]) + 1 + len(texts[start + 1].split()[0]) > 78


def test_help_names_every_example_of_its_subcommand() -> None:
    shown = CliRunner().invoke(root, ["keys", "create", "--help"], env={"COLUMNS": "160"}).stdout
    for line in EXAMPLES["keys create"]:
        assert line in shown
    assert "default: never" in shown
