"""Generate the types of the TypeScript client from the OpenAPI document: `python -m tests.support.typescript_types`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentiloc.app.main import create_app
from sentiloc.app.openapi.schemas import REF
from sentiloc.app.settings import Settings

FILE = Path(__file__).parents[2] / "clients" / "typescript" / "src" / "schema.ts"
_HEAD = "// Written from the OpenAPI document by `python -m tests.support.typescript_types`. Do not edit.\n"
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def source() -> str:
    """The text of `schema.ts`."""
    document = create_app(Settings(redis_url="redis://localhost:1/0")).openapi()
    schemas = document["components"]["schemas"]
    return _HEAD + "".join(f"\n{_declaration(name, schemas[name])}" for name in sorted(schemas))


def _declaration(name: str, schema: dict[str, Any]) -> str:
    comment = _comment(schema, "")
    if "properties" not in schema:
        return f"{comment}export type {name} = {_type(schema)};\n"
    groups = [one["required"] for one in schema.get("anyOf", ()) if set(one) == {"required"}]
    if not groups:
        return f"{comment}export interface {name} {_object(schema, '')}\n"
    # At least one of these fields has to be there.
    fields = f"{name}Fields"
    some = " | ".join(f"Required<Pick<{fields}, {_union(group)}>>" for group in groups)
    return f"interface {fields} {_object(schema, '')}\n\n{comment}export type {name} = {fields} & ({some});\n"


def _union(words: list[str]) -> str:
    return " | ".join(map(json.dumps, words))


def _comment(schema: dict[str, Any], indent: str) -> str:
    text = " ".join(schema.get("description", "").split())
    return f"{indent}/** {text} */\n" if text else ""


def _object(schema: dict[str, Any], indent: str) -> str:
    required = schema.get("required", ())
    inner = f"{indent}  "
    lines = [
        f"{_comment(one, inner)}{inner}{name}{'' if name in required else '?'}: {_type(one, inner)};\n"
        for name, one in schema["properties"].items()
    ]
    return f"{{\n{''.join(lines)}{indent}}}"


def _type(schema: dict[str, Any], indent: str = "") -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return (" & " if key == "allOf" else " | ").join(_type(one, indent) for one in schema[key])
    kind = schema.get("type")
    if "prefixItems" in schema:
        return f"[{', '.join(_type(one, indent) for one in schema['prefixItems'])}]"
    if kind == "array":
        item = _type(schema.get("items", {}), indent)
        return f"({item})[]" if " | " in item else f"{item}[]"
    if kind != "object":
        return _PLAIN.get(str(kind), "unknown")
    if "properties" in schema:
        return _object(schema, indent)
    values = schema.get("additionalProperties", {})
    return f"Record<string, {_type(values, indent) if isinstance(values, dict) else 'unknown'}>"


if __name__ == "__main__":
    FILE.write_text(source(), encoding="utf-8")
