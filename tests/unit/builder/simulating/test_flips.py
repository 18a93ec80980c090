"""Which way an answer moved."""

import itertools

import pytest

from builder.simulating.flips import Kind, constraint_changes, kind_of
from policy_core.decision import Answer
from policy_core.model import Constraint, Decision

ORDER = [
    Decision.ALLOW,
    Decision.ALLOW_WITH_CONSTRAINTS,
    Decision.THROTTLE,
    Decision.REQUIRE_APPROVAL,
    Decision.DENY,
]
BOUNDED = Decision.ALLOW_WITH_CONSTRAINTS
WIDENED, NARROWED, CHANGED = Kind.WIDENED, Kind.NARROWED, Kind.CHANGED


def answer(decision: Decision, **constraints: Constraint) -> Answer:
    return Answer(decision=decision, allowed=False, reason_code="matched_rule", constraints=constraints)


def test_the_same_decision_and_constraints_are_no_flip_whoever_decides() -> None:
    before, after = answer(BOUNDED, max_rows=1), answer(BOUNDED, max_rows=1)
    before.matched_rule, after.matched_rule, after.reason = "a/b", "c/d", "another"

    assert kind_of(before, after) is None


@pytest.mark.parametrize(("less", "more"), list(itertools.combinations(ORDER, 2)))
def test_a_step_along_the_order_widens_one_way_and_narrows_the_other(less: Decision, more: Decision) -> None:
    assert kind_of(answer(less), answer(more)) is NARROWED
    assert kind_of(answer(more), answer(less)) is WIDENED


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ({"max_rows": 1}, {"max_rows": 2}, WIDENED),
        ({"max_rows": 2}, {"max_rows": 1.5}, NARROWED),
        ({"max_rows": 1}, {}, WIDENED),
        ({}, {"max_rows": 1}, NARROWED),
        ({"max_rows": 1, "max_files": 1}, {"max_rows": 1, "max_files": 2}, WIDENED),
        ({"max_rows": 1, "max_files": 1}, {"max_rows": 2, "max_files": 2}, WIDENED),
        ({"max_rows": 1, "max_files": 2}, {"max_rows": 2, "max_files": 1}, CHANGED),
        ({"max_rows": 1}, {"max_files": 1}, CHANGED),
        ({"tool_allowlist": ("a",)}, {"tool_allowlist": ("a", "b")}, WIDENED),
        ({"tool_allowlist": ("a", "b")}, {"tool_allowlist": ()}, NARROWED),
        ({"tool_allowlist": ("a",)}, {"tool_allowlist": ("b",)}, CHANGED),
        ({"path_denylist": ("a",)}, {"path_denylist": ("a", "b")}, NARROWED),
        ({"path_denylist": ("a",)}, {"path_denylist": ()}, WIDENED),
        ({"min_replicas": 1}, {"min_replicas": 2}, NARROWED),
        ({"min_replicas": 2}, {"min_replicas": 1}, WIDENED),
        ({"read_only": False}, {"read_only": True}, NARROWED),
        ({"allow_network": False}, {"allow_network": True}, WIDENED),
        ({}, {"read_only": True}, NARROWED),
        ({}, {"allow_network": False}, NARROWED),
        ({}, {"allow_network": True}, CHANGED),
        ({}, {"read_only": False}, CHANGED),
        ({}, {"run_as": "root"}, CHANGED),
        ({"run_as": "app"}, {"run_as": "root"}, CHANGED),
        ({}, {"x_shape": "round"}, CHANGED),
        ({"x_allowlist": ("a",)}, {"x_allowlist": ("a", "b")}, CHANGED),
        ({"x_shape": "round"}, {"x_shape": "square"}, CHANGED),
        ({"x_shape": 1}, {"x_shape": 2}, CHANGED),
    ],
)
def test_constraints_are_compared_by_name(before: dict, after: dict, kind: Kind) -> None:  # type: ignore[type-arg]
    opposite = {WIDENED: NARROWED, NARROWED: WIDENED, CHANGED: CHANGED}

    assert kind_of(answer(BOUNDED, **before), answer(BOUNDED, **after)) is kind
    assert kind_of(answer(BOUNDED, **after), answer(BOUNDED, **before)) is opposite[kind]


def test_running_without_a_person_widens_even_within_bounds() -> None:
    assert kind_of(answer(Decision.REQUIRE_APPROVAL), answer(BOUNDED, max_rows=1)) is WIDENED


def test_an_approval_that_lifts_a_bound_does_not_pass_for_narrowed() -> None:
    assert kind_of(answer(BOUNDED, max_rows=1), answer(Decision.REQUIRE_APPROVAL)) is CHANGED
    assert kind_of(answer(BOUNDED, max_rows=1), answer(Decision.REQUIRE_APPROVAL, max_rows=1)) is NARROWED


def test_a_denial_has_no_constraints_to_compare() -> None:
    assert kind_of(answer(BOUNDED, max_rows=1), answer(Decision.DENY)) is NARROWED
    assert list(constraint_changes(answer(BOUNDED, max_rows=1), answer(Decision.DENY))) == []
