"""Policy test suites: how a case gets its request, and every refusal with its place."""

import pytest

from builder.language import suites as suites_module
from builder.language.expectations import Expectation, Known
from builder.language.nodes import Report
from builder.language.suites import DEFAULT_NOW, Suite, read_suite
from policy_core.memory import Assumed

KNOWN = Known(("agents/one", "agents/two"), rated=("agents/two",), approvers=("ana", "bo"), exceptions=("migration",))
INLINE = "{subject: {type: user, id: ann}, action: {name: a}, resource: {type: t, id: i}}"


def read(text: str, *, known: Known = KNOWN) -> tuple[Suite | None, list[str]]:
    report = Report("tests/a/b.yaml")
    suite = read_suite(text.encode(), report, known=known)
    return suite, [f"{problem.line}:{problem.column} {problem.message}" for problem in sorted(report.problems)]


def test_a_request_comes_from_a_fixture_from_parts_or_inline_in_both_forms() -> None:
    suite, problems = read(
        f"""\
version: v1
name: Things
now: 2026-11-01T12:00:00Z
host: {{env: prod}}
fixtures:
  subjects: {{ann: {{type: user, id: ann, properties: {{roles: [sre]}}}}}}
  resources: {{api: {{type: service, id: api}}}}
  requests: {{whole: {INLINE}}}
cases:
  - {{name: fixture, request: whole, expect: {{decision: allow}}}}
  - {{name: inline, request: {INLINE}, expect: {{decision: deny}}}}
  - {{name: job, request: {{tenant_id: t, job: {{topic: x}}}}, expect: {{decision: deny}}}}
  - name: parts
    subject: ann
    action: service.restart
    resource: {{type: service, id: db}}
    context: {{risk_tags: [prod]}}
    now: 1970-01-01T00:01+00:00
    host: {{env: dev}}
    expect: {{decision: allow_with_constraints, rule: agents/one, reason_code: ok, constraints: {{max_retries: 1.0}}}}
    skip: later
"""
    )

    assert problems == []
    assert suite is not None
    assert suite.name == "Things"
    whole, inline, job, parts = suite.cases
    assert whole.request == inline.request
    assert whole.request["subject"] == {"type": "user", "id": "ann"}
    assert (whole.now, whole.host, whole.line) == (1793534400.0, {"env": "prod"}, 10)
    assert job.request == {"tenant_id": "t", "job": {"topic": "x"}}
    assert parts.request == {
        "subject": {"type": "user", "id": "ann", "properties": {"roles": ["sre"]}},
        "action": {"name": "service.restart"},
        "resource": {"type": "service", "id": "db"},
        "context": {"risk_tags": ["prod"]},
    }
    assert (parts.now, parts.host, parts.skip) == (60.0, {"env": "dev"}, "later")
    assert parts.expect.constraints == {"max_retries": 1}
    assert (parts.expect.rule, parts.expect.reason_code) == ("agents/one", "ok")


def test_what_a_case_takes_for_granted_and_all_it_may_expect_is_read() -> None:
    suite, problems = read(
        case(
            "counted: {agents/two: 3}\n"
            "approved_by: [ana, bo]\n"
            "expect:\n"
            "  decision: throttle\n"
            "  exception: migration\n"
            "  dry_run: allow\n"
            "  gates: {scope: passed}\n"
            "  errors: [agents/two, agents/one]\n"
            "  remediations: [stage]\n"
            "  retry_after_s: 60"
        )
    )

    assert problems == []
    assert suite is not None
    assert suite.cases[0].memory == Assumed({"agents/two": 3}, ("ana", "bo"))
    assert suite.cases[0].expect == Expectation(
        "throttle", exception="migration", dry_run="allow", gates={"scope": "passed"},
        errors=("agents/one", "agents/two"), remediations=("stage",), retry_after_s=60,
    )  # fmt: skip


