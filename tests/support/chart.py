"""Renders the Helm chart without Helm: the part of Go's template language that the chart uses.

The public CI uses Helm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/sentiloc"
_TOKEN = re.compile(r"(\{\{-?.*?-?\}\})", re.DOTALL)
_ACTION = re.compile(r"^\{\{(-?)\s*(.*?)\s*(-?)\}\}$", re.DOTALL)
Values = dict[str, Any]


def render(changes: Values | None = None, release: str = "clips") -> list[Values]:
    """The chart's objects with its values, changed by `changes` (merged in depth)."""
    values = _merged(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), changes or {})
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    dot = {
        "Values": values,
        "Release": {"Name": release},
        "Chart": {"AppVersion": chart["appVersion"], "Name": chart["name"]},
    }
    named = dict(_definitions((CHART / "templates/_helpers.tpl").read_text(encoding="utf-8")))
    objects: list[Values] = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        text = _Renderer(named).text(path.read_text(encoding="utf-8"), dot)
        objects += [found for found in yaml.safe_load_all(text) if found]
    return objects


def _merged(values: Values, changes: Values) -> Values:
    both = {**values, **changes}
    for name, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(name), dict):
            both[name] = _merged(values[name], change)
    return both


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r'\{\{- define "(.*?)" -\}\}\n(.*?)\n?\{\{- end \}\}', text, re.DOTALL)


class _Renderer:
    """Renders tokens to text; `if`, `range` and `end` may be nested."""

    def __init__(self, named: dict[str, str]) -> None:
        self._named = named

    def text(self, template: str, dot: Values) -> str:
        """Render `template`."""
        self._tokens = _trimmed(_TOKEN.split(template))
        self._at = 0
        return self._block({".": dot}, live=True)

    def _block(self, scope: Values, *, live: bool) -> str:
        out = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            action = _ACTION.match(token)
            if action is None:
                out.append(token if live else "")
                continue
            words = action[2]
            if words == "end":
                break
            if words.startswith("if "):
                out.append(self._block(scope, live=live and self._holds(words[3:], scope)))
            elif words.startswith("range "):
                out.append(self._range(words, scope, live=live))
            elif live:
                out.append(str(self._value(words, scope)))
        return "".join(out)

    def _range(self, words: str, scope: Values, *, live: bool) -> str:
        match = re.fullmatch(r"range (\$\w+), (\$\w+) := (\S+)", words)
        assert match is not None, words
        items = self._value(match[3], scope) if live else {}
        start, out = self._at, []
        for name, value in sorted(items.items()):
            self._at = start
            out.append(self._block({**scope, match[1]: name, match[2]: value}, live=True))
        if not items:
            self._block(scope, live=False)
        return "".join(out)

    def _holds(self, words: str, scope: Values) -> bool:
        return (
            not self._holds(words[4:], scope) if words.startswith("not ") else bool(self._value(words, scope))
        )

    def _value(self, words: str, scope: Values) -> Any:
        first, *pipes = [part.strip() for part in words.split("|")]
        value = self._simple(first, scope)
        for pipe in pipes:
            name, *arguments = pipe.split()
            if name == "quote":
                value = json.dumps(str(value))
            elif name == "default":
                value = value or self._simple(arguments[0], scope)
            elif name == "nindent":
                value = "\n" + "\n".join(" " * int(arguments[0]) + line for line in str(value).splitlines())
            else:
                raise ValueError(f"unknown: {pipe}")
        return value

    def _simple(self, words: str, scope: Values) -> Any:
        if words.startswith("include "):
            return _Renderer(self._named).text(self._named[words.split()[1].strip('"')], scope["."])
        if words.startswith("toYaml "):
            return yaml.safe_dump(self._simple(words.split()[1], scope), default_flow_style=False).rstrip(
                "\n"
            )
        if words.startswith("$"):
            return scope[words]
        value: Any = scope["."]
        for name in words.strip(".").split("."):
            value = value[name]
        return value


def _trimmed(tokens: list[str]) -> list[str]:
    """Remove white space before `{{-` and after `-}}`."""
    for index, token in enumerate(tokens):
        action = _ACTION.match(token)
        if action is not None and action[1]:
            tokens[index - 1] = tokens[index - 1].rstrip()
        if action is not None and action[3]:
            tokens[index + 1] = tokens[index + 1].lstrip()
    return tokens
