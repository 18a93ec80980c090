"""Whether a schema is one: draft 2020-12, self-contained, with patterns RE2 can run, and without endless loops."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from builder.language.fields import shown, suggestion
from builder.schemas.keywords import FORMATS, IN_PLACE, KEYWORDS, Pointer, Schema, inner, parse_reference
from policy_core.attributes import compile_regex

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMAS = 2_000
"""Schemas within one file."""
MAX_STEPS_IN_PLACE = 16
"""Schemas that lead from one to the next while they speak of the same value."""

_LATER_DRAFT_WORDS = {"definitions": "$defs", "dependencies": "dependentRequired", "id": "$id"}


class Finding(NamedTuple):
    """One thing wrong with a value: the path to it, and whether the key is meant rather than its value."""

    path: Pointer
    message: str
    hint: str = ""
    at_key: bool = False


def schema_findings(document: Any) -> list[Finding]:
    """Return everything that is wrong with a schema document."""
    from jsonschema import Draft202012Validator

    if not isinstance(document, dict):
        return [Finding((), "expected a schema, that is a mapping", "such as type: object")]
    unlike = [
        Finding(tuple(error.absolute_path), f"not valid as a schema: {_one_line(error.message)}")
        for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(document)
    ]
    if unlike:
        return unlike
    schemas: dict[Pointer, Schema] = {}
    pending: list[tuple[Pointer, Schema]] = [((), document)]
    while pending:
        pointer, schema = pending.pop()
        schemas[pointer] = schema
        pending += inner(schema, pointer)
        if len(schemas) > MAX_SCHEMAS:
            return [Finding((), f"has more than {MAX_SCHEMAS} schemas in it", "split it, or describe less")]
    spelled: dict[Pointer, Pointer] = {
        tuple(map(str, pointer)): pointer for pointer in schemas
    }  # as references say it: indexes as text
    found = [finding for pointer, schema in schemas.items() for finding in _findings(pointer, schema, spelled)]
    return found or _loops(schemas, spelled)


def _findings(pointer: Pointer, schema: Schema, spelled: Mapping[Pointer, Pointer]) -> Iterator[Finding]:
    if isinstance(schema, bool):
        return
    for keyword, value in schema.items():
        here = (*pointer, keyword)
        if keyword not in KEYWORDS:
            known = _LATER_DRAFT_WORDS.get(keyword)
            hint = f"did you mean {known!r}?" if known else suggestion(keyword, sorted(KEYWORDS), "known are")
            yield Finding(here, f"unknown or unsupported keyword {shown(keyword)}", hint, at_key=True)
        elif keyword == "$ref" and (target := parse_reference(value)) not in spelled:
            hint = "put it under $defs here, and write #/$defs/NAME"
            what = "leads out of this file" if target is None else "leads nowhere"
            yield Finding(here, f"$ref {shown(value)} {what}", hint)
        elif keyword == "$schema" and value.rstrip("#") != DIALECT:
            yield Finding(here, f"unsupported dialect {shown(value)}", f"leave it out, or write {DIALECT}")
        elif keyword == "$id" and pointer:
            yield Finding(here, "$id inside a schema is not supported", "remove it, and refer to #/$defs/NAME")
        elif keyword == "format" and value not in FORMATS:
            yield Finding(
                here, f"format {shown(value)} is not checked", suggestion(value, sorted(FORMATS), "known are")
            )
        elif keyword == "pattern":
            yield from _pattern(here, value, at_key=False)
        elif keyword == "patternProperties":
            for pattern in value:
                yield from _pattern((*here, pattern), pattern, at_key=True)


def _pattern(pointer: Pointer, pattern: str, *, at_key: bool) -> Iterator[Finding]:
    try:
        compile_regex(pattern)
    except ValueError as error:
        yield Finding(pointer, f"pattern: {error}", "RE2 has no look-around and no back references", at_key)


def _loops(schemas: dict[Pointer, Schema], spelled: Mapping[Pointer, Pointer]) -> list[Finding]:
    """Return the first schema that leads back to itself before it says anything of a value, or through too many."""
    heights: dict[Pointer, int] = {}

    def height(pointer: Pointer, above: int) -> int:
        if above > MAX_STEPS_IN_PLACE:
            return above
        if pointer not in heights:
            heights[pointer] = MAX_STEPS_IN_PLACE  # as long as it is being found out: who comes back here is in a loop
            following = [height(target, above + 1) for target in _in_place(pointer, schemas[pointer], spelled)]
            heights[pointer] = 1 + max(following, default=0)
        return heights[pointer]

    message = "leads back to itself, or through too many schemas, before it describes anything"
    hint = f"at most {MAX_STEPS_IN_PLACE} schemas may follow each other for the same value"
    return [Finding(pointer, message, hint) for pointer in schemas if height(pointer, 0) > MAX_STEPS_IN_PLACE][:1]


def _in_place(pointer: Pointer, schema: Schema, spelled: Mapping[Pointer, Pointer]) -> Iterator[Pointer]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield spelled[parse_reference(schema["$ref"]) or ()]
        yield from (found for found, _ in inner(schema, pointer) if found[len(pointer)] in IN_PLACE)


def _one_line(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= 120 else text[:120] + "…"
