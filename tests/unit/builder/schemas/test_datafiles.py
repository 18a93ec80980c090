"""Reference data against its schema: every violation, with its place, offline and in bounded time."""

import json
import socket

import pytest

from builder.language.data import read_data
from builder.language.nodes import Report
from builder.schemas import validating
from builder.schemas.datafiles import check_data
from builder.schemas.declarations import read_declarations
from builder.schemas.validating import MAX_FINDINGS, Validator

NO_ALTERNATIVE = "fits none of 2 alternatives (closest: expected text, found 9)"


def problems(schema: str, data: str, *, suffix: str = "yaml") -> list[str]:
    report = Report("")
    files = {f"data/a/b.{suffix}": data.encode()}
    declarations = read_declarations([("schemas/data/a/b.yaml", schema.encode())], report)
    check_data(declarations, files, read_data(files.items(), report), report)
    return [f"{problem.where}: {problem.message}" for problem in sorted(report.problems)]


@pytest.mark.parametrize(
    ("schema", "data", "expected"),
    [
        ("type: integer", "x", ["1:1: data.a.b: expected an integer, found the text 'x'"]),
        ("type: [string, 'null']", "1.5", ["1:1: data.a.b: expected text or nothing, found 1.5"]),
        ("required: [x, y]", "z: 1", ["1:1: data.a.b: has no 'x'", "1:1: data.a.b: has no 'y'"]),
        ("additionalProperties: false\nproperties: {name: {}}", "nmae: 1", ["1:1: data.a.b.nmae: unknown key 'nmae'"]),
        ("items: {enum: [a, 2]}", "- a\n- b", ["2:3: data.a.b[1]: expected the text 'a' or 2, found the text 'b'"]),
        ("const: true", "1", ["1:1: data.a.b: expected true, found 1"]),
        ("properties: {p: {pattern: ^x}}", "p: yx", ["1:4: data.a.b.p: 'yx' does not match '^x'"]),
        ("patternProperties: {^x: {type: string}}", "xa: 1\ny: 2", ["1:5: data.a.b.xa: expected text, found 1"]),
        ("uniqueItems: true", "[{a: 1}, {a: 1.0}]", ["1:10: data.a.b[1]: the same as entry 1"]),
        ("uniqueItems: true", "[true, 1, '1']", []),
        ("maximum: 3", "4", ["1:1: data.a.b: 4 breaks maximum: 3"]),
        ("format: date", "2026-02-30", ["1:1: data.a.b: the text '2026-02-30' is no date"]),
        ("anyOf: [{type: string}, {maximum: 3}]", "9", [f"1:1: data.a.b: {NO_ALTERNATIVE}"]),
        ("oneOf: [{}, {type: string}]", "x", ["1:1: data.a.b: fits more than one of 2 alternatives"]),
        ("$id: urn:a\nitems: {$ref: '#/$defs/t'}\n$defs: {t: {const: 2}}", "[1]",
         ["1:2: data.a.b[0]: expected 2, found 1"]),
        ("properties: {x: false}", "x: 1", ["1:4: data.a.b.x: nothing is permitted here"]),
    ],
)  # fmt: skip
def test_a_violation_is_told_in_its_place(schema: str, data: str, expected: list[str]) -> None:
    assert problems(schema, data) == [f"data/a/b.yaml:{line}" for line in expected]


@pytest.mark.parametrize(
    ("path", "place"),
    [(["a", 1], "3:5"), (["a", 2, "y", 0], "4:13"), (["esc\"}{"], "6:13"), (["last", "a"], "7:17")],
)  # fmt: skip
def test_a_value_in_json_is_found(path: list[str | int], place: str) -> None:
    text = (
        '{\n  "a": ["x",\n    {"n": "]"},\n     {"y": [-1.5e3, 2]}],\n"z":{},\n "esc\\"}{":\t0,\n "last": {"a" : 0 }\n}'
    )
    data = json.loads(text)
    value = data
    for step in path:
        value = value[step]
    schema: dict[str, object] = {"not": {}}
    for step in reversed(path):
        schema = {"properties": {step: schema}} if isinstance(step, str) else {"prefixItems": [True] * step + [schema]}

    found = problems(json.dumps(schema), text, suffix="json")

    assert [line.split(" ")[0] for line in found] == [f"data/a/b.json:{place}:"]


def test_the_whole_file_is_told_at_once() -> None:
    schema = "properties: {a: {type: string}, b: {type: string}}\nadditionalProperties: false"

    assert len(problems(schema, "a: 1\nb: 2\nc: 3")) == 3


def test_a_schema_without_data_is_refused() -> None:
    report = Report("")
    declarations = read_declarations([("schemas/data/x.yaml", b"type: object")], report)

    check_data(declarations, {}, {}, report)

    assert [problem.where for problem in report.problems] == ["schemas/data/x.yaml"]


def test_data_that_cannot_be_read_is_not_judged_as_well() -> None:
    assert [line.split(": ", 1)[1] for line in problems("type: object", "{")] == [
        "not valid YAML: did not find expected node content"
    ]


def test_a_catastrophic_pattern_takes_no_time() -> None:
    assert problems("pattern: ^(a+)+$", "a" * 100_000 + "!") == [
        "data/a/b.yaml:1:1: data.a.b: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…' does not match '^(a+)+$'"
    ]


def test_alternatives_that_multiply_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "MAX_STEPS", 10_000)
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(7)}

    found = Validator({"items": {"$ref": "#/$defs/d0"}, "$defs": {**doubling, "d7": {"not": {}}}}).findings([1] * 1000)

    assert len(found) == MAX_FINDINGS  # it stops at those
    found = Validator({"items": {"$ref": "#/$defs/d0"}, "$defs": {**doubling, "d7": {}}}).findings([1] * 1000)
    assert [finding.message for finding in found] == ["is too large to be held against its schema"]


def test_many_equal_mappings_are_compared_in_linear_time() -> None:
    data = json.dumps([{"n": number} for number in range(50_000)])

    assert problems("uniqueItems: true", data, suffix="json") == []


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own default would open an address: even a schema that slipped past the check fetches nothing."""
    opened: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *arguments, **_: opened.append(arguments))

    with pytest.raises(Exception, match=r"example\.invalid"):
        Validator({"$ref": "http://example.invalid/x"}).findings(1)

    assert opened == []
