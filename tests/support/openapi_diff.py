"""Find changes of the OpenAPI document that break clients of an earlier document.

`python -m tests.support.openapi_diff` compares the service's document with the baseline, release 1 of /v1.
`--write` replaces the baseline: only for a release, and only if nothing is broken.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings

BASELINE = Path(__file__).parents[1] / "app" / "contract_v1.json"
_PROSE = {"description", "summary", "examples", "example", "title"}
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_DEEPEST = 12


def current() -> dict[str, Any]:
    """The current document, of a server that requires API keys."""
    document = create_app(Settings(redis_url="redis://localhost:1/0", api_keys="on")).openapi()
    pruned: dict[str, Any] = _without_prose(json.loads(json.dumps(document)))
    return pruned


def _without_prose(part: Any, *, names: bool = False) -> Any:
    if isinstance(part, list):
        return [_without_prose(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _without_prose(value, names=key in ("properties", "schemas", "headers"))
        for key, value in part.items()
        if names or key not in _PROSE
    }


class Comparison:
    """Two documents. `breaks` yields one sentence for each change that a client of the old one would notice."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old, self._new = old, new

    def breaks(self) -> Iterator[str]:
        for path, operations in self._old["paths"].items():
            for method, old in operations.items():
                place = f"{method.upper()} {path}"
                new = self._new["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{place} is gone"
                else:
                    yield from self._operation(place, old, new)

    def _operation(self, place: str, old: Any, new: Any) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{place}: operationId {old['operationId']} became {new['operationId']}"
        if new.get("security") and (
            not old.get("security") or ({} in old["security"] and {} not in new["security"])
        ):
            yield f"{place} needs a key now"
        yield from self._parameters(place, old.get("parameters", []), new.get("parameters", []))
        yield from self._body(place, old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status not in new["responses"]:
                yield f"{place}: the answer {status} is gone"
                continue
            yield from self._answer(f"{place} {status}", answer, new["responses"][status])

    def _parameters(self, place: str, old: list[Any], new: list[Any]) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old}
        after = {(one["in"], one["name"]): one for one in new}
        for key, one in before.items():
            if key not in after:
                yield f"{place}: the parameter {key[1]} is gone"
            else:
                yield from self._accepts(f"{place} {key[1]}", one["schema"], after[key]["schema"])
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                yield f"{place}: the parameter {key[1]} is required now"

    def _body(self, place: str, old: Any, new: Any) -> Iterator[str]:
        if new is None:
            if old is not None:
                yield f"{place}: the body is gone"
            return
        if new.get("required") and not (old or {}).get("required"):
            yield f"{place}: the body is required now"
        for kind, content in (old or {}).get("content", {}).items():
            if kind not in new["content"]:
                yield f"{place}: bodies of the type {kind} are gone"
            else:
                yield from self._accepts(f"{place} body", content["schema"], new["content"][kind]["schema"])

    def _answer(self, place: str, old: Any, new: Any) -> Iterator[str]:
        for name in old.get("headers", {}):
            if name not in new.get("headers", {}):
                yield f"{place}: the header {name} is gone"
        for kind, content in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"{place}: the type {kind} is gone"
            elif "schema" in content:
                after = new["content"][kind].get("schema", {})
                yield from self._answers(place, content["schema"], after)

    def _accepts(self, place: str, old: Any, new: Any, depth: int = 0) -> Iterator[str]:
        """Request values that the old schema allowed and the new one rejects."""
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        if depth > _DEEPEST or not new:
            return
        if not _types(old) <= _types(new) or (not old and new):
            yield f"{place}: does not take {sorted(_types(old) - _types(new)) or 'everything'} any more"
            return
        yield from _narrower(place, old, new)
        if gone := _words(old) - _words(new) if _words(new) else set():
            yield f"{place}: does not take {sorted(gone)} any more"
        if extra := set(new.get("required", ())) - set(old.get("required", ())):
            yield f"{place}: {sorted(extra)} required now"
        yield from self._options(place, old, new, depth, inwards=True)
        yield from self._parts(place, old, new, depth, inwards=True)

    def _answers(self, place: str, old: Any, new: Any, depth: int = 0) -> Iterator[str]:
        """Properties of answers that the old schema promised and the new one does not."""
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        if depth > _DEEPEST or not old:
            return
        if not _types(new) <= _types(old) or not new:
            yield f"{place}: may be {sorted(_types(new) - _types(old)) or 'anything'} now"
            return
        if _words(old) and (extra := _words(new) - _words(old) or (set() if _words(new) else {"any"})):
            yield f"{place}: may be {sorted(extra)} now"
        if gone := set(old.get("required", ())) - set(new.get("required", ())):
            yield f"{place}: {sorted(gone)} may be absent now"
        yield from self._options(place, old, new, depth, inwards=False)
        yield from self._parts(place, old, new, depth, inwards=False)

    def _options(self, place: str, old: Any, new: Any, depth: int, *, inwards: bool) -> Iterator[str]:
        """Each option of one side must have a compatible one on the other."""
        before, after = _choices(old), _choices(new)
        if len(before) == len(after) == 1:
            return
        compare = self._accepts if inwards else self._answers
        for one in before if inwards else after:
            pairs = [(one, other) if inwards else (other, one) for other in (after if inwards else before)]
            if all(any(compare(place, first, second, depth + 1)) for first, second in pairs):
                yield f"{place}: an alternative {'is gone' if inwards else 'is new'}"

    def _parts(self, place: str, old: Any, new: Any, depth: int, *, inwards: bool) -> Iterator[str]:
        compare = self._accepts if inwards else self._answers
        after = new.get("properties", {})
        for name, one in old.get("properties", {}).items():
            if name in after:
                yield from compare(f"{place}.{name}", one, after[name], depth + 1)
            elif not inwards or new.get("additionalProperties") is False:
                yield f"{place}.{name} is gone"
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                yield from compare(f"{place}[]", old[key], new[key], depth + 1)


def _resolved(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = schema if isinstance(schema, dict) else {}
    while "$ref" in found:
        target: Any = document
        for step in found["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        found = target
    if len(found.get("allOf", ())) == 1:
        return _resolved(document, found["allOf"][0])
    if len(_choices(found)) == 2 and {"type": "null"} in _choices(found):
        # A nullable value: its type with null added.
        (value,) = (one for one in _choices(found) if one != {"type": "null"})
        value = _resolved(document, value)
        if "type" in value or "enum" in value:
            return {**value, "nullable": True}
    return found


def _choices(schema: dict[str, Any]) -> list[Any]:
    options: list[Any] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    # Alternatives of required fields only.
    return (
        [schema]
        if any("required" in one and "type" not in one for one in options) and "type" in schema
        else options
    )


def _types(schema: dict[str, Any]) -> set[str]:
    kind = schema.get("type")
    found = {kind} if isinstance(kind, str) else set(kind or ())
    if found and schema.get("nullable"):
        found.add("null")
    return found | ({"integer"} if "number" in found else set())


def _words(schema: dict[str, Any]) -> set[str]:
    return {json.dumps(one) for one in schema.get("enum", [schema["const"]] if "const" in schema else [])}


def _narrower(place: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in _LEAST:
        if key in new and (key not in old or new[key] > old[key]):
            yield f"{place}: {key} is {new[key]} now"
    for key in _MOST:
        if key in new and (key not in old or new[key] < old[key]):
            yield f"{place}: {key} is {new[key]} now"
    for key in ("pattern", "format"):
        if key in new and new[key] != old.get(key) and not _only_adds(old.get(key), new[key]):
            yield f"{place}: {key} is {new[key]} now"


def _only_adds(old: str | None, new: str) -> bool:
    """True if both patterns list words, such as `^(json|csv)$`, and the new one lists all words of the old one."""
    before, after = (re.fullmatch(r"\^\(([\w|]+)\)\$", one or "") for one in (old, new))
    return bool(before and after and set(before[1].split("|")) <= set(after[1].split("|")))


def main() -> None:
    """Compare, or write the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    new = current()
    if BASELINE.exists():
        broken = list(Comparison(json.loads(BASELINE.read_text(encoding="utf-8")), new).breaks())
        if broken:
            raise SystemExit("\n".join(broken))
    if parser.parse_args().write:
        BASELINE.write_text(
            json.dumps(new, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
