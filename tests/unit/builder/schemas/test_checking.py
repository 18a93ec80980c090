"""Schemas as such: what is no schema of ours, and where that is said."""

import pytest

from builder.language.nodes import Report
from builder.schemas.checking import MAX_SCHEMAS, MAX_STEPS_IN_PLACE, schema_findings
from builder.schemas.declarations import read_declarations

LOOP = "leads back to itself, or through too many schemas, before it describes anything"


def problems(text: str, path: str = "schemas/context.yaml") -> list[str]:
    report = Report("")
    read_declarations([(path, text.encode())], report)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in sorted(report.problems)]


@pytest.mark.parametrize(
    "text",
    [
        "type: object\nproperties: {a: {$ref: '#/$defs/a'}}\n$defs: {a: {type: string, pattern: ^a, format: date}}",
        "$schema: https://json-schema.org/draft/2020-12/schema\n$id: urn:example:x\ntitle: A",
        "properties: {child: {$ref: '#'}}",  # recursive, one key deeper each time
        "properties: {pattern: {type: string}, $ref: {const: {$ref: anything}}}",  # names and values, not keywords
    ],
)
def test_a_sound_schema_is_accepted(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: strng", ["1:7: not valid as a schema: 'strng' is not valid under any of the given schemas"]),
        ("a: 1\nb: 2", ["1:1: unknown or unsupported keyword 'a'", "2:1: unknown or unsupported keyword 'b'"]),
        ("properties:\n  a:\n    requried: [b]", ["3:5: unknown or unsupported keyword 'requried'"]),
        ("format: hostname", ["1:9: format 'hostname' is not checked"]),
        ("$schema: http://json-schema.org/draft-07/schema#", ["1:10: unsupported dialect 'http://json-schema.org/draft-07/schema#'"]),
        ("properties: {a: {$id: urn:x}}", ["1:23: $id inside a schema is not supported"]),
        ("unevaluatedProperties: false", ["1:1: unknown or unsupported keyword 'unevaluatedProperties'"]),
        ("- 1", ["1:1: expected a schema, that is a mapping"]),
        ("allOf:\n  - $ref: '#'", [f"1:1: {LOOP}"]),
    ],
)  # fmt: skip
def test_what_is_no_schema_of_ours_is_refused_in_its_place(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "http://169.254.169.254/latest/meta-data", "https://example.com/s.json", "file:///etc/passwd", "other.yaml",
        "//host/x", "#anchor", "#/$defs/absent", "#/properties/a/const", "urn:x#/a", "#/%24defs/b", "",
    ],
)  # fmt: skip
def test_a_reference_never_leaves_the_file(reference: str) -> None:
    found = schema_findings({"properties": {"a": {"const": {}}, "b": {"$ref": reference}}, "$defs": {"b": {}}})

    assert [finding.path for finding in found] == [("properties", "b", "$ref")]


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", "a{2000}"])
def test_a_pattern_that_re2_cannot_run_is_refused(pattern: str) -> None:
    found = schema_findings({"pattern": pattern, "patternProperties": {pattern: {}}})

    assert [(finding.path, finding.at_key) for finding in found] == [
        (("pattern",), False),
        (("patternProperties", pattern), True),
    ]


def test_a_long_chain_of_references_is_refused() -> None:
    chain = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(1_500)}

    found = schema_findings({"$ref": "#/$defs/d0", "$defs": {**chain, "d1500": {}}})

    assert [finding.hint for finding in found] == [
        f"at most {MAX_STEPS_IN_PLACE} schemas may follow each other for the same value"
    ]


def test_a_schema_of_too_many_schemas_is_refused() -> None:
    found = schema_findings({"anyOf": [{} for _ in range(MAX_SCHEMAS)]})

    assert [finding.message for finding in found] == [f"has more than {MAX_SCHEMAS} schemas in it"]


def test_a_schema_file_is_bounded() -> None:
    assert problems("title: " + "x" * 2**18) == ["0:0: schema is too large (262151 bytes, limit 262144)"]


def test_a_json_schema_has_places_too() -> None:
    text = '{\n  "properties": {\n    "a": {"type": "strng"}\n  }\n}'

    assert [line.split(" ")[0] for line in problems(text, "schemas/context.json")] == ["3:19:"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("schemas/subject/user.yaml", "describes nothing that is known"),
        ("schemas/subjects.yaml", "describes nothing that is known"),
        ("schemas/contexts/a.yaml", "describes nothing that is known"),
        ("schemas/context.yml", "is not read as a schema (suffix .yml)"),
    ],
)
def test_a_schema_that_would_not_be_read_is_refused(path: str, message: str) -> None:
    assert problems("type: object", path) == [f"0:0: {message}"]


def test_two_schemas_of_one_thing_are_refused() -> None:
    report = Report("")

    read_declarations([("schemas/context.json", b"{}"), ("schemas/context.yaml", b"type: object")], report)

    assert [problem.message for problem in report.problems] == ["describes the same as schemas/context.json"]
