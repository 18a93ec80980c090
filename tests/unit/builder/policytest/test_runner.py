"""Policy tests run with the production matcher; a failing case says what was expected, what came, and why."""

from collections.abc import Mapping

import pytest

from builder.compiling import Compiled, compile_tree
from builder.policytest import Status, TestReport, describe_report, report_record, run_suites
from builder.policytest import runner as runner_module
from builder.policytest.runner import PolicyTestsFailedError
from builder.source import PolicyTree
from policy_core.errors import UsageError

POLICY = """\
version: v1
rules:
  - id: sre-may-restart
    match: {actions: [service.restart], subject: {roles: [sre]}}
    decision: allow
  - id: never-after-dark
    match: {actions: [service.restart]}
    when: host.env == "prod" && now > timestamp("2026-06-01T00:00:00Z")
    decision: deny
    reason: Not now
    reason_code: after_dark
  - id: in-a-box
    match: {actions: [job.run]}
    decision: allow_with_constraints
    constraints: {max_retries: 1, tool_allowlist: [b, a]}
"""
RESTART = (
    "subject: {type: user, id: a, properties: {roles: [sre]}}, action: service.restart, resource: {type: s, id: s}"
)


def compiled(*cases: str, more: Mapping[str, str] | None = None) -> Compiled:
    suite = "cases:\n" + "".join(f"  - {{name: case {number}, {case}}}\n" for number, case in enumerate(cases))
    files = {
        "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n",
        "policies/ops.yaml": POLICY,
        "tests/ops.yaml": suite,
        **(more or {}),
    }
    if not cases:
        del files["tests/ops.yaml"]
    return compile_tree(PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()}), today=None)


def run(*cases: str) -> TestReport:
    return run_suites(compiled(*cases))


def text(report: TestReport) -> str:
    return "\n".join(describe_report(report))


def test_cases_that_get_what_they_expect_pass() -> None:
    report = run(
        f"{RESTART}, expect: {{decision: allow, rule: ops/sre-may-restart, constraints: {{}}}}",
        "request: {job: {topic: job.run}}, "
        "expect: {decision: allow_with_constraints, constraints: {tool_allowlist: [a, b], max_retries: 1}}",
        "request: {job: {topic: other}}, expect: {decision: deny, reason_code: no_matching_rule}",
    )

    assert report.passed
    report.require_passed()
    assert text(report).endswith("3 policy tests: 3 passed")


def test_time_and_host_labels_reach_the_conditions() -> None:
    expect_deny = "expect: {decision: deny, rule: ops/never-after-dark, reason_code: after_dark}"
    expect_allow = "expect: {decision: allow}"

    assert run(
        f"{RESTART}, host: {{env: prod}}, now: 2026-07-01T00:00:00Z, {expect_deny}",
        f"{RESTART}, host: {{env: prod}}, now: 2026-05-01T00:00:00Z, {expect_allow}",
        f"{RESTART}, host: {{env: dev}}, now: 2026-07-01T00:00:00Z, {expect_allow}",
    ).passed


def test_a_missing_host_label_is_an_error_and_the_deny_applies() -> None:
    report = run(f"{RESTART}, now: 2026-07-01T00:00:00Z, expect: {{decision: deny, reason_code: evaluation_error}}")

    assert report.passed


def test_a_failing_case_names_expected_got_rule_and_place() -> None:
    report = run(
        f"{RESTART}, host: {{env: prod}}, now: 2026-07-01T00:00:00Z, expect: {{decision: allow, reason_code: x}}"
    )

    assert not report.passed
    assert report.count(Status.FAILED) == 1
    lines = text(report).splitlines()
    assert [line.strip() for line in lines[:6]] == [
        "ops  tests/ops.yaml",
        "✗ case 0",
        "tests/ops.yaml:2",
        "decision: expected allow, got deny",
        "reason_code: expected x, got after_dark",
        "decided by ops/never-after-dark (policies/ops.yaml:6): deny, after_dark, Not now",
    ]
    assert lines[-1] == "1 policy test: 1 failed"


def test_a_failing_case_shows_the_expected_rule_clause_by_clause() -> None:
    report = run(
        "request: {job: {topic: service.restart}}, host: {env: dev}, expect: {decision: allow, rule: ops/in-a-box}"
    )

    shown = text(report)
    assert "rule: expected ops/in-a-box, got none" in shown
    assert "decided by no rule: deny, no_matching_rule" in shown
    assert "✗ match.actions: wants [job.run], the request has service.restart" in shown
    assert "✗ match.subject.roles: wants [sre], the request has nothing" in shown
    assert "ops/sre-may-restart (allow) does not apply  policies/ops.yaml:3" in shown


def test_constraints_are_compared_as_a_whole() -> None:
    report = run(
        "request: {job: {topic: job.run}}, expect: {decision: allow_with_constraints, constraints: {max_retries: 1}}"
    )

    assert 'constraints: expected {"max_retries":1}, got {"max_retries":1,"tool_allowlist":["a","b"]}' in text(report)


