"""Rewrites schemas into a form that client generators handle well."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

REF = "#/components/schemas/"
_NULL = {"type": "null"}


def request_schemas(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The schemas of a request body and of everything that it refers to, by name.

    Fields with a default are optional.
    """
    schema = model.model_json_schema(ref_template=f"{REF}{{model}}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def tidy(schema: Any) -> None:
    """Remove generated titles, and defaults: generators treat a property with a default as required.

    The default moves to the description unless it is null or empty.
    """
    if isinstance(schema, list):
        for item in schema:
            tidy(item)
    if not isinstance(schema, dict):
        return
    if "const" in schema:
        # Generators that were made for OpenAPI 3.0 do not know `const`.
        schema["enum"] = [schema["const"]]
    for name, one in schema.get("properties", {}).items():
        default = one.pop("default", None)
        # A constant's default is its only value.
        if default not in (None, {}, []) and "const" not in one:
            one["description"] = f"{one.get('description', name.capitalize())}; default: `{default}`"
        one.pop("title", None)
        tidy(one)
    if "prefixItems" in schema:
        # Some tools require `items` for every array, also for a tuple.
        schema.setdefault("items", schema["prefixItems"][0])
    for key in ("anyOf", "oneOf", "allOf", "items", "additionalProperties", "prefixItems"):
        tidy(schema.get(key))


def own_examples() -> dict[str, list[Any]]:
    """The examples of every model, by its name. FastAPI removes nulls from the examples in its document."""
    found: dict[str, list[Any]] = {}
    waiting = list(BaseModel.__subclasses__())
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        extra = model.model_config.get("json_schema_extra")
        if model.__module__.startswith("sentiloc.") and isinstance(extra, dict) and "examples" in extra:
            examples = extra["examples"]
            found[model.__name__] = list(examples) if isinstance(examples, list) else []
    return found


def tidy_parameter(parameter: dict[str, Any]) -> None:
    """Remove null from the schema of a parameter: a parameter can be left out, but not null."""
    schema = parameter["schema"]
    schema.pop("title", None)
    options = [one for one in schema.get("anyOf", ()) if one != _NULL]
    if len(options) == 1:
        del schema["anyOf"]
        schema.update(options[0])
        parameter["schema"] = {"$ref": schema["$ref"]} if "$ref" in schema else schema
    parameter["schema"].pop("title", None)


def reachable(schemas: dict[str, Any], names: set[str]) -> set[str]:
    """`names` and every schema that they refer to."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name in schemas and name not in found:
            found.add(name)
            waiting |= set(_references(schemas[name]))
    return found


def references(part: Any) -> set[str]:
    """The names of the schemas that a part of the document refers to."""
    return set(_references(part))


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [name for item in part for name in _references(item)]
    if not isinstance(part, dict):
        return []
    own = part.get("$ref")
    found = [own.removeprefix(REF)] if isinstance(own, str) and own.startswith(REF) else []
    return found + [name for value in part.values() for name in _references(value)]
