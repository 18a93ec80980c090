"""Whether arguments are what a tool's JSON schema declares, so that what was decided is what the tool will get.

Frameworks bend what models give: ``"07"`` becomes the number 7 that a rule would have refused, and names that a tool
does not have are dropped. Looked at are types, names and choices in the keywords that pydantic writes.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

from policy_core.request import RequestError

Schema = Mapping[str, Any]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "array": (list,), "boolean": (bool,), "integer": (int,), "null": (type(None),), "number": (int, float),
    "object": (dict,), "string": (str,),
}  # fmt: skip


def check_declared(arguments: Mapping[str, Any], schema: Schema) -> None:
    """Raise RequestError for the first argument that is not as declared."""
    where = next(_undeclared(arguments, schema, schema, "arguments"), None)
    if where is not None:
        raise RequestError(f"request: {where} is not what the tool declares")


def _undeclared(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _undeclared(value, _referred(schema["$ref"], root), root, at)
    for key in ("anyOf", "oneOf"):
        if key in schema and all(any(_undeclared(value, each, root, at)) for each in schema[key]):
            yield at
    for each in schema.get("allOf", ()):
        yield from _undeclared(value, each, root, at)
    if not _is_typed(value, schema) or value not in schema.get("enum", [value]):
        yield at
    elif isinstance(value, dict):
        yield from _undeclared_members(value, schema, root, at)
    elif isinstance(value, list):
        kinds = chain(schema.get("prefixItems", ()), repeat(schema.get("items")))
        for number, (each, kind) in enumerate(zip(value, kinds, strict=False)):
            if isinstance(kind, Mapping):
                yield from _undeclared(each, kind, root, f"{at}[{number}]")


def _undeclared_members(value: Mapping[str, Any], schema: Schema, root: Schema, at: str) -> Iterator[str]:
    """Yield what is wrong with members; pydantic drops those that are not named, unless others are declared."""
    named = schema.get("properties", {})
    others = schema.get("additionalProperties", not named)
    for name, each in value.items():
        place = f"{at}.{name}"
        if name in named:
            yield from _undeclared(each, named[name], root, place)
        elif isinstance(others, Mapping):
            yield from _undeclared(each, others, root, place)
        elif not others and "$ref" not in schema and not schema.keys() & {"anyOf", "oneOf", "allOf"}:
            yield place


def _is_typed(value: Any, schema: Schema) -> bool:
    """Tell whether a value is of one of the types; a truth value is no number."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return not kinds or any(type(value) in _TYPES.get(kind, ()) for kind in kinds)


def _referred(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found if isinstance(found, Mapping) else {}
