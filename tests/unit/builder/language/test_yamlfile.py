"""Strict YAML: what scalars mean, what is refused and where; the same from libyaml and from the pure parser."""

import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language import yamlfile
from builder.language.nodes import MAX_PROBLEMS, BrokenNode, ListNode, MapNode, Node, Report, plain
from builder.language.yamlfile import MAX_DEPTH, read_yaml
from policy_core.errors import Problem

PARSERS = ["libyaml", "pure"]


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.setattr(yamlfile, "_new_parser", yamlfile.PureParser)
    else:
        assert yamlfile._new_parser is not yamlfile.PureParser
    return str(request.param)


def read(content: bytes | str) -> tuple[Node | None, list[Problem]]:
    report = Report("f.yaml")
    node = read_yaml(content.encode() if isinstance(content, str) else content, report)
    return node, report.problems


def found(content: bytes | str) -> list[str]:
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in sorted(read(content)[1])]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("22:00", "22:00"), ("1:2:3", "1:2:3"), ("2026-11-01", "2026-11-01"), ("1_000", "1_000"), ("0b1", "0b1"),
        ("0o17", 15), ("0x1F", 31), ("-0o7", "-0o7"), ("007", 7), ("+1", 1), ("-12", -12), ("0", 0),
        ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5E-2", -0.015), ("1e", "1e"), (".", "."),
        ("--", "--"), ("+", "+"), ("...x", "...x"),
        ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"), ("", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("tRUE", "tRUE"),
        ("'1'", "1"), ('"null"', "null"), ('"\\u00e4\\n"', "ä\n"), ("'it''s'", "it's"),
        (str(2**63 - 1), 2**63 - 1), (str(1 - 2**63), 1 - 2**63), ("<<", "<<"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_mean_what_the_core_schema_of_yaml_1_2_says(text: str, value: object) -> None:
    node, problems = read(f"a: {text}\n")

    assert problems == []
    assert node is not None
    assert repr(plain(node)) == repr({"a": value})


@pytest.mark.usefixtures("parser")
def test_nodes_know_their_place() -> None:
    node, _ = read("a:\n  - x\n  - {b: 'c'}\n")

    assert isinstance(node, MapNode)
    items = node.get("a")
    assert isinstance(items, ListNode)
    assert [(item.line, item.column) for item in items.items] == [(2, 5), (3, 5)]
    inner = items.items[1]
    assert isinstance(inner, MapNode)
    key, value = inner.entries["b"]
    assert (key.line, key.column, value.line, value.column) == (3, 6, 3, 9)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_of_other_systems_count_as_one_line_end(newline: str) -> None:
    assert found(f"a: 1{newline}a: 2{newline}") == ["2:1 duplicate key 'a' (first in line 1)"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3:1 duplicate key 'a' (first in line 1)"]),
        ("a: {b: 1, \"b\": 2}\n", ["1:11 duplicate key 'b' (first in line 1)"]),
        ("a: *x\n", ["1:4 alias *x is not supported"]),
        ("a: &x 1\n", ["1:4 anchor &x is not supported"]),
        ("a: &x {b: 1}\nc: &y [1]\n", ["1:4 anchor &x is not supported", "2:4 anchor &y is not supported"]),
        ("a: !!str 1\n", ["1:4 tag tag:yaml.org,2002:str is not supported"]),
        ("a: !!python/object:os.system [x]\n", ["1:4 tag tag:yaml.org,2002:python/object:os.syste is not supported"]),
        ("a: ! x\n", ["1:4 tag ! is not supported"]),
        ("&k a: 1\n", ["1:1 anchor &k is not supported"]),
        ("<<: {b: 1}\na: 1\n", ["1:1 merge keys are not supported"]),
        ("1: x\n", ["1:1 key is not a string"]),
        ("true: x\n", ["1:1 key is not a string"]),
        ("~: x\n", ["1:1 key is not a string"]),
        ("? [a]\n: x\n", ["1:3 key is not a string"]),
        ("? {a: 1}\n: x\n", ["1:3 key is not a string"]),
        ('"a\\nb": 1\n', ["1:1 key is too long or not printable"]),
        ("? " + "a" * 201 + "\n: 1\n", ["1:3 key is too long or not printable"]),
        ("a: 1\n---\nb: 2\n", ["2:1 more than one document in this file"]),
        ("%YAML 1.1\n---\na: 1\n", ["1:1 YAML directives are not supported"]),
        ("%TAG ! tag:x,1:\n---\na: 1\n", ["1:1 YAML directives are not supported"]),
        ("a: .nan\nb: -.inf\nc: 1e999\n",
         ["1:4 .nan: number is not finite", "2:4 -.inf: number is not finite", "3:4 1e999: number is too large"]),
        (f"a: {2**63}\n", [f"1:4 {2**63}: integer does not fit into 64 bits"]),
        ("a: " + "9" * 5000 + "\n", [f"1:4 {'9' * 40}: integer does not fit into 64 bits"]),
        ('a: "\\e[31mred"\n', ["1:4 forbidden character U+001B in an escape"]),
        ('a: "\\0"\n', ["1:4 forbidden character U+0000 in an escape"]),
        ('a: "\\u202e"\n', ["1:4 forbidden character U+202E in an escape"]),
        ("a: x\x1b[31m\n", ["1:5 forbidden character U+001B"]),
        ("a: \u202e\nb: \x85\n", ["1:4 forbidden character U+202E", "2:4 forbidden character U+0085"]),
        ("\ufeffa: 1\n", ["1:1 forbidden character U+FEFF"]),
        ("", ["0:0 file is empty"]),
        ("# nothing\n", ["0:0 file is empty"]),
        ("a: 1\na: *x\nb: !t y\n",
         ["2:1 duplicate key 'a' (first in line 1)", "2:4 alias *x is not supported", "3:4 tag !t is not supported"]),
        ("a: 1\na: 2\nb: [\n",
         ["2:1 duplicate key 'a' (first in line 1)", "4:1 not valid YAML: did not find expected node content"]),
    ],
)  # fmt: skip
def test_what_could_mislead_is_refused_in_place(text: str, problems: list[str], parser: str) -> None:
    actual = found(text)

    if parser == "pure":  # words its syntax errors differently
        actual = [line.split("not valid YAML")[0] for line in actual]
        problems = [line.split("not valid YAML")[0] for line in problems]
    assert actual == problems


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2\nb: 3\n", "2:2"),
        ("a: b: c\n", "1:5"),
        ("a: 'x\n", "2:1"),
        ("a:\n\t- x\n", "2:1"),
        ("a: @x\n", "1:4"),
        ("a: 1\n b: 2\n", "2:3"),
        ("- a\nb: 1\n", "2:1"),
    ],
)
def test_bad_syntax_has_a_place_and_a_hint(text: str, where: str) -> None:
    _, problems = read(text)

    (problem,) = problems
    assert f"{problem.line}:{problem.column}" == where
    assert problem.message.startswith("not valid YAML: ")
    assert problem.hint