def test_nothing_can_be_expected_too() -> None:
    suite, problems = read(case("expect: {decision: deny, gates: {}, errors: [], remediations: []}"))

    assert problems == []
    assert suite is not None
    assert suite.cases[0].expect == Expectation("deny", gates={}, errors=(), remediations=())


def test_a_suite_is_named_after_its_path_and_has_a_fixed_time() -> None:
    suite, problems = read(case("expect: {decision: deny, constraints: {}}"))

    assert problems == []
    assert suite is not None
    assert suite.name == "a/b"
    assert suite.cases[0].now == DEFAULT_NOW
    assert suite.cases[0].expect.constraints == {}


def case(lines: str, request: str = f"request: {INLINE}") -> str:
    """Return a suite whose only case has these lines, from line 4 on after its request in line 3."""
    return "cases:\n  - name: c\n" + "".join(f"    {line}\n" for line in [request, *lines.splitlines()])


SHORT = "{name: c, request: {job: {topic: a}}, expect: {decision: deny}}"
DENY = "expect: {decision: deny}"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[]", ["1:1 test suite: expected a mapping, found a list"]),
        ("name: x", ["1:1 test suite has no cases"]),
        ("cases: []", ["1:8 cases is an empty list"]),
        ("case: []\ncases: [1]", ["1:1 unknown key 'case' in test suite", "2:9 case: expected a mapping, found 1"]),
        ("version: v3\n" + case(DENY), ["1:10 version: expected v1, found the text 'v3'"]),
        ("now: 2026-11-01\n" + case(DENY), ["1:6 now: expected a time, found the text '2026-11-01'"]),
        ("now: 2026-11-01T25:00Z\n" + case(DENY), ["1:6 now: expected a time, found the text '2026-11-01T25:00Z'"]),
        ("now: 2026-11-01T12:00:00\n" + case(DENY), ["1:6 now: expected a time, found the text '2026-11-01T12:00:00'"]),
        ("now: 0001-01-01T00:00:00+14:00\n" + case(DENY),
         ["1:6 now: expected a time, found the text '0001-01-01T00:00:00+14:00'"]),
        ("host: {a: 1}\n" + case(DENY), ["1:11 host.a: expected text, found 1"]),
        ("fixtures: {subject: {}}\n" + case(DENY),
         ["1:12 unknown key 'subject' in fixtures"]),
        ("fixtures: {subjects: {a: x}}\n" + case(DENY), ["1:26 fixture a: expected a mapping, found the text 'x'"]),
        (case(""), ["2:5 case has no expect"]),
        (case("expect: deny"), ["4:13 expect: expected a mapping, found the text 'deny'"]),
        (case("expect: {rule: agents/one}"), ["4:13 expect has no decision"]),
        (case("expect: {decision: constrain}"), ["4:24 unknown decision 'constrain'"]),
        (case("expect: {decision: deny, rule: agents/ome}"), ["4:36 unknown rule 'agents/ome'"]),
        (case("expect: {decision: deny, reason: x}"), ["4:30 unknown key 'reason' in expect"]),
        (case("expect: {decision: allow, constraints: {max_x: 1}}"), ["4:45 unknown constraint max_x"]),
        (case("expect: {decision: allow, constraints: [a]}"), ["4:44 constraints: expected a mapping, found a list"]),
        (case("expect: {decision: deny, exception: [a], dry_run: maybe, retry_after_s: 1.5}"),
         ["4:41 exception: expected text, found a list", "4:55 unknown dry_run 'maybe'",
          "4:77 retry_after_s: expected a whole number from 0 to 1000000000, found 1.5"]),
        (case("expect: {decision: deny, gates: {scop: passed, identity: denyed}, remediations: a}"),
         ["4:38 unknown gate 'scop'", "4:62 unknown word for gate identity 'denyed'",
          "4:85 remediations: expected a list, found the text 'a'"]),
        (case("expect: {decision: deny, exception: migrations, errors: [agents/ome]}"),
         ["4:41 unknown exception 'migrations'", "4:62 unknown rule 'agents/ome'"]),
        (case(DENY + "\ncounted: {agents/one: 1, agents/tow: 2, agents/two: -1}\napproved_by: [ana, cy]"),
         ["5:15 rule agents/one has no rate", "5:30 unknown rule 'agents/tow'",
          "5:57 counted.agents/two: expected a whole number from 0 to 1000000000, found -1",
          "6:24 unknown approver 'cy'"]),
        (case(DENY + "\ncounted: []\napproved_by: {}"),
         ["5:14 counted: expected a mapping, found a list", "6:18 approved_by: expected a list, found a mapping"]),
        (case(DENY + "\nskip: ''"), ["5:11 skip is empty"]),
        (case(DENY + "\nskip: true"), ["5:11 skip: expected text, found true"]),
        (case(DENY + "\nmatrix: {}"), ["3:5 request beside matrix", "5:13 matrix is empty"]),
        (case(DENY + "\nsubject: x"), ["3:5 request beside subject"]),
        (case(DENY, request="now: 2026-11-01T12:00:00Z"), ["2:5 case has no request"]),
        (case(DENY, request="request: nope"), ["3:14 unknown request fixture 'nope'"]),
        (case(DENY, request="request: [a]"),
         ["3:14 request: expected the name of a fixture or a mapping, found a list"]),
        (case(DENY, request="request: {subject: {type: user}}"),
         ["3:14 request: subject.id is missing; action is missing; resource is missing"]),
        (case(DENY, request="request: {job: {}}"), ["3:14 request: action.name is missing; resource.id is missing"]),
        (case(DENY, request="subject: ann"), ["3:14 unknown subject fixture 'ann'"]),
        (case(DENY, request="action: service.restart"), ["2:5 request: subject is missing; resource is missing"]),
        (case(DENY, request="action: {name: a}\n    context:"), ["4:13 context: expected a mapping, found nothing"]),
        (case(DENY, request="action:"), ["3:12 action: expected a name or a mapping, found nothing"]),
        (case(DENY, request="context: [a]"), ["3:14 context: expected a mapping, found a list"]),
        (f"cases: [{SHORT}, {SHORT}]", [f"1:{len(SHORT) + 11} duplicate case name 'c'"]),
        ("cases:\n  - {request: {job: {topic: a}}, expect: {decision: deny}}", ["2:5 case has no name"]),
    ],
)  # fmt: skip
def test_every_refusal_has_its_place(text: str, problems: list[str]) -> None:
    assert read(text)[1] == problems


