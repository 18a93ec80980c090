"""``writ test``, as its users call it: output, streams and exit codes."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.cli.watching import saves

test_module = importlib.import_module("builder.cli.test")

Writ = Callable[..., Any]
SUITE = """\
cases:
  - name: reading is granted
    request: {job: {topic: service.read}}
    expect: {decision: allow, rule: a/reads}
"""


def test_test_prints_a_tree_and_a_summary(writ: Writ) -> None:
    assert writ("test") == (0, "a  tests/a.yaml\n  ✓ reading is granted\n1 policy test: 1 passed\n", "")


def test_a_failing_policy_test_is_4_and_named(writ: Writ, policies: Any) -> None:
    policies.write({"tests/a.yaml": SUITE.replace("decision: allow", "decision: deny")})

    run = writ("test")

    assert run.code == 4
    assert "✗ reading is granted" in run.out
    assert "decision: expected deny, got allow" in run.out
    assert "error: tests/a.yaml:2: reading is granted: test failed" in run.err
    assert writ("test", "HEAD").code == 0


def test_test_for_machines(writ: Writ, policies: Any) -> None:
    policies.write({"tests/a.yaml": SUITE.replace("decision: allow", "decision: deny")})

    run = writ("test", "--format", "json")

    assert run.code == 4
    assert run.json["counts"] == {"passed": 0, "failed": 1, "skipped": 0}
    assert run.json["suites"][0]["cases"][0]["answer"]["matched_rule"] == "a/reads"


def test_a_filter_runs_a_part_and_refuses_to_run_nothing(writ: Writ, policies: Any) -> None:
    policies.write({"tests/b.yaml": SUITE.replace("reading is", "Reading b is")})

    run = writ("test", "--filter", "reading B")

    assert (run.code, run.out) == (0, "b  tests/b.yaml\n  ✓ Reading b is granted\n1 policy test: 1 passed\n")
    nothing = writ("test", "--filter", "nobody")
    assert (nothing.code, nothing.out) == (2, "")
    assert "error: no policy test is about 'nobody'" in nothing.err


def test_junit_is_written_even_if_a_test_fails(writ: Writ, policies: Any, tmp_path: Path) -> None:
    policies.write({"tests/a.yaml": SUITE.replace("decision: allow", "decision: deny")})

    run = writ("test", "--junit", str(tmp_path / "tests.xml"))

    assert run.code == 4
    assert 'failures="1"' in (tmp_path / "tests.xml").read_text()
    assert [path.name for path in tmp_path.glob("*.xml*")] == ["tests.xml"]


def test_coverage_is_shown_and_judged_by_the_gate_in_writ_yaml(writ: Writ, policies: Any) -> None:
    shown = "! a/reads  policies/a.yaml:3\n    match.actions: never seen not to hold\n"
    figures = "coverage: 1 of 1 rules (100.0 %), 0 of 1 clauses (0.0 %)\n"

    run = writ("test", "--coverage")

    assert run.code == 0
    assert run.out.endswith(f"1 policy test: 1 passed\n{shown}{figures}")

    settings = (policies.path / "writ.yaml").read_text()
    policies.write({"writ.yaml": f"{settings}gates: {{coverage: {{rules: 100, clauses: 1}}}}\n"})
    run = writ("test", "--coverage", "--format", "json")
    assert run.code == 4
    assert "error: coverage: 0.0 % of clauses (gate: 1 %)\n" in run.err
    assert run.json["coverage"]["clauses"] == {"covered": 0, "total": 1, "percent": 0.0}
    assert writ("test").code == 0


def test_surviving_mutants_are_named_and_4(writ: Writ, policies: Any) -> None:
    survivor = "✗ a/reads  policies/a.yaml:3  survives: drops match.actions\nmutants: 1 of 2 killed\n"

    run = writ("test", "--mutate")

    assert run.code == 4
    assert run.out.endswith(f"1 policy test: 1 passed\n{survivor}")
    assert "error: policies/a.yaml:3: a/reads: no test notices: drops match.actions\n" in run.err

    other = "  - {name: writing is not, request: {job: {topic: service.write}}, expect: {decision: deny}}\n"
    policies.write({"tests/a.yaml": SUITE + other})
    run = writ("test", "--mutate", "--format", "json")
    assert (run.code, run.err) == (0, "")
    assert run.json["mutation"] == {"mutants": 2, "tried": 2, "survivors": []}


def test_rules_are_not_changed_while_a_test_fails(writ: Writ, policies: Any) -> None:
    policies.write({"tests/a.yaml": SUITE.replace("decision: allow", "decision: deny")})

    run = writ("test", "--mutate")

    assert run.code == 4
    assert "mutants" not in run.out
    assert "reading is granted: test failed" in run.err


@pytest.mark.parametrize("option", ["--coverage", "--mutate"])
def test_a_part_of_the_tests_is_not_judged_as_a_whole(writ: Writ, option: str) -> None:
    run = writ("test", option, "--filter", "a")

    assert run.code == 2
    assert f"error: {option}: is about all tests, not a part of them\nhint: leave out --filter" in run.err


def test_watching_runs_again_after_each_save_until_interrupted(
    writ: Writ, policies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter([SUITE.replace("decision: allow", "decision: deny"), "cases: x", SUITE])

    def save(_pause_s: float) -> None:
        content = next(versions, None)
        if content is None:
            raise KeyboardInterrupt
        policies.write({"tests/a.yaml": content})

    monkeypatch.setattr(test_module, "saves", partial(saves, sleep=save))
    run = writ("test", "--watch")

    assert run.code == 130
    assert [line for line in run.out.splitlines() if line.startswith("1 policy test")] == [
        "1 policy test: 1 passed",
        "1 policy test: 1 failed",
        "1 policy test: 1 passed",
    ]
    assert "error: tests/a.yaml:2: reading is granted: test failed" in run.err
    assert "tests/a.yaml:1:8: cases: expected a list, found the text 'x'" in run.err
    assert run.err.endswith("interrupted\n")


def test_a_commit_cannot_be_watched(writ: Writ) -> None:
    run = writ("test", "--watch", "HEAD")

    assert run.code == 2
    assert "error: --watch: a commit never changes\nhint: leave out REV" in run.err


def test_a_place_that_cannot_be_written_is_a_usage_error(writ: Writ, tmp_path: Path) -> None:
    run = writ("test", "--junit", str(tmp_path / "nowhere/tests.xml"))

    assert run.code == 2
    assert (
        "tests.xml: cannot be written (No such file or directory)\nhint: choose another place with --junit" in run.err
    )


def test_a_repository_without_tests_says_so(writ: Writ, policies: Any) -> None:
    (policies.path / "tests/a.yaml").unlink()

    run = writ("test")

    assert run.code == 0
    assert run.out.startswith("no policy tests")


def test_test_of_broken_policies_is_3_with_all_problems(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": "a: 1\n", "policies/c.yaml": "b: 1\n"})

    run = writ("test")

    assert run.code == 3
    assert "policies/b.yaml:1:1: unknown key 'a'" in run.err
    assert "policies/c.yaml:1:1: unknown key 'b'" in run.err
    assert run.out == ""