def test_text_that_is_not_utf8_is_refused_where_it_breaks() -> None:
    assert found(b"a: 1\nb: \xff\n") == ["2:4 not UTF-8"]
    assert found("a: 1\n".encode("utf-16")) == ["1:1 not UTF-8"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text", ["[" * 100, "{a: " * 100, "- " * 100, "[" * 100 + "]" * 100, "".join(" " * n + "a:\n" for n in range(100))]
)
def test_depth_is_bounded(text: str) -> None:
    (problem,) = found(text)

    assert problem.endswith(f"nested too deeply (limit {MAX_DEPTH} levels)")


@pytest.mark.usefixtures("parser")
def test_hostile_nesting_stops_early() -> None:
    """A megabyte of brackets costs no more than the depth limit."""
    assert len(found("[" * 1_000_000)) == 1


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "MAX_YAML_BYTES", 10)

    assert found("a: 12345678\n") == ["0:0 file is too large (12 bytes, limit 10)"]


def test_a_broken_value_leaves_the_rest_readable() -> None:
    node, problems = read("a: *x\nb: 1\n")

    assert len(problems) == 1
    assert isinstance(node, MapNode)
    assert isinstance(node.get("a"), BrokenNode)
    assert plain(node) == {"a": None, "b": 1}


YAML_PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#~ \n\t\\",
        "a",
        "1",
        ": ",
        "- ",
        "\n  ",
        "---\n",
        "...\n",
        "<<",
        "\\x",
        "\\ud800",
        "é",
        "\x00",
    ]
)
YAML_LIKE = st.lists(YAML_PIECES, max_size=40).map("".join)


def walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, ListNode):
        for item in node.items:
            yield from walk(item)
    elif isinstance(node, MapNode):
        for key, value in node.entries.values():
            yield key
            yield from walk(value)


def check(content: bytes) -> None:
    node, problems = read(content)

    assert node is not None or problems
    lines = content.decode(errors="replace").count("\n") + content.count(b"\r") + 2
    for problem in problems:
        assert problem.message.isprintable()
        assert 0 <= problem.line <= lines
    if node is not None:
        for each in walk(node):
            assert each.line >= 1
            assert each.column >= 1
            value = getattr(each, "value", None)
            assert not isinstance(value, float) or math.isfinite(value)
            assert not isinstance(value, str) or value.encode() is not None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_tree_or_problems(content: bytes) -> None:
    check(content)


@given(YAML_LIKE)
def test_yaml_like_text_gives_a_tree_or_problems(text: str) -> None:
    check(text.encode())


@given(YAML_LIKE)
def test_the_pure_parser_gives_a_tree_or_problems(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlfile, "_new_parser", yamlfile.PureParser)
        check(text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Cn"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcde", min_size=1), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_json_is_read_as_it_is(value: object) -> None:
    node, problems = read(json.dumps(value, ensure_ascii=False))

    assert problems == []
    assert node is not None
    assert plain(node) == value


def test_a_file_that_is_wrong_all_over_is_not_read_to_its_end() -> None:
    """A problem for each of a million aliases would cost minutes and gigabytes."""
    problems = found("a: [" + "*a," * 1_000_000 + "1]")

    assert len(problems) == MAX_PROBLEMS + 1
    assert "0:0 more is wrong than these 100 problems" in problems
