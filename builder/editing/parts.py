"""The pieces that schemas of authored files are put together from (JSON Schema draft 7, the one all editors know)."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

MOMENT: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$",
    "description": "a time with its zone, such as 2026-11-01T12:00:00Z",
}
DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "description": "a day, such as 2026-11-01"}
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$",
    "description": "a duration, such as 90s, 1h30m or 7d",
}
PATH: Schema = {
    "type": "string",
    "pattern": r"^(subject|action|resource|context)\..+$",
    "description": "a dotted path in the request, such as resource.properties.env",
}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
VERSION: Schema = {"const": "v1", "description": "the version of this form of file"}


def text(description: str = "", *, pattern: str = "", most: int = 1_000) -> Schema:
    """Return the schema of a text that is not empty."""
    schema: Schema = {"type": "string", "minLength": 1, "maxLength": most}
    if pattern:
        schema["pattern"] = f"^(?:{pattern})$"
    return described(schema, description)


def one_of(words: Iterable[str], description: str = "") -> Schema:
    """Return the schema of one of some words."""
    return described({"enum": list(words)}, description)


def integer(least: int, most: int, description: str = "") -> Schema:
    """Return the schema of a whole number within bounds."""
    return described({"type": "integer", "minimum": least, "maximum": most}, description)


def list_of(items: Schema, description: str = "", *, may_be_empty: bool = False) -> Schema:
    """Return the schema of a list."""
    schema: Schema = {"type": "array", "items": items}
    return described(schema if may_be_empty else schema | {"minItems": 1}, description)


def one_or_list(items: Schema, description: str = "") -> Schema:
    """Return the schema of one value or a list of such."""
    return described({"anyOf": [items, list_of(items)]}, description)


def mapping(
    properties: Mapping[str, Schema], description: str = "", *, required: Iterable[str] = (), may_be_empty: bool = False
) -> Schema:
    """Return the schema of a mapping that has these keys and no others."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required := list(required):
        schema["required"] = required
    elif not may_be_empty:
        schema["minProperties"] = 1
    return described(schema, description)


def map_of(values: Schema, description: str = "", *, keys: str = "", may_be_empty: bool = False) -> Schema:
    """Return the schema of a mapping from names to values; `keys` is a pattern that names match in full."""
    schema: Schema = {"type": "object", "additionalProperties": values}
    if not may_be_empty:
        schema["minProperties"] = 1
    if keys:
        schema["propertyNames"] = {"pattern": f"^(?:{keys})$"}
    return described(schema, description)


def either(one: str, other: str) -> Schema:
    """Return the schema that refuses two keys beside each other."""
    return {"not": {"required": [one, other]}}


def described(schema: Schema, description: str) -> Schema:
    """Return a schema with what editors show beside the key."""
    return schema | {"description": description} if description else schema
