"""``writ import``, as its users call it: output, files and exit codes."""

from collections.abc import Callable
from typing import Any

import pytest

Writ = Callable[..., Any]

SAFETY = """\
rules:
- {id: build, match: {topics: ["job.ci.*"], tenants: [acme]}, decision: permit}
- {id: prod, match: {labels: {env: prod}}, decision: require_human}
- {id: rest, decision: deny}
"""
DIFFERS = """\
rules:
- {id: fast, decision: throttle, velocity: {max_requests: 1, window_seconds: 9, key: topic}}
- {id: no, match: {labels: {a: b}}, decision: deny}
"""


@pytest.fixture
def safety(policies: Any) -> Any:
    (policies.path / "safety.yaml").write_text(SAFETY)
    return policies.path


def test_import_reports_and_writes_nothing_by_itself(writ: Writ, safety: Any) -> None:
    before = sorted(safety.rglob("*"))

    run = writ("import", "safety.yaml")

    assert run.code == 0
    assert run.out.startswith("safety.yaml: 3 rules tried in order become 2 rules in any order\n")
    assert "equal on all " in run.out
    assert sorted(safety.rglob("*")) == before


@pytest.mark.parametrize(("output", "file"), [("policies", "safety.yaml"), ("policies/new/x.yaml", "new/x.yaml")])
def test_what_import_writes_passes_lint(writ: Writ, safety: Any, output: str, file: str) -> None:
    run = writ("import", "safety.yaml", "-o", output)

    assert run.code == 0
    assert f"written: {safety / 'policies' / file}\n" in run.out
    lint = writ("lint", "--format", "json")
    assert lint.code == 0
    assert lint.json["documents"] == 2


def test_what_import_wrote_decides(writ: Writ, safety: Any) -> None:
    writ("import", "safety.yaml", "-o", "policies")
    (safety / "request.json").write_text('{"tenant_id": "ACME", "job": {"topic": "job.ci.x"}}')

    run = writ("explain", "--format", "json", "request.json")

    assert run.json["answer"]["matched_rule"] == "safety/build"


def test_import_never_overwrites(writ: Writ, safety: Any) -> None:
    (safety / "policies" / "safety.yaml").write_text("mine")

    run = writ("import", "safety.yaml", "-o", "policies")

    assert run.code == 2
    assert "exists already" in run.err
    assert (safety / "policies" / "safety.yaml").read_text() == "mine"


def test_a_refused_field_writes_nothing_and_exits_with_3(writ: Writ, safety: Any) -> None:
    (safety / "safety.yaml").write_text(SAFETY + "input_rules: [{id: x, match: {keywords: [k]}}]\n")

    run = writ("import", "safety.yaml", "-o", "policies")

    assert run.code == 3
    assert "error: safety.yaml: not imported" in run.err
    assert "safety.yaml:5:1: error: input_rules (id, match.keywords) cannot be imported" in run.out
    assert "hint: keep the scanner in the application" in run.out
    assert not (safety / "policies" / "safety.yaml").exists()


def test_differing_decisions_exit_with_4_and_the_head_of_the_policy_says_so(writ: Writ, safety: Any) -> None:
    (safety / "safety.yaml").write_text(DIFFERS)

    run = writ("import", "safety.yaml", "-o", "policies")

    assert run.code == 4
    assert "error: safety.yaml: the imported policy decides differently" in run.err
    assert "throttle by fast -> deny by no (stricter now)" in run.out
    assert "throttle by fast -> deny by no (stricter now)" in (safety / "policies" / "safety.yaml").read_text()


def test_import_reports_as_json(writ: Writ, safety: Any) -> None:
    record = writ("import", "safety.yaml", "--format", "json").json

    assert record["policy"] == "safety"
    assert record["refused"] == []
    assert record["rules"][1] == {
        "id": "prod", "line": 3, "decision": "require_approval", "became": ["prod"], "excepts": ["build"]
    }  # fmt: skip
    assert record["proof"]["equal"] is True
    assert record["proof"]["exhaustive"] is True
    assert record["changes"][0]["line"] == 1

    (safety / "safety.yaml").write_text("rules: 1")
    run = writ("import", "safety.yaml", "--format", "json")
    assert run.code == 3
    assert run.json["refused"][0]["line"] == 1
    assert run.json["proof"] is None


def test_a_file_that_is_not_there_is_a_usage_error(writ: Writ, policies: Any) -> None:
    run = writ("import", "nowhere.yaml")

    assert run.code == 2
    assert "nowhere.yaml: cannot be read" in run.err
