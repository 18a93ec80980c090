"""Constraints merge by tightening, whatever the order; what the registry does not know is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.constraints import (
    REGISTRY,
    ConstraintConflict,
    Merge,
    canonical_constraint,
    check_constraint,
    merge,
    merge_of,
)
from policy_core.testing.strategies import CONSTRAINTS

_sets = st.fixed_dictionaries({}, optional=CONSTRAINTS)


def _merged(sets):
    """Return what merging gives: the constraints, or the name that is in conflict."""
    try:
        return merge(sets)
    except ConstraintConflict as conflict:
        return conflict.name


@given(_sets, _sets, _sets)
def test_merging_is_associative_commutative_and_idempotent(a, b, c):
    merged = _merged([a, b, c])

    assert merged == _merged([a, a, b, c, c]) == _merged([c, a, b])
    if isinstance(merged, dict):
        assert _merged([merge([c, b]), a]) == merged


@given(_sets, _sets)
def test_merging_never_loosens(a, b):
    merged = _merged([a, b])

    for name, value in a.items() if isinstance(merged, dict) else ():
        assert _LAWS[merge_of(name)](merged[name], value)


_LAWS = {
    Merge.LEAST: lambda merged, value: merged <= value,
    Merge.GREATEST: lambda merged, value: merged >= value,
    Merge.INTERSECTION: lambda merged, value: set(merged) <= set(value),
    Merge.UNION: lambda merged, value: set(merged) >= set(value),
    Merge.TRUE_WINS: lambda merged, value: merged is True or value is False,
    Merge.FALSE_WINS: lambda merged, value: merged is False or value is True,
    Merge.AGREE: lambda merged, value: type(merged) is type(value) and merged == value,
}


@pytest.mark.parametrize(("one", "other"), [(1, 2), (1, True), ("a", "b"), (("a",), ("a", "b")), ("1", 1), (False, 0)])
def test_values_that_must_agree_and_do_not_are_a_conflict(one, other):
    with pytest.raises(ConstraintConflict) as conflict:
        merge([{"x_b": one}, {"x_c": 1}, {"x_c": 2, "x_b": other}])

    assert conflict.value.name == "x_b"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_retrys", 3, "unknown constraint max_retrys"),
        ("min_replicas", -2, "constraint min_replicas must be a number of at least 0 and below 2^53"),
        ("path_denylist", "/", "constraint path_denylist must be a list of strings"),
        ("read_only", 1, "constraint read_only must be true or false"),
        ("allow_network", "no", "constraint allow_network must be true or false"),
        ("run_as", "", "constraint run_as must be text of at most 200 characters"),
        ("run_as", ["a"], "constraint run_as must be text of at most 200 characters"),
        ("x_custom", None, "constraint x_custom must be text, a number, true, false or a list of strings"),
        ("x_custom", {"a": 1}, "constraint x_custom must be text, a number, true, false or a list of strings"),
        ("x_custom", [1], "constraint x_custom must be a list of strings"),
        ("x_Custom", 1, "constraint name x_Custom is not valid"),
        ("custom", 1, "unknown constraint custom"),
        ("max_retries", -1, "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("max_retries", True, "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("max_retries", "3", "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("network_allowlist", "a", "constraint network_allowlist must be a list of strings"),
        ("network_allowlist", [1], "constraint network_allowlist must be a list of strings"),
    ],
)
def test_a_constraint_nobody_could_keep_is_refused(name, value, message):
    problem = check_constraint(name, value)

    assert problem is not None
    assert problem[0] == message


def test_a_close_name_is_suggested():
    assert check_constraint("max_retrys", 3) == ("unknown constraint max_retrys", "did you mean max_retries?")


def test_an_empty_allowlist_is_valid_and_permits_nothing():
    assert check_constraint("network_allowlist", []) is None
    assert merge([{"network_allowlist": ("a",)}, {"network_allowlist": ()}]) == {"network_allowlist": ()}


def test_canonical_values_have_one_form():
    assert canonical_constraint(["b", "a", "b"]) == ("a", "b")
    assert repr(canonical_constraint(3.0)) == "3"


def test_every_name_of_the_registry_has_the_merge_its_page_gives():
    page = (Path(__file__).parents[3] / "docs/reference/constraints.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)

    assert rows == [(name, merge_of(name).value, bounds) for name, bounds in REGISTRY.items()]
