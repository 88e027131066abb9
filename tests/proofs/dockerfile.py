"""A Dockerfile read as Docker reads it, as far as ours goes: what it does not know, it refuses."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

KNOWN = frozenset(
    {"FROM", "ARG", "RUN", "COPY", "ENV", "USER", "WORKDIR", "EXPOSE", "VOLUME", "HEALTHCHECK", "CMD"}
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class DockerfileError(ValueError):
    """An instruction, or a form of one, that is not implemented here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of a stage, its lines joined."""

    word: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Stage:
    """FROM `base` AS `name`, and what follows."""

    name: str
    base: str
    steps: tuple[Step, ...]


def parse(text: str) -> dict[str, Stage]:
    """The stages by name, in their order."""
    stages: dict[str, Stage] = {}
    for step in _steps(text):
        if step.word not in KNOWN:
            raise DockerfileError(f"line {step.line}: {step.word} is not known here")
        if step.word == "FROM":
            found = re.fullmatch(r"(\S+)\s+AS\s+(\S+)", step.text, re.IGNORECASE)
            if found is None:
                raise DockerfileError(f"line {step.line}: only `FROM image AS name` is known here")
            stages[found[2]] = Stage(found[2], found[1], ())
        elif not stages:
            raise DockerfileError(f"line {step.line}: {step.word} before the first FROM")
        else:
            last = next(reversed(stages.values()))
            stages[last.name] = Stage(last.name, last.base, (*last.steps, step))
    return stages


def _steps(text: str) -> list[Step]:
    found, parts, begin = [], list[str](), 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begin = begin if parts else number
        parts.append(line.rstrip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            word, _, rest = " ".join(parts).partition(" ")
            found.append(Step(word.upper(), rest.strip(), begin))
            parts = []
    if parts:
        raise DockerfileError(f"line {begin}: the last instruction does not end")
    return found


def needed(stages: dict[str, Stage], target: str) -> list[Stage]:
    """The stages that `target` is made of, in the order of the file."""
    names, left = set[str](), [target]
    while left:
        stage = stages.get(left.pop())
        if stage is None or stage.name in names:
            continue
        names.add(stage.name)
        left += [stage.base, *(source for step in stage.steps if (source := copied_from(step)))]
    return [stage for stage in stages.values() if stage.name in names]


def copied_from(step: Step) -> str | None:
    """The stage that a COPY takes from; None where it takes from the build's context."""
    found = re.match(r"--from=(\S+)\s", step.text) if step.word == "COPY" else None
    return found[1] if found else None


def copy_words(step: Step) -> tuple[list[str], str]:
    """Sources and destination of a COPY."""
    words = step.text.split()
    flags = [word for word in words if word.startswith("--")]
    sources = words[len(flags) : -1]
    if (
        any(not flag.startswith("--from=") for flag in flags)
        or not sources
        or set("*?[") & set("".join(sources))
    ):
        raise DockerfileError(f"line {step.line}: only `COPY [--from=stage] path... path` is known here")
    return sources, words[-1]


def pairs(step: Step, known: dict[str, str]) -> dict[str, str]:
    """NAME=VALUE of an ENV, after variables are replaced by what is known."""
    found = {}
    for word in shlex.split(step.text):
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(f"line {step.line}: only `{step.word} name=value` is known here")
        found[name] = expand(value, known)
    return found


def expand(text: str, known: dict[str, str]) -> str:
    """$NAME and ${NAME} replaced; an unknown one is empty."""
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], ""), text)


def exec_form(step: Step) -> list[str]:
    """The words of `["program", "argument"]`; the shell's form is not known here."""
    text = step.text[step.text.find("[") :]
    try:
        words = json.loads(text)
    except ValueError as error:
        raise DockerfileError(f'line {step.line}: only {step.word} ["program", …] is known here') from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(f"line {step.line}: not a list of words")
    return words


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether a path of the context, or a folder above it, is named in .dockerignore."""
    parts = PurePosixPath(path).parts
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for pattern in patterns:
        tail = pattern.removeprefix("**/")
        if any(fnmatch(place, pattern) or (tail != pattern and fnmatch(place, tail)) for place in above):
            return True
        if tail != pattern and any(fnmatch(part, tail) for part in parts):
            return True
    return False
