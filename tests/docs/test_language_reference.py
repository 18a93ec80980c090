"""docs/reference/language.md lists every key of every kind of file, from the schemas. UPDATE=1 rewrites it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.editing import KINDS

PAGE = Path(__file__).parents[2] / "docs/reference/language.md"
HEAD = """\
# Every key of every file

What can be written where; a test keeps this page and the [schemas](schemas) together, which are made from the model the
compiler goes by. What the keys mean together is told elsewhere: [policies](policy.md), [exceptions](exceptions.md),
[classifications](classify.md), [policy tests](policy-tests.md), [writ.yaml](writ-yaml.md).

A key of a list's entries is written with `[]`, one of a mapping whose names are free with `.*`. Keys in **bold** are
required. Unknown keys are errors.
"""
Schema = dict[str, Any]


def shape(schema: Schema) -> str:
    """Return a key's value in words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`".lower() if isinstance(word, bool) else f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(shape(each) for each in schema["anyOf"]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return ", ".join(map(WORDS.get, kind[:-1])) + f" or {WORDS[kind[-1]]}"
    if kind in ("integer", "number") and "minimum" in schema:
        upper = f"to {schema['maximum']}" if "maximum" in schema else "or more"
        return f"{WORDS[kind]}, {schema['minimum']} {upper}"
    if kind == "array":
        if isinstance(schema.get("items"), list):
            return f"list of {len(schema['items'])}: {', '.join(map(shape, schema['items']))}"
        return f"list: {shape(schema['items'])}" if "items" in schema else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping to {shape(schema['additionalProperties'])}"
    return WORDS[kind]


WORDS: Any = {
    "anything": "anything", "string": "text", "integer": "whole number", "number": "number",
    "boolean": "`true`, `false`", "object": "mapping", "array": "list", "null": "nothing",
}  # fmt: skip


def inner(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """Yield the mappings inside a value whose keys are worth a row, with their path."""
    for each in (schema, *schema.get("anyOf", ())):
        if "properties" in each:
            yield each, path
        items, others = each.get("items"), each.get("additionalProperties")
        if isinstance(items, dict):
            yield from inner(items, f"{path}[]")
        if isinstance(others, dict):
            yield from inner(others, f"{path}.*")


def rows(schema: Schema, path: str, seen: dict[str, str]) -> Iterator[str]:
    """Yield the rows of a mapping's keys, each with those of what lies inside; the same mapping only once."""
    required = schema.get("required", ())
    for name, value in schema["properties"].items():
        full = f"{path}.{name}" if path else name
        shown = f"**`{full}`**" if name in required else f"`{full}`"
        below = list(inner(value, full))
        known = [seen.get(identity(each)) for each, _ in below]
        meaning = value.get("description", "")
        if below and all(known):
            meaning = "; ".join(filter(None, [meaning, f"keys as below `{known[0]}`"]))
        yield f"| {shown} | {shape(value)} | {meaning} |"
        for each, where in below:
            if identity(each) not in seen:
                seen[identity(each)] = where
                yield from rows(each, where, seen)


def identity(schema: Schema) -> str:
    """Return what two mappings with the same keys share; those of ``not`` lack only the inner ``not``."""
    keys = {name: value for name, value in schema["properties"].items() if name != "not"}
    return json.dumps(keys, sort_keys=True)


def rendered() -> str:
    parts = [HEAD]
    for kind in KINDS.values():
        table = "\n".join(rows(kind.schema(), "", {}))
        parts.append(f"## {kind.title}: `{kind.files}`\n\n| key | value | meaning |\n|---|---|---|\n{table}\n")
    return "\n".join(parts)


def test_the_page_lists_what_the_schemas_allow() -> None:
    if os.environ.get("UPDATE"):
        PAGE.write_text(rendered(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == rendered()
