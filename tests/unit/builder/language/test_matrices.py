"""Matrices: every combination is a case, cells that are not listed expect deny, and refusals have their place."""

import pytest

from builder.language import matrices
from builder.language.expectations import Expectation, Known
from builder.language.nodes import Report
from builder.language.suites import Suite, read_suite

FIXTURES = """\
fixtures:
  subjects: {ann: {type: user, id: ann}, bot: {type: registered_agent, id: bot}, broken: {type: user}}
  resources: {api: {type: service, id: api}, db: {type: service, id: db}}
cases:
"""
MATRIX = "matrix: {subjects: [ann, bot], actions: [read, drop], resources: [api, db]}"
SINGLE = "matrix: {subjects: [ann], actions: [read], resources: [api]}"


def read(*lines: str) -> tuple[Suite | None, list[str]]:
    """Read a suite whose only case has these lines, from line 6 on."""
    report = Report("tests/a.yaml")
    text = FIXTURES + "  - name: who may\n" + "".join(f"    {line}\n" for line in lines)
    suite = read_suite(text.encode(), report, known=Known(("agents/one",)))
    return suite, [f"{problem.line}:{problem.column} {problem.message}" for problem in sorted(report.problems)]


def test_every_combination_is_a_case_and_unlisted_ones_expect_deny() -> None:
    suite, problems = read(
        MATRIX,
        "context: {risk_tags: [low]}",
        "now: 1970-01-01T00:01:00Z",
        "host: {env: prod}",
        "expect:",
        "  - {subject: ann, action: read, decision: allow, rule: agents/one}",
        "  - {subject: [ann, bot], action: drop, resource: db, decision: require_approval}",
    )

    assert problems == []
    assert suite is not None
    allow, ask, deny = Expectation("allow", "agents/one"), Expectation("require_approval"), Expectation("deny")
    assert [(case.title, case.expect, case.line) for case in suite.cases] == [
        ("who may [ann, read, api]", allow, 11),
        ("who may [ann, read, db]", allow, 11),
        ("who may [ann, drop, api]", deny, 6),
        ("who may [ann, drop, db]", ask, 12),
        ("who may [bot, read, api]", deny, 6),
        ("who may [bot, read, db]", deny, 6),
        ("who may [bot, drop, api]", deny, 6),
        ("who may [bot, drop, db]", ask, 12),
    ]
    assert suite.cases[-1].request == {
        "subject": {"type": "registered_agent", "id": "bot"},
        "action": {"name": "drop"},
        "resource": {"type": "service", "id": "db"},
        "context": {"risk_tags": ["low"]},
    }
    assert {(case.now, case.host["env"]) for case in suite.cases} == {(60.0, "prod")}


def test_one_mapping_is_expected_of_all_cells() -> None:
    suite, problems = read(MATRIX, "expect: {decision: deny, rule: agents/one}", "skip: later")

    assert problems == []
    assert suite is not None
    assert {(case.expect, case.skip) for case in suite.cases} == {(Expectation("deny", "agents/one"), "later")}
    assert len(suite.cases) == 8


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        (["matrix: [ann]", "expect: {decision: deny}"], ["6:13 matrix: expected a mapping, found a list"]),
        (["matrix: {subject: [ann]}", "expect: {decision: deny}"],
         ["6:13 matrix has no actions", "6:13 matrix has no resources", "6:13 matrix has no subjects",
          "6:14 unknown key 'subject' in matrix"]),
        ([SINGLE], ["5:5 case has no expect"]),
        ([SINGLE, "expect: []"], ["7:13 expect of a matrix is an empty list"]),
        ([SINGLE, "expect: deny"], ["7:13 expect of a matrix: expected a list, found the text 'deny'"]),
        ([SINGLE, "expect: [deny]"], ["7:14 row of expect: expected a mapping, found the text 'deny'"]),
        ([SINGLE, "expect: [{subject: ann}]"], ["7:14 expect has no decision"]),
        ([SINGLE, "expect: [{subjects: ann, decision: deny}]"], ["7:15 unknown key 'subjects' in expect"]),
        ([SINGLE, "expect: [{subject: bot, decision: deny}]"], ["7:24 subject 'bot' is not in the matrix"]),
        ([SINGLE, "expect: [{action: [read, read], decision: deny}]"], ["7:30 action lists 'read' twice"]),
        ([SINGLE, "expect: [{action: [], decision: deny}]"], ["7:23 action is an empty list"]),
        ([SINGLE, "expect: [{resource: {a: b}, decision: deny}]"], ["7:25 resource: expected text, found a mapping"]),
        ([SINGLE, "expect: [{decision: deny, rule: agents/two}]"], ["7:37 unknown rule 'agents/two'"]),
        ([MATRIX, "expect:", "  - {subject: ann, decision: allow}", "  - {action: read, decision: allow}"],
         ["9:9 cell ann, read, api is listed already in line 8"]),
        ([SINGLE.replace("[ann]", "[eve]"), "expect: {decision: deny}"], ["6:25 unknown subject fixture 'eve'"]),
        ([SINGLE.replace("[ann]", "[ann, ann]"), "expect: {decision: deny}"], ["6:30 subjects lists 'ann' twice"]),
        ([SINGLE.replace("[ann]", "ann"), "expect: {decision: deny}"],
         ["6:24 subjects: expected a list, found the text 'ann'"]),
        ([SINGLE.replace("[ann]", "[{id: a}]"), "expect: {decision: deny}"],
         ["6:25 entry of subjects: expected text, found a mapping"]),
        ([SINGLE.replace("[ann]", "[broken]"), "expect: {decision: deny}"], ["6:25 request: subject.id is missing"]),
        ([SINGLE, "expect: {decision: deny}", "action: read"], ["8:5 action beside matrix"]),
        ([SINGLE, "expect: {decision: deny}", "context: [a]"], ["8:14 context: expected a mapping, found a list"]),
    ],
)  # fmt: skip
def test_every_refusal_has_its_place(lines: list[str], problems: list[str]) -> None:
    assert read(*lines)[1] == problems


def test_the_number_of_cells_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "MAX_CELLS", 7)

    assert read(MATRIX, "expect: {decision: deny}")[1] == ["6:13 matrix has too many cells (8, limit 7)"]