def test_a_fixture_that_no_case_uses_is_worth_a_warning() -> None:
    report = Report("tests/a.yaml")
    fixtures = "fixtures: {subjects: {ann: {type: user, id: ann}}, requests: {whole: {job: {topic: x}}}}\n"

    read_suite((fixtures + case(DENY, request="request: whole")).encode(), report, known=KNOWN)

    assert [(problem.where, problem.message) for problem in report.warnings] == [
        ("tests/a.yaml:1:23", "subject fixture 'ann' is not used by any case")
    ]


def test_nothing_is_said_about_fixtures_that_a_broken_case_may_have_used() -> None:
    report = Report("tests/a.yaml")
    fixtures = "fixtures: {subjects: {ann: {type: user, id: ann}}}\n"

    read_suite((fixtures + case(DENY, request="subject: [ann]")).encode(), report, known=KNOWN)

    assert report.warnings == []


def test_a_suite_has_a_bounded_number_of_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites_module, "MAX_CASES", 1)
    second = SHORT.replace("name: c", "name: d")

    assert read(f"cases: [{SHORT}, {second}]")[1] == [
        f"1:{len(SHORT) + 11} suite has too many cases (limit 1, cells included)"
    ]


def test_rules_are_not_judged_while_policies_have_problems() -> None:
    assert read(case("expect: {decision: deny, rule: agents/ome}"), known=Known())[1] == []
