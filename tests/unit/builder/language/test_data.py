"""Reference data: where a file ends up, and what it must not do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.data import read_data
from builder.language.jsonfile import MAX_DUPLICATE_KEYS, read_json
from builder.language.nodes import Report


def read(files: dict[str, str]) -> tuple[dict[str, object], list[str]]:
    report = Report("")
    tree = read_data([(path, text.encode()) for path, text in sorted(files.items())], report)
    return tree, [f"{problem.where}: {problem.message}" for problem in sorted(report.problems)]


def test_the_path_is_the_place() -> None:
    tree, problems = read(
        {
            "data/top.yaml": "[a, 1]",
            "data/a/b.yaml": "x: on",
            "data/a/c/d.json": '{"y": null}',
            "data/README.md": "not data",
            "data/a/.gitkeep": "",
        }
    )

    assert problems == []
    assert tree == {"top": ["a", 1], "a": {"b": {"x": "on"}, "c": {"d": {"y": None}}}}


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"data/a.json": "1", "data/a.yaml": "1"}, ["data/a.yaml: data.a collides with data/a.json"]),
        ({"data/a.yaml": "{b: 1}", "data/a/b.yaml": "1"}, ["data/a/b.yaml: data.a.b collides with data/a.yaml"]),
        ({"data/a/b/c.yaml": "1", "data/a/b.yaml": "1"}, ["data/a/b/c.yaml: data.a.b.c collides with data/a/b.yaml"]),
        ({"data/a-b.yaml": "1"}, ["data/a-b.yaml: cannot be named in a condition as data.a-b"]),
        ({"data/a.b.yaml": "1"}, ["data/a.b.yaml: cannot be named in a condition as data.a.b"]),
        ({"data/1.yaml": "1"}, ["data/1.yaml: cannot be named in a condition as data.1"]),
        ({"data/a.yml": "1"}, ["data/a.yml: is not read as data (suffix .yml)"]),
        ({"data/a.yaml": "a: .inf"}, ["data/a.yaml:1:4: .inf: number is not finite"]),
        ({"data/a.yaml": ""}, ["data/a.yaml: file is empty"]),
    ],
)
def test_what_would_be_lost_or_mistaken_is_refused(files: dict[str, str], problems: list[str]) -> None:
    assert read(files)[1] == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": 1,\n "a": 2}', ["data/x.json:2:2: duplicate key 'a' (first in line 1)"]),
        ('{"a": {"b": 1, "\\u0062": 2}, "c": {"a": 1}}', ["data/x.json:1:16: duplicate key 'b' (first in line 1)"]),
        ("", ["data/x.json:1:1: not valid JSON: expecting value"]),
        ("{'a': 1}", ["data/x.json:1:2: not valid JSON: expecting property name enclosed in double quotes"]),
        ("[1] x", ["data/x.json:1:5: not valid JSON: extra data"]),
        ("[NaN]", ["data/x.json:1:2: NaN is no JSON number"]),
        ("[1e999]", ["data/x.json:1:2: number is too large"]),
        ("[" + "9" * 30 + "]", ["data/x.json:1:2: integer 999999999999999999999999999999 does not fit into 64 bits"]),
        ('["\\u001b"]', ["data/x.json:1:2: forbidden character U+001B"]),
        ('{"\\ud800": 1}', ["data/x.json:1:2: forbidden character U+D800"]),
        ("[" * 40, ["data/x.json:1:33: nested too deeply (limit 32 levels)"]),
        ("\ufeff[]", ["data/x.json:1:1: forbidden character U+FEFF"]),
    ],
)
def test_json_is_read_strictly(text: str, problems: list[str]) -> None:
    assert read({"data/x.json": text})[1] == problems


def test_integers_of_absurd_length_are_refused_not_a_crash() -> None:
    _, problems = read({"data/x.json": f"[1,\n {'9' * 100_000}, 1.2.3, é1"})

    assert problems == [f"data/x.json:2:2: integer {'9' * 30} does not fit into 64 bits"]


def test_every_bad_number_and_text_has_its_place() -> None:
    text = '{"a": [Infinity, 1e999],\n "b": -9223372036854775808, "c\u202e": "NaN \x7f"}'

    assert read({"data/x.json": text})[1] == [
        "data/x.json:1:8: Infinity is no JSON number",
        "data/x.json:1:18: number is too large",
        "data/x.json:2:7: integer -9223372036854775808 does not fit into 64 bits",
        "data/x.json:2:29: forbidden character U+202E",
        "data/x.json:2:35: forbidden character U+007F",
    ]


def test_a_text_that_is_no_utf8_breaks_in_its_place() -> None:
    report = Report("data/x.json")

    read_json(b'{"a":\n "\xff"}', report)

    assert [problem.where for problem in report.problems] == ["data/x.json:2:3"]


def test_a_file_full_of_duplicate_keys_is_not_read_to_its_end() -> None:
    _, problems = read({"data/x.json": "{" + ",".join(['"a": 1'] * 1_000) + "}"})

    assert len(problems) == MAX_DUPLICATE_KEYS


@given(st.binary(max_size=100) | st.text('[]{}:,"\\0e-ua1 \n').map(str.encode))
def test_arbitrary_bytes_give_a_value_or_problems(content: bytes) -> None:
    report = Report("data/x.json")

    value = read_json(content, report)

    assert report.problems or json.loads(content) == value
