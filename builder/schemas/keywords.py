"""Which JSON Schema keywords a schema may use (draft 2020-12), and which of them hold further schemas.

Closed, so that a misspelt keyword is found and every keyword that is accepted is checked. Left out: whatever leads out
of the file or needs to know where evaluation came from (``$id`` inside, ``$dynamicRef``, ``unevaluatedProperties``).
"""

from collections.abc import Iterator
from typing import Any

Pointer = tuple[str | int, ...]
Schema = dict[str, Any] | bool

NAMED = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
"""A mapping of names to schemas."""
LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SINGLE = frozenset({
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
})  # fmt: skip
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Those whose schemas speak of the same value."""
ASSERTIONS = frozenset({
    "type", "enum", "const", "$ref", "pattern", "format", "required", "dependentRequired", "uniqueItems",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties",
})  # fmt: skip
ANNOTATIONS = frozenset({
    "$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
})  # fmt: skip
KEYWORDS = NAMED | LISTED | SINGLE | ASSERTIONS | ANNOTATIONS
FORMATS = frozenset({"date", "email", "ipv4", "ipv6", "uuid"})
"""Those that are checked; the others would only look as if."""


def inner(schema: Schema, pointer: Pointer) -> Iterator[tuple[Pointer, Schema]]:
    """Yield the schemas directly inside a schema, each with its pointer."""
    if isinstance(schema, bool):
        return
    for keyword, value in schema.items():
        here = (*pointer, keyword)
        if keyword in NAMED:
            yield from (((*here, name), found) for name, found in value.items())
        elif keyword in LISTED:
            yield from (((*here, index), found) for index, found in enumerate(value))
        elif keyword in SINGLE:
            yield here, value


def parse_reference(reference: str) -> Pointer | None:
    """Return where ``#/$defs/name`` points within its own file, None for any other kind of reference."""
    if not (reference == "#" or reference.startswith("#/")) or "%" in reference:
        return None
    parts = reference.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