def test_failing_raises_an_error_of_exit_code_4_that_names_the_first_case() -> None:
    failing = "request: {job: {topic: x}}, expect: {decision: allow}"

    with pytest.raises(PolicyTestsFailedError) as caught:
        run(failing, failing, failing).require_passed()

    assert caught.value.exit_code == 4
    assert caught.value.message == "tests/ops.yaml:2: case 0: test failed and 2 more"


def test_a_skipped_case_is_neither_run_nor_hidden() -> None:
    report = run("request: {job: {topic: x}}, expect: {decision: allow}, skip: waits for the data")

    assert report.passed
    assert "- case 0  (skipped: waits for the data)" in text(report)
    assert text(report).endswith("1 policy test: 1 skipped")


def test_no_tests_at_all_is_said() -> None:
    report = run()

    assert report.passed
    assert text(report) == "no policy tests: nothing below tests/ has a case, so nothing was tested"


MATRIX = (
    "matrix: {subjects: [ann], actions: [job.run, job.stop], resources: [api]}, "
    "expect: [{action: job.run, decision: allow_with_constraints}]"
)
FIXTURES = """\
subjects: {ann: {type: user, id: ann}}
resources: {api: {type: service, id: api}}
"""


def with_fixtures(*cases: str) -> TestReport:
    return run_suites(compiled(*cases, more={"tests/fixtures/all.yaml": FIXTURES}))


def test_a_matrix_that_passes_is_one_line() -> None:
    assert text(with_fixtures(MATRIX)).splitlines()[1:] == ["  ✓ case 0  (2 cells)", "2 policy tests: 2 passed"]
    skipped = with_fixtures(f"{MATRIX}, skip: later")
    assert text(skipped).splitlines()[1] == "  - case 0  (2 cells; skipped: later)"


def test_a_failing_cell_is_named_by_coordinates_expected_got_and_rule() -> None:
    report = with_fixtures(MATRIX.replace("[{action: job.run, decision: allow_with_constraints}]", "{decision: deny}"))

    assert [line.strip() for line in text(report).splitlines()[1:6]] == [
        "✗ case 0  (2 cells, 1 failed)",
        "✗ ann, job.run, api",
        "tests/ops.yaml:2",
        "decision: expected deny, got allow_with_constraints",
        "decided by ops/in-a-box (policies/ops.yaml:12): allow_with_constraints, matched_rule",
    ]
    with pytest.raises(PolicyTestsFailedError, match=r"case 0 \[ann, job.run, api\]: test failed"):
        report.require_passed()
    record = report_record(report)["suites"][0]["cases"][0]
    assert record["cell"] == {"subject": "ann", "action": "job.run", "resource": "api"}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("ops", ["case 0", "case 1", "case 2", "case 2"]),
        ("CASE 1", ["case 1"]),
        ("sre-may", ["case 0"]),
        ("ann, job.stop", ["case 2"]),
    ],
)
def test_a_filter_looks_at_suite_case_cell_and_expected_rule(wanted: str, names: list[str]) -> None:
    tree = compiled(
        f"{RESTART}, expect: {{decision: allow, rule: ops/sre-may-restart}}",
        "request: {job: {topic: x}}, expect: {decision: deny}",
        MATRIX,
        more={"tests/fixtures/all.yaml": FIXTURES},
    )

    assert [result.case.name for result in run_suites(tree, wanted=wanted).suites[0].cases] == names


def test_a_filter_that_matches_nothing_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no policy test is about 'nobody'"):
        run_suites(compiled("request: {job: {topic: x}}, expect: {decision: deny}"), wanted="nobody")


def test_only_the_first_failures_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "MAX_TRACED_FAILURES", 1)
    failing = "request: {job: {topic: service.restart}}, host: {env: x}, expect: {decision: allow}"

    first, second = run(failing, failing).suites[0].cases

    assert first.traces
    assert not second.traces
    assert second.differences


def test_the_record_for_machines_has_answer_differences_and_near_rules() -> None:
    record = report_record(
        run(
            "request: {job: {topic: job.run}}, expect: {decision: allow}",
            "request: {job: {topic: x}}, expect: {decision: deny}",
            "request: {job: {topic: x}}, expect: {decision: deny}, skip: later",
        )
    )

    assert (record["passed"], record["counts"]) == (False, {"passed": 1, "failed": 1, "skipped": 1})
    failed, passed, skipped = record["suites"][0]["cases"]
    assert failed["differences"] == [{"part": "decision", "expected": "allow", "got": "allow_with_constraints"}]
    assert failed["near_rules"][0]["rule"] == "ops/in-a-box"
    assert failed["answer"].matched_rule == "ops/in-a-box"
    assert passed["answer"].policy.revision == "1" * 40
    assert skipped == {"name": "case 2", "line": 4, "status": "skipped", "skip": "later"}
