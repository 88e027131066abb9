"""Renders the Helm chart without Helm: the part of Go's template language that the chart uses.

The public CI uses Helm.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/sentiloc"
_TOKEN = re.compile(r"(\{\{-?.*?-?\}\})", re.DOTALL)
_ACTION = re.compile(r"^\{\{(-?)\s*(.*?)\s*(-?)\}\}$", re.DOTALL)
_ASSIGNMENT = re.compile(r"^(\$\w+) := (.+)$")
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+')
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
        objects += [found for found in yaml.load_all(text, Loader=UniqueKeys) if found]
    return objects


class UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that is there twice. Some of the programs that read a chart's objects do so, too."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As in PyYAML, but twins are an error."""
        keys = [key.value for key, _ in node.value]
        twins = sorted({key for key in keys if keys.count(key) > 1})
        if twins:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {', '.join(twins)}", node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _merged(values: Values, changes: Values) -> Values:
    both = {**values, **changes}
    for name, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(name), dict):
            both[name] = _merged(values[name], change)
    return both


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    # What stands inside of a definition is indented, `end`, too.
    end = re.compile(r'^\{\{- define "(.*?)" -\}\}\n(.*?)\n?^\{\{- end \}\}$', re.DOTALL | re.MULTILINE)
    yield from end.findall(text)


def _is_kind(kind: str, value: Any) -> bool:
    """As in Helm, which reads every number of a values file as a float64."""
    if isinstance(value, bool):
        return kind == "bool"
    kinds: dict[str, Any] = {"slice": list, "map": dict, "float64": (int, float), "string": str}
    return isinstance(value, kinds[kind])


def _quote(value: Any) -> str:
    return json.dumps(str(value).lower() if isinstance(value, bool) else str(value))


def _nindent(width: int, text: str) -> str:
    return "\n" + "\n".join(" " * width + line for line in text.splitlines())


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda *values: sum(map(int, values)),
    "and": lambda first, second: first and second,
    "concat": lambda *lists: [item for one in lists for item in one],
    "default": lambda default, value: value or default,
    "eq": lambda first, second: first == second,
    "floor": lambda value: math.floor(value) if _is_kind("float64", value) else 0,
    "fromYaml": yaml.safe_load,
    "get": lambda mapping, name: mapping.get(name, ""),
    "kindIs": _is_kind,
    "nindent": _nindent,
    "not": lambda value: not value,
    "or": lambda first, second: first or second,
    "printf": lambda form, *values: form % values,
    "quote": _quote,
    "set": lambda mapping, name, value: mapping.update({name: value}) or mapping,
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "toJson": lambda value: json.dumps(value, separators=(",", ":"), sort_keys=True),
    "trim": str.strip,
    "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False).rstrip("\n"),
}


class _Renderer:
    """Renders tokens to text; `if`, `else`, `range` and `end` may be nested."""

    def __init__(self, named: dict[str, str]) -> None:
        self._named = named

    def text(self, template: str, dot: Any) -> str:
        """Render `template`."""
        self._tokens = _trimmed(_TOKEN.split(template))
        self._at = 0
        self._ended_by = ""
        return self._block({".": dot}, live=True)

    def _block(self, scope: Values, *, live: bool) -> str:
        """Render up to `end` or `else`, which `_ended_by` then holds."""
        out = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            action = _ACTION.match(token)
            if action is None:
                out.append(token if live else "")
                continue
            words = action[2]
            if words == "end" or words.startswith("else"):
                self._ended_by = words
                break
            if words.startswith("if "):
                out.append(self._if(words[3:], scope, live=live))
            elif words.startswith("range "):
                out.append(self._range(words, scope, live=live))
            elif live and (variable := _ASSIGNMENT.match(words)):
                scope[variable[1]] = self._value(variable[2], scope)
            elif live:
                out.append(str(self._value(words, scope)))
        return "".join(out)

    def _if(self, condition: str, scope: Values, *, live: bool) -> str:
        out, is_open = "", live
        while True:
            holds = is_open and bool(self._value(condition, scope))
            out += self._block(scope, live=holds)
            is_open = is_open and not holds
            if self._ended_by == "end":
                return out
            condition = self._ended_by.removeprefix("else").removeprefix(" if ") or "1"

    def _range(self, words: str, scope: Values, *, live: bool) -> str:
        match = re.fullmatch(r"range (\$\w+), (\$\w+) := (.+)", words)
        assert match is not None, words
        items = self._value(match[3], scope) if live else {}
        start, out = self._at, []
        for name, value in enumerate(items) if isinstance(items, list) else sorted(items.items()):
            self._at = start
            out.append(self._block({**scope, match[1]: name, match[2]: value}, live=True))
        if not items:
            self._block(scope, live=False)
        return "".join(out)

    def _value(self, text: str, scope: Values) -> Any:
        return self._pipeline(_WORD.findall(text), scope)

    def _pipeline(self, words: list[str], scope: Values) -> Any:
        """Take the words up to the end or a closing bracket. A part's value is the last argument of the next."""
        last: list[Any] = []
        while True:
            found = []
            while words and words[0] not in ("|", ")"):
                word = words.pop(0)
                found.append(self._pipeline(words, scope) if word == "(" else self._word(word, scope))
            first, *arguments = [*found, *last]
            last = [first(*arguments) if callable(first) else first]
            if not words or words.pop(0) == ")":
                return last[0]

    def _word(self, word: str, scope: Values) -> Any:
        if word == "include":
            return lambda name, dot: _Renderer(self._named).text(self._named[name], dot)
        if word in _FUNCTIONS:
            return _FUNCTIONS[word]
        if word[0] == '"':
            return json.loads(word)
        if word.isdigit():
            return int(word)
        if word.startswith("$"):
            return scope[word]
        value: Any = scope["."]
        for name in filter(None, word.split(".")):
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
