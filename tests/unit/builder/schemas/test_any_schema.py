"""Any JSON as a schema: refused or usable, never a crash; and RE2 apart, it judges as the library itself does."""

import functools
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from builder.schemas.checking import schema_findings
from builder.schemas.keywords import KEYWORDS
from builder.schemas.shapes import Branch, declared, step
from builder.schemas.validating import Validator

TEXTS = st.sampled_from(["", "a", "b", "string", "object", "#", "#/$defs/a", "^a", "2026-01-01", "http://x"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2) | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(KEYWORDS)), inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=2)
    ),
    max_leaves=12,
)


@functools.cache
def schemas(depth: int = 1) -> st.SearchStrategy[Any]:
    """Draw schemas that are mostly sound."""
    inner = schemas(depth - 1) if depth else st.booleans()
    optional: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(["string", "number", "integer", "object", "array", "boolean", "null"]),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "$ref": st.just("#/$defs/a"),
        "pattern": st.sampled_from(["^a", "b$", "[ab]"]),
        "minimum": st.integers(-1, 2),
        "required": st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2),
        "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
        "additionalProperties": inner,
        "items": inner,
        "uniqueItems": st.booleans(),
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional=optional)


@given(ANYTHING)
def test_anything_is_judged(document: Any) -> None:
    for finding in schema_findings(document):
        assert finding.message.isprintable()


@given(schemas(), schemas(0), VALUES)
def test_a_sound_schema_judges_as_the_library_does(schema: Any, referred: Any, value: Any) -> None:
    document = {**schema, "$defs": {"a": referred}}
    assume(not schema_findings(document))

    found = Validator(document).findings(value)

    assert (not found) == Draft202012Validator(document).is_valid(value)
    assert all(finding.message.isprintable() for finding in found)
    if not found and isinstance(value, dict):  # whatever it lets pass, it declares among the values there can be
        for name, held in value.items():
            place = step((Branch(document, document),), name)
            listed = declared(place).values if place else None
            assert listed is None or held in listed
