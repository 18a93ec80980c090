"""Fixtures that suites share: found by name everywhere, one meaning for each name, unused ones are noted."""

import pytest

from builder.language.expectations import Known
from builder.language.nodes import Report
from builder.language.suites import Suite, read_suites
from policy_core.errors import Problem

SHARED = "subjects: {ann: {type: user, id: ann}}\nresources: {api: {type: service, id: api}}\n"
SUITE = "cases:\n  - {name: c, subject: ann, action: a, resource: api, expect: {decision: deny}}\n"


def read(files: dict[str, str]) -> tuple[list[Suite], list[str], list[str]]:
    problems: list[Problem] = []
    warnings: list[Problem] = []
    suites = read_suites(
        ((f"tests/{path}", text.encode()) for path, text in sorted(files.items())),
        lambda path: Report(path, problems, warnings),
        known=Known(),
    )
    shown = [[f"{item.where} {item.message}" for item in sorted(found)] for found in (problems, warnings)]
    return suites, shown[0], shown[1]


def test_suites_use_shared_fixtures_whatever_the_order_of_files() -> None:
    suites, problems, warnings = read({"a.yaml": SUITE, "fixtures/people.yaml": SHARED, "z/b.yaml": SUITE})

    assert (problems, warnings) == ([], [])
    assert [suite.file for suite in suites] == ["tests/a.yaml", "tests/z/b.yaml"]
    assert {suite.cases[0].request["subject"]["id"] for suite in suites} == {"ann"}


def test_a_name_has_one_meaning() -> None:
    own = "fixtures: {subjects: {ann: {type: script, id: x}}}\n"

    _, problems, warnings = read({"a.yaml": own + SUITE, "fixtures/a.yaml": SHARED, "fixtures/b.yaml": SHARED})

    assert problems == [
        "tests/a.yaml:1:23 subject fixture 'ann' is there already (tests/fixtures/a.yaml:1)",
        "tests/fixtures/b.yaml:1:12 subject fixture 'ann' is there already (tests/fixtures/a.yaml:1)",
        "tests/fixtures/b.yaml:2:13 resource fixture 'api' is there already (tests/fixtures/a.yaml:2)",
    ]
    assert warnings == []


def test_two_suites_may_use_a_name_of_their_own() -> None:
    own = "fixtures: {subjects: {ann: {type: script, id: x}}, resources: {api: {type: service, id: y}}}\n"

    assert read({"a.yaml": own + SUITE, "b.yaml": own + SUITE})[1:] == ([], [])


def test_shared_fixtures_that_no_suite_uses_are_noted() -> None:
    extra = SHARED + "requests: {nobody: {job: {topic: x}}}\n"

    assert read({"a.yaml": SUITE, "fixtures/a.yaml": extra})[2] == [
        "tests/fixtures/a.yaml:3:12 request fixture 'nobody' is not used by any case"
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[a]", ["1:1 fixture file: expected a mapping, found a list"]),
        ("fixtures: {}", ["1:1 unknown key 'fixtures' in fixture file"]),
        ("version: v2", ["1:10 version: expected v1, found the text 'v2'"]),
        ("subjects: []", ["1:11 fixtures.subjects: expected a mapping, found a list"]),
        ("subjects: {ann: x}", ["1:17 fixture ann: expected a mapping, found the text 'x'"]),
        (SUITE, ["1:1 cases are not read here"]),
    ],
)
def test_every_refusal_has_its_place(text: str, problems: list[str]) -> None:
    assert read({"fixtures/a.yaml": text})[1] == [f"tests/fixtures/a.yaml:{problem}" for problem in problems]
