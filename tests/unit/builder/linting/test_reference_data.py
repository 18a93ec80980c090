"""Data that nobody reads, and data that is read but not there."""

import os
from collections.abc import Callable

import pytest

from builder.linting import LintResult

LintRules = Callable[..., LintResult]
SERVICES = "critical: [a]\nteams:\n  red: {size: 3, lead: ann}\n  blue: {size: 4, lead: bob}\n"


def findings(result: LintResult) -> list[tuple[str, str]]:
    """Return place and path of each finding of unused data."""
    assert result.problems == ()
    return [(w.where, w.message.removesuffix(" is read by no condition")) for w in result.warnings if w.code == "W107"]


def rule(when: str) -> str:
    return f"  - id: r\n    match: {{actions: [x]}}\n    when: {when}\n    decision: deny\n"


@pytest.mark.parametrize(
    ("when", "unread"),
    [
        ("size(data.services) > 1", []),
        ("resource.id in data.services.critical", [("data/services.yaml:2:1", "data.services.teams")]),
        (
            "data.services.teams.red.size > 1 && resource.id in data.services.critical",
            [
                ("data/services.yaml:3:18", "data.services.teams.red.lead"),
                ("data/services.yaml:4:3", "data.services.teams.blue"),
            ],
        ),
        ("data.services.teams[subject.id].size > 1", [("data/services.yaml:1:1", "data.services.critical")]),
        ("has(data.services.critical) && size(data.services.teams) > 1", []),
        ("resource.id == 'a'", [("data/services.yaml", "data.services")]),
    ],
)
def test_the_highest_place_of_which_nothing_is_read_is_named(
    lint_rules: LintRules, when: str, unread: list[tuple[str, str]]
) -> None:
    assert findings(lint_rules(rule(when), {"data/services.yaml": SERVICES})) == unread


def test_a_read_of_a_folder_reads_all_its_files(lint_rules: LintRules) -> None:
    files = {"data/d/a.yaml": "x: 1\n", "data/d/b.yaml": "y: 2\n", "data/e.yaml": "z: 3\n"}

    assert findings(lint_rules(rule("size(data.d) > 1"), files)) == [("data/e.yaml", "data.e")]


@pytest.mark.parametrize(
    ("when", "missing"),
    [
        ("resource.id in data.services.critcal", "data.services.critcal"),
        ("data.servces.critical == 1", "data.servces"),
        ("has(data.services.frozen) && resource.id in data.services.frozen", ""),
        ("has(data.services.frozen)", ""),
        ("data.services.teams.red.size > 1", ""),
    ],
)
def test_data_that_is_not_there_is_found_unless_it_is_asked_for_first(
    lint_rules: LintRules, when: str, missing: str
) -> None:
    result = lint_rules(rule(when), {"data/services.yaml": SERVICES})

    expected = [f"rule r reads {missing}, which is not there: an error wherever it is evaluated"] if missing else []
    assert [w.message for w in result.warnings if w.code == "W112"] == expected


def test_unread_data_in_json_has_its_place(lint_rules: LintRules) -> None:
    result = lint_rules(rule("data.x.a == 1"), {"data/x.json": '{\n  "a": 1,\n  "b": [2]\n}'})

    assert findings(result) == [("data/x.json:3:3", "data.x.b")]


@pytest.mark.parametrize(
    ("files", "unlistable"),
    [
        ({"subjects.yaml": "user: {ada: {}, bob: , cid: [x]}\n"}, [("subjects.yaml:1:24", "subjects.user.cid")]),
        ({"resources.yaml": "- page\n"}, [("resources.yaml", "resources")]),
        ({"actions.yaml": "read: {soft: 1}\nwrite: {soft: [x]}\n"}, []),
        ({"subjects/user.yaml": "ada: {}\nbob: 7\n"}, [("subjects/user.yaml:2:1", "subjects.user.bob")]),
        (
            {"subjects.yaml": "user: [x]\n", "actions.yaml": "a: 1\n"},
            [("actions.yaml:1:1", "actions.a"), ("subjects.yaml:1:1", "subjects.user")],
        ),
        ({"teams.yaml": "- red\n", "../subjects.yaml": "user: [x]\n"}, []),
    ],
)
def test_what_searches_cannot_read_is_named(
    lint_rules: LintRules, files: dict[str, str], unlistable: list[tuple[str, str]]
) -> None:
    result = lint_rules(rule("1 == 1"), {os.path.normpath(f"data/directory/{name}"): files[name] for name in files})

    assert [(each.where, each.message) for each in result.warnings if each.code == "W119"] == [
        (f"data/directory/{where}", f"data.directory.{path} is not a mapping, and searches fail on it")
        for where, path in unlistable
    ]


def test_a_directory_that_is_one_file_is_read_too(lint_rules: LintRules) -> None:
    warnings = lint_rules(rule("1 == 1"), {"data/directory.yaml": "- subjects\n"}).warnings

    assert [each.message for each in warnings if each.code == "W119"] == [
        "data.directory is not a mapping, and searches fail on it"
    ]


def test_what_searches_read_is_not_unread(lint_rules: LintRules) -> None:
    files = {"data/directory/subjects.yaml": "user: {ada: {}}\n", "data/directory/teams.yaml": "red: {}\n"}

    assert findings(lint_rules(rule("1 == 1"), files)) == [("data/directory/teams.yaml", "data.directory.teams")]
