"""Constraints that can never agree are found by the build, with their place."""

import pytest

from builder.compiling import compile_tree
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError

SETTINGS = b"name: t\nstore: s3://b/p\nchannels: [prod]\n"
A = "version: v1\nrules:\n  - id: a\n    decision: constrain\n    constraints: {run_as: bot, max_retries: 1}\n"


def problems(**documents: str) -> list[str]:
    files = {f"policies/{name}.yaml": text.encode() for name, text in documents.items()}
    try:
        compile_tree(PolicyTree("1" * 40, False, {**files, "writ.yaml": SETTINGS}), today=None)
    except InvalidPolicyError as error:
        return [f"{problem.where} {problem.message}" for problem in error.problems]
    return []


def with_clauses(text: str, clauses: str) -> str:
    return text + f"    {clauses}\n"


B = A.replace("id: a", "id: b").replace("bot", "root").replace("max_retries: 1", "max_retries: 2")


def test_a_rule_about_everything_contradicts_any_other() -> None:
    found = problems(x=A, y=with_clauses(B, "match: {actions: [deploy]}"))

    message = "constraint run_as of rule b contradicts x/a (policies/x.yaml:3), which applies wherever this one does"
    assert found == [f"policies/y.yaml:3:1 {message}"]


@pytest.mark.parametrize("clauses", ["match: {actions: [d]}", "unless: {tenants: [t]}", "when: resource.id == 'a'"])
def test_rules_with_the_same_clauses_contradict_each_other(clauses: str) -> None:
    assert len(problems(x=with_clauses(A, clauses), y=with_clauses(B, clauses))) == 1


def test_rules_that_may_not_meet_are_left_to_the_host() -> None:
    assert problems(x=with_clauses(A, "match: {actions: [a]}"), y=with_clauses(B, "match: {actions: [b]}")) == []


def test_a_rule_that_applies_only_once_a_rate_is_reached_meets_no_other_for_certain() -> None:
    clauses = "rate: {limit: 1, window: 1h, key: [resource.id]}"

    assert (
        problems(x=with_clauses(A, "match: {actions: [d]}"), y=with_clauses(B, "match: {actions: [d]}\n    " + clauses))
        == []
    )


def test_rules_that_agree_are_fine() -> None:
    assert problems(x=A, y=B.replace("root", "bot")) == []


def test_a_dry_run_rule_contradicts_only_its_like() -> None:
    trial = "mode: dry_run\n"

    assert problems(x=A, y=trial + B) == []
    assert len(problems(x=trial + A, y=trial + B)) == 1


def test_free_names_must_agree_in_type_too() -> None:
    assert len(problems(x=A.replace("run_as: bot", "x_level: 1"), y=B.replace("run_as: root", "x_level: true"))) == 1
